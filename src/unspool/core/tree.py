"""Decides about one file of a tree: its path below the destination, and whether it has to be fetched.

Rule 1: a file's path is its name below the prefix, part by part. `check_name` refuses names that could lead out of the
        destination. Names of unspool's own files are refused too.
Rule 2: a file counts as here only if its bytes are confirmed: by the tree's record, if the local file is still the one that was
        recorded, or by a checksum of the local file, which is read for it. An equal size or time confirms nothing.
"""

from __future__ import annotations

import unicodedata
from dataclasses import field
from enum import Enum, auto

from unspool.core.model import Attributes, FileInfo
from unspool.core.names import check_name, surely_a_name
from unspool.core.reserved import is_home, is_unfinished, may_be_reserved
from unspool.core.value import value
from unspool.errors import InvalidNameError, ProtocolError


@value
class RelativePath:
    """The path of a file below the destination: its directory (`""` is the destination itself) and its last part."""

    directory: str
    base: str

    def __str__(self) -> str:
        return f"{self.directory}/{self.base}" if self.directory else self.base


def below(prefix: str) -> str:
    """Return the string that the names of all files below a prefix begin with."""
    return f"{prefix.removesuffix('/')}/" if prefix else ""


def name_below(name: str, prefix: str) -> str:
    """Return a file's name below a prefix, as `below` returns it; the last part of the name if it is not below."""
    return name[len(prefix) :] if name.startswith(prefix) else name.rpartition("/")[2]


def relative_path_of(name: str, prefix: str) -> RelativePath | None:
    """Return the path of a file that is listed below `prefix`; None for the record of another tree.

    Args:
        name: as the server gave it.
        prefix: as `below` returns it.

    Raises:
        InvalidNameError: the name is invalid, or is that of an unfinished download.
        ProtocolError: the name is not below the prefix.
    """
    check_name(name)
    if name.startswith(prefix):
        directory, _, base = name[len(prefix) :].rpartition("/")
    elif name == prefix[:-1]:  # the prefix is a file, and its listing is that file
        directory, base = "", name.rpartition("/")[2]
    else:
        raise ProtocolError(f"{name}: the server lists it below {prefix!r}, where it is not", name=name)
    if may_be_reserved(name):  # a fast check first, because nearly no name has
        if is_home(base) or any(map(is_home, directory.split("/"))):
            return None
        if is_unfinished(base):
            raise InvalidNameError(f"{name}: unspool keeps unfinished downloads under such names", name=name)
    return RelativePath(directory, base)


class Paths:
    """The paths of the files below a prefix, as `relative_path_of` returns them. Files in a row of one directory are faster.

    Args:
        prefix: as `below` returns it.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._above: str | None = None  # the names of the last file's directory begin with this
        self._directory = ""

    def of(self, name: str) -> RelativePath | None:
        """Return the path of a file. Arguments and errors as `relative_path_of`."""
        at = name.rfind("/") + 1
        last = name[at:]
        if name[:at] == self._above and surely_a_name(name, last) and not may_be_reserved(last):
            return RelativePath(self._directory, last)
        path = relative_path_of(name, self._prefix)
        if path is not None and name.startswith(self._prefix):
            self._above, self._directory = name[:at], path.directory
        return path


def folded(path: RelativePath) -> str:
    """Return a form that is equal for paths that differ only in case or Unicode normalization."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", str(path)).casefold())


@value
class Recorded:
    """An entry of the record: a local file, identified by size, time and inode, has the bytes of a revision.

    Attributes:
        revision, size, crc32c: of the server's file.
        modified_ns, inode: of the local file; its size is the same.
        given: the server's attributes that were set on the local file, as far as possible.
    """

    revision: str
    size: int
    crc32c: int
    modified_ns: int
    inode: int
    given: Attributes = field(default_factory=Attributes)

    def is_of(self, local: Local) -> bool:
        """Whether a local file is the one that the record was made of."""
        return (self.size, self.modified_ns, self.inode) == (local.size, local.modified_ns, local.inode)


@value
class Local:
    """A local regular file."""

    size: int
    modified_ns: int
    inode: int
    executable: bool = False


class FetchNeed(Enum):
    """What to do about a file on the server."""

    NOTHING = auto()
    COMPARE = auto()
    FETCH = auto()


def fetch_need(
    info: FileInfo, recorded: Recorded | None, local: Local | None, *, reread: bool = False
) -> tuple[FetchNeed, int | None]:
    """Return what to do about a file, and the CRC32C to compare the local one with.

    Args:
        info: as the server lists it.
        recorded: its entry in the record; None if there is none, or the record is not used.
        local: the regular file at its path; None if there is none.
        reread: compare the local file even if the record vouches for it.
    """
    if local is None or local.size != info.size:
        return FetchNeed.FETCH, None
    checksum = info.crc32c
    if (
        recorded is not None
        and (recorded.revision, recorded.size) == (info.revision, info.size)
        and checksum in (None, recorded.crc32c)  # the server may know a checksum that it did not know then
    ):
        if recorded.is_of(local) and not reread:
            return FetchNeed.NOTHING, None
        checksum = recorded.crc32c
    return (FetchNeed.FETCH, None) if checksum is None else (FetchNeed.COMPARE, checksum)


def made_executable(recorded: Recorded | None, local: Local) -> bool:
    """Whether unspool made a local file executable, so that unspool may undo it."""
    return recorded is not None and recorded.given.executable is True and recorded.is_of(local)


def lacks(attributes: Attributes, recorded: Recorded, local: Local) -> bool:
    """Whether a local file with an entry in the record lacks some of its attributes.

    The time is compared with the one in the record, because the file system may not be able to store it exactly.
    """
    if attributes.modified_ns not in (None, recorded.given.modified_ns):
        return True
    if attributes.executable:
        return not local.executable
    return attributes.executable is False and local.executable and made_executable(recorded, local)
