"""What becomes of one file of a tree: its path below the destination, and whether it has to be fetched. Pure.

Rule 1: a file's path is its name below the prefix, part by part. What could leave the destination is no name
        (`check_name`), and what unspool itself keeps below a destination is nobody else's.
Rule 2: a file is here only if something vouches for its bytes: the tree's record, as long as the local file is still the one
        the record was made of; or a checksum, compared with what is read again. An equal size or time vouches for nothing.
"""

from __future__ import annotations

import unicodedata
from enum import Enum, auto

from unspool.core.model import NO_ATTRIBUTES, Attributes, FileInfo
from unspool.core.names import check_name
from unspool.core.ours import is_home, is_unfinished
from unspool.core.value import value
from unspool.errors import InvalidNameError, ProtocolError


@value
class RelativePath:
    """Where a file belongs, below the destination: the directory (`""` is the destination itself) and the last part."""

    directory: str
    base: str

    def __str__(self) -> str:
        return f"{self.directory}/{self.base}" if self.directory else self.base


def below(prefix: str) -> str:
    """Return what the names of all files below a prefix begin with."""
    return f"{prefix.removesuffix('/')}/" if prefix else ""


def name_below(name: str, prefix: str) -> str:
    """Return a file's name below a prefix, as `below` returns it; the last part of the name if it is not below."""
    return name[len(prefix) :] if name.startswith(prefix) else name.rpartition("/")[2]


def relative_path_of(name: str, prefix: str) -> RelativePath | None:
    """Return where a file that is listed below `prefix` belongs; None if it is part of another tree's record: nowhere.

    Args:
        name: as the server gave it.
        prefix: as `below` returns it.

    Raises:
        InvalidNameError: it is no name, or one under which unspool keeps something of its own.
        ProtocolError: it is not below the prefix.
    """
    check_name(name)
    if name.startswith(prefix):
        directory, _, base = name[len(prefix) :].rpartition("/")
    elif name == prefix[:-1]:  # the prefix is a file, and its listing is that file
        directory, base = "", name.rpartition("/")[2]
    else:
        raise ProtocolError(f"{name}: the server lists it below {prefix!r}, where it is not", name=name)
    if is_home(base) or any(map(is_home, directory.split("/"))):
        return None
    if is_unfinished(base):
        raise InvalidNameError(f"{name}: unspool keeps unfinished downloads under such names", name=name)
    return RelativePath(directory, base)


def folded(path: RelativePath) -> str:
    """Return what a file system that takes no notice of case, or of Unicode's several spellings, makes of a path."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", str(path)).casefold())


@value
class Kept:
    """What the record vouches for: the local file, known by these three, has that revision's bytes.

    Attributes:
        revision, size, crc32c: of the server's file.
        modified_ns, inode: of the local file; its size is the same.
        given: the server's attributes that the local file was given, as far as it could have them.
    """

    revision: str
    size: int
    crc32c: int
    modified_ns: int
    inode: int
    given: Attributes = NO_ATTRIBUTES

    def is_of(self, local: Local) -> bool:
        """Whether a local file is the one that the record was made of."""
        return (self.size, self.modified_ns, self.inode) == (local.size, local.modified_ns, local.inode)


@value
class Local:
    """A regular file at a path."""

    size: int
    modified_ns: int
    inode: int
    executable: bool = False


class Verdict(Enum):
    """What is to be done about a file."""

    HERE = auto()
    COMPARE = auto()
    FETCH = auto()


def judge(info: FileInfo, kept: Kept | None, local: Local | None, *, reread: bool = False) -> tuple[Verdict, int | None]:
    """Return what is to be done about a file, and the CRC32C to compare the local one with.

    Args:
        info: as the server lists it.
        kept: what the record says, if it says anything and is believed.
        local: what is at its path.
        reread: compare the local file even if the record vouches for it.
    """
    if local is None or local.size != info.size:
        return Verdict.FETCH, None
    checksum = info.crc32c
    if (
        kept is not None
        and (kept.revision, kept.size) == (info.revision, info.size)
        and checksum in (None, kept.crc32c)  # the server may say more now than its revision did then
    ):
        if kept.is_of(local) and not reread:
            return Verdict.HERE, None
        checksum = kept.crc32c
    return (Verdict.FETCH, None) if checksum is None else (Verdict.COMPARE, checksum)


def made_executable(kept: Kept | None, local: Local) -> bool:
    """Whether it was we who made a local file executable: then we may take that back."""
    return kept is not None and kept.given.executable is True and kept.is_of(local)


def lacks(attributes: Attributes, kept: Kept, local: Local) -> bool:
    """Whether a local file that the record vouches for has yet to be given some of its attributes.

    The time is compared with what the server told before, for a file system may have no such time.
    """
    if attributes.modified_ns not in (None, kept.given.modified_ns):
        return True
    if attributes.executable:
        return not local.executable
    return attributes.executable is False and local.executable and made_executable(kept, local)
