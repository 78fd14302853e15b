"""The names that are ours: what unspool keeps beside a file's destination, and below a tree's.

Rule 1: such a name is never a file's of anybody else. In what case it is spelled makes no difference, as on some file systems.
Rule 2: they fit wherever the destination's own name fits, and no two destinations of one directory share them.
"""

from __future__ import annotations

import hashlib

from unspool.core.value import value

HOME = ".unspool-tree"
"""The directory below a tree's destination in which its record and what has yet to be named are."""

PART_SUFFIX = ".unspool-part"
JOURNAL_SUFFIX = ".unspool-journal"
SCRATCH_SUFFIX = f"{JOURNAL_SUFFIX}.new"
"""Of what becomes the journal."""
WHOLE_SUFFIX = ".unspool-whole"
"""Of what becomes the destination, for the moment of a commit: another name of the part file, which nobody else uses."""

_MARK = ".unspool-"
"""What all of them have in common."""

_DIGITS = 16
"""Of the digest that tells long names apart: 64 bits."""


@value
class Beside:
    """The names beside a destination's: its part file, its journal, what becomes the journal, and what becomes the file."""

    part: str
    journal: str
    scratch: str
    whole: str


def beside(name: str, name_max: int) -> Beside:
    """Return the names that go with a destination's, also if it leaves no room for a suffix.

    Args:
        name: the last part of the destination's path, as Python decodes it.
        name_max: bytes that a name may have there.
    """
    raw = name.encode(errors="surrogateescape")
    if len(raw) + len(SCRATCH_SUFFIX) > name_max:
        # Cut at a character, and told apart from other long names by a digest of the whole.
        digest = hashlib.sha256(raw).hexdigest()[:_DIGITS]
        kept = raw[: name_max - len(SCRATCH_SUFFIX) - _DIGITS - 1].decode(errors="ignore")
        name = f"{kept}.{digest}"
    return Beside(name + PART_SUFFIX, name + JOURNAL_SUFFIX, name + SCRATCH_SUFFIX, name + WHOLE_SUFFIX)


def is_unfinished(name: str) -> bool:
    """Whether a name is one under which an unfinished download is kept."""
    return name.lower().endswith((PART_SUFFIX, JOURNAL_SUFFIX, SCRATCH_SUFFIX, WHOLE_SUFFIX))


def is_ours(name: str) -> bool:
    """Whether a name is one of ours, of whichever kind."""
    # Asked for every entry of a listing, and the answer is nearly always no.
    return _MARK in name.lower() and (is_unfinished(name) or is_home(name))


def is_home(name: str) -> bool:
    """Whether a name is the one under which a tree's record is kept."""
    return name.lower() == HOME
