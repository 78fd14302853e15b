"""What `client/tree.py` (network) and `local/tree.py` (disk) tell each other about the files of a tree."""

from __future__ import annotations

from dataclasses import dataclass, field

from unspool.core.model import Bytes, FileInfo
from unspool.core.tree import RelativePath
from unspool.errors import UnspoolError
from unspool.options import MIB

SMALL = MIB
"""Bytes up to which a file is fetched with others: one block. A larger one is worth a part file and a journal of its own."""

GROUP_SECONDS = 2.0
"""Most seconds that a file stays without its final name, when few files arrive: the interval of a large file's journal."""


@dataclass(slots=True)
class Wanted:
    """A file that has to be fetched.

    Attributes:
        info: the file, with only those attributes that the local file should get.
        path: its path below the destination.
        mode: the permissions of the file that it replaces; None if it replaces none.
        takes_back: whether unspool made the replaced file executable.
    """

    info: FileInfo
    path: RelativePath
    mode: int | None = None
    takes_back: bool = False


@dataclass(slots=True)
class ReceivedFile:
    """A small file that is complete and verified.

    Attributes:
        wanted: the file.
        blocks: its bytes, in order.
        crc32c: CRC32C of the whole file.
        confirmed: whether the server sent the same checksum for the whole file.
    """

    wanted: Wanted
    blocks: list[Bytes]
    crc32c: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A file of a tree that could not be fetched, and why."""

    name: str
    error: UnspoolError


@dataclass(slots=True)
class Outcome:
    """The results for some files. Sizes are in bytes.

    Attributes:
        directories: number of empty directories that exist now.
        wanted: files that have to be fetched.
        elsewhere: files that arrived, but belong on another file system, to which a staged file cannot be renamed.
        left_out: number of files that are part of another tree's record.
    """

    listed: int = 0
    listed_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    fetched: int = 0
    fetched_bytes: int = 0
    left_out: int = 0
    directories: int = 0
    wanted: list[Wanted] = field(default_factory=list)
    elsewhere: list[Wanted] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
