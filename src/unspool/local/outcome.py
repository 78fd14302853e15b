"""What is known of the files of a tree, between the disk's side and the network's."""

from __future__ import annotations

from dataclasses import dataclass, field

from unspool.core.model import Bytes, FileInfo
from unspool.core.tree import Place
from unspool.errors import UnspoolError


@dataclass(slots=True)
class Wanted:
    """A file that has to be fetched.

    Attributes:
        info: what it is; of its attributes, those that the local file is to have.
        place: where it belongs.
        mode: the permissions of what it replaces.
        takes_back: whether what it replaces was made executable by us.
    """

    info: FileInfo
    place: Place
    mode: int | None = None
    takes_back: bool = False


@dataclass(slots=True)
class Arrived:
    """A small file that is whole and verified: its blocks, the CRC32C of all, and whether the server said the same of it."""

    wanted: Wanted
    blocks: list[Bytes]
    crc32c: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A file of a tree that is not here, and why."""

    name: str
    error: UnspoolError


@dataclass(slots=True)
class Outcome:
    """What became of some files. Sizes are bytes.

    Attributes:
        directories: empty ones that are here.
        wanted: have yet to be fetched.
        elsewhere: arrived, but belong on another file system, where they cannot be put in one step from here.
        left_out: belong to the record of another tree.
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
