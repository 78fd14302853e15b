"""The words of unspool as values: what a file is, and what goes over the wire about it.

All offsets, sizes and lengths are bytes. Half-open spans throughout. Nothing here knows how it is sent or stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from unspool.core.value import value
from unspool.errors import UnspoolError

Bytes: TypeAlias = bytes | memoryview
"""A run of bytes nobody will change; a memoryview where that saves a copy."""


@value
class Span:
    """The bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a span: {self.start}..{self.stop}")

    @property
    def length(self) -> int:
        """How many bytes it covers."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is told of a file beside its bytes: stores fill it in, and whoever puts the file somewhere applies it.

    Attributes:
        modified_ns: when the bytes last changed, in nanoseconds since 1970 UTC, by the store's clock; None if unknown.
        content_type: media type (RFC 6838), or "".
        executable: whether the file may be run as a program; None if unknown.
    """

    modified_ns: int | None = None
    content_type: str = ""
    executable: bool | None = None


NO_ATTRIBUTES = Attributes()


@value
class FileInfo:
    """What a file is at one revision. Copied with `dataclasses.replace`, so that no copy forgets a field.

    Attributes:
        name: its relative, `/`-separated key.
        size: length in bytes.
        revision: strong validator; same revision, same bytes. Never empty.
        attributes: what else is told of it.
        crc32c: CRC32C of the whole file; None if not known yet.
    """

    name: str
    size: int
    revision: str
    attributes: Attributes = NO_ATTRIBUTES
    crc32c: int | None = None


@value
class Omission:
    r"""A name that a listing leaves out, or several of which only the number is told.

    Attributes:
        reason: why, as a word of PROTOCOL.md's table; a server may send others.
        name: from the top of the store, for people: bytes that are no UTF-8 are written `\xNN`. "" if it is not told.
        count: how many names, at least 1; of a named one, 1.
    """

    reason: str
    name: str = ""
    count: int = 1


@value
class Page:
    """One page of a listing: files, and prefixes, each ending in `/`.

    Of one level, the prefixes are the directories there. Of all below, they are the directories in which nothing is listed.
    What was left out is told as well, by name as far as there is room.
    """

    files: tuple[FileInfo, ...] = ()
    prefixes: tuple[str, ...] = ()
    omitted: tuple[Omission, ...] = ()


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a listing of one level has for all that is deeper: the part up to a `/` that some names have in common.

    Attributes:
        name: what to list to see them; ends in `/`.
    """

    name: str


Entry: TypeAlias = FileInfo | Prefix
"""What a listing is made of. Both have a `name`, and only that of a prefix ends in `/`."""


@value
class ReadRequest:
    """One span of one file, at one revision if pinned.

    Attributes:
        start: first byte wanted.
        length: how many; None is to the end of the file, 0 is none.
        revision: these bytes or fail; None takes whatever the file is now.
        block_size: largest block wanted, or None; a wish that the server clamps.
        transfer_id, attempt: for logs only.
    """

    name: str
    start: int = 0
    length: int | None = None
    revision: str | None = None
    block_size: int | None = None
    transfer_id: str = ""
    attempt: int = 0


@value
class Header:
    """Opens a read: what will really be sent.

    A dialect that says nothing about the file (the tutorial's) leaves `info` and `length` None: such a read can be
    received, but not pinned and not verified.
    """

    info: FileInfo | None
    start: int
    length: int | None


@value
class Block:
    """One run of bytes with its absolute offset and the CRC32C the sender computed over it."""

    offset: int
    data: Bytes
    crc32c: int

    @property
    def end(self) -> int:
        """One past its last byte."""
        return self.offset + len(self.data)


@value
class Summary:
    """Closes a read: one past the last byte sent, whether that is the end of the file, the whole file's CRC32C if known."""

    end: int
    at_end: bool
    crc32c: int | None = None


@value
class Frame:
    """One message of a read: any of the three, taken in this order. With none of them it is a heartbeat."""

    header: Header | None = None
    block: Block | None = None
    summary: Summary | None = None


HEARTBEAT = Frame()


def is_heartbeat(frame: Frame) -> bool:
    """Whether a frame carries nothing."""
    return frame.header is None and frame.block is None and frame.summary is None


@value
class WantedFile:
    """One file of a batch, wanted to its end.

    Attributes:
        name: of the file.
        revision: these bytes or fail; None takes whatever the file is now.
        start: first byte wanted. The header says whether the server knows that: an older one sends all of the file.
        unless_revision: the caller has the bytes of this revision. If the file is at it, the frames are a header and a summary
            at the end of the file, without a byte. An older server sends the bytes.
    """

    name: str
    revision: str | None = None
    start: int = 0
    unless_revision: str | None = None


@value
class BatchRequest:
    """Whole files, read with one stream, in the order in which they are named.

    Attributes:
        files: the files wanted.
        block_size: largest block wanted, or None; a wish that the server clamps.
        transfer_id, attempt: for logs only.
    """

    files: tuple[WantedFile, ...]
    block_size: int | None = None
    transfer_id: str = ""
    attempt: int = 0


@value
class Piece:
    """One frame of one file of a batch, or the error that ends this file and no other.

    Attributes:
        index: which of the files asked for, from 0. Never descends.
        frame: header, block, summary as a read of that file alone would carry them; None if there is an error.
    """

    index: int
    frame: Frame | None = None
    error: UnspoolError | None = None

    @property
    def ends_file(self) -> bool:
        """Whether nothing more of its file follows."""
        return self.error is not None or (self.frame is not None and self.frame.summary is not None)


@value
class ListRequest:
    """The files below a prefix, one level or all; `page_size` is a wish that the server clamps."""

    prefix: str = ""
    recursive: bool = False
    page_size: int | None = None
