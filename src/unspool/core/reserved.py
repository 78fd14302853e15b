"""The names of unspool's own files: those beside a file's destination, and the directories below a tree and a served directory.

Rule 1: these names are reserved: no downloaded, uploaded or served file may have one. Case makes no difference, because some
        file systems ignore it.
Rule 2: they fit wherever the destination's own name fits, and no two destinations in one directory share them.
"""

from __future__ import annotations

from unspool.core.value import value

HOME = ".unspool-tree"
"""The directory below a tree's destination that holds the tree's record and the files that have no final name yet."""

UPLOADS = ".unspool-uploads"
"""The directory below a served directory that holds the uploads that have no final name yet."""

PART_SUFFIX = ".unspool-part"
JOURNAL_SUFFIX = ".unspool-journal"
SCRATCH_SUFFIX = f"{JOURNAL_SUFFIX}.new"
"""Suffix of the temp file that is renamed to the journal."""
WHOLE_SUFFIX = ".unspool-whole"
"""Suffix of a second link to the part file. A commit makes it and renames it to the destination."""

_MARK = ".unspool-"
"""Occurs in every reserved name."""

_DIGITS = 16
"""Hex digits of the digest that makes shortened names unique: 64 bits."""


@value
class NamesBeside:
    """The names of the files beside a destination; each suffix above says what its file is for."""

    part: str
    journal: str
    scratch: str
    whole: str


def names_beside(name: str, name_max: int) -> NamesBeside:
    """Return the names of the files beside a destination. A name too long for a suffix is shortened.

    Args:
        name: the last part of the destination's path, as Python decodes it.
        name_max: longest name in bytes that the file system allows.
    """
    raw = name.encode(errors="surrogateescape")
    if len(raw) + len(SCRATCH_SUFFIX) > name_max:
        import hashlib  # noqa: PLC0415 - few names are so long

        # Cut between characters, and add a digest of the whole name so that the result is unique.
        digest = hashlib.sha256(raw).hexdigest()[:_DIGITS]
        kept = raw[: name_max - len(SCRATCH_SUFFIX) - _DIGITS - 1].decode(errors="ignore")
        name = f"{kept}.{digest}"
    return NamesBeside(name + PART_SUFFIX, name + JOURNAL_SUFFIX, name + SCRATCH_SUFFIX, name + WHOLE_SUFFIX)


def is_unfinished(name: str) -> bool:
    """Whether a name is that of a part file, a journal or one of their temp files."""
    return name.lower().endswith((PART_SUFFIX, JOURNAL_SUFFIX, SCRATCH_SUFFIX, WHOLE_SUFFIX))


def may_be_reserved(name: str) -> bool:
    """Whether a part of a name may be reserved. If not, none is."""
    return _MARK in name.lower()


def is_reserved(name: str) -> bool:
    """Whether a name is reserved for unspool's own files."""
    # A fast check first: this is called for every entry of a listing, and the answer is nearly always no.
    return may_be_reserved(name) and (is_unfinished(name) or is_home(name) or name.lower() == UPLOADS)


def is_home(name: str) -> bool:
    """Whether a name is that of the directory that holds a tree's record."""
    return name.lower() == HOME
