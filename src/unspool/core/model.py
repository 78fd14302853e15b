"""The data types of unspool: files, listings, requests and the messages of a read.

All offsets, sizes and lengths are in bytes, and all spans are half-open. These types do not depend on how they are sent or
stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, overload

from unspool.core.value import value
from unspool.errors import UnspoolError

LARGEST_FILE = (1 << 63) - 1
"""Largest file size in bytes that file systems and the wire format can represent."""

Bytes: TypeAlias = bytes | memoryview
"""Bytes that do not change. A memoryview is used where it saves a copy."""


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
        """Number of bytes in the span."""
        return self.stop - self.start


@value
class Attributes:
    """Metadata of a file. The store fills it in, and the client applies it to the local file.

    Attributes:
        modified_ns: when the bytes last changed, in nanoseconds since 1970 UTC, by the store's clock; None if unknown.
        content_type: media type (RFC 6838), or "".
        executable: whether the file may be run as a program; None if unknown.
    """

    modified_ns: int | None = None
    content_type: str = ""
    executable: bool | None = None


NO_ATTRIBUTES = Attributes()

NamedSpan: TypeAlias = tuple[str, int, int]
"""A span of a named file: the name, the first byte, and the number of bytes."""


@value
class FileInfo:
    """A file at one revision. Copy it with `dataclasses.replace`, which keeps all fields.

    Attributes:
        name: the file's relative, `/`-separated key.
        size: length in bytes.
        revision: strong validator: same revision, same bytes. Never empty.
        attributes: the file's metadata.
        crc32c: CRC32C of the whole file; None if not known yet.
        sha256: SHA-256 of the whole file, 32 bytes; None if it was not asked for.
    """

    name: str
    size: int
    revision: str
    attributes: Attributes = field(default_factory=Attributes)
    crc32c: int | None = None
    sha256: bytes | None = None


def with_crc32c(info: FileInfo, checksum: int) -> FileInfo:
    """Return a description with the whole file's checksum. Listings need it for each file; `replace` takes 1 us more."""
    return FileInfo(info.name, info.size, info.revision, info.attributes, checksum, info.sha256)


@value
class Omission:
    r"""One name that a listing leaves out, or a number of names that are only counted.

    Attributes:
        reason: why, as one of the words in PROTOCOL.md's table. A server may send others.
        name: the full name in the store, for people to read: bytes that are not UTF-8 are written `\xNN`. "" if not given.
        count: how many names, at least 1. It is 1 if `name` is given.
    """

    reason: str
    name: str = ""
    count: int = 1


@value
class Page:
    """One page of a listing: files, and prefixes, each ending in `/`.

    In a listing of one level the prefixes are the directories at that level. In a recursive listing they are the directories in
    which nothing is listed. `omitted` says what was left out; only some of it is named.
    """

    files: tuple[FileInfo, ...] = ()
    prefixes: tuple[str, ...] = ()
    omitted: tuple[Omission, ...] = ()


@dataclass(frozen=True, slots=True)
class Prefix:
    """A directory in a listing of one level: the common part, up to a `/`, of the names below it.

    Attributes:
        name: the prefix to list to see these names. Ends in `/`.
    """

    name: str


Entry: TypeAlias = FileInfo | Prefix
"""An entry of a listing. Both types have a `name`; only a prefix's name ends in `/`."""


@value
class ReadRequest:
    """One span of one file, at one revision if pinned.

    Attributes:
        start: first byte wanted.
        length: bytes wanted; None reads to the end of the file, 0 reads nothing.
        revision: the read fails if the file is at another revision; None reads the current one.
        block_size: largest block wanted; the server clamps it. None leaves it to the server.
        transfer_id, attempt: for logs only.
        sha256: whether the header is to have the SHA-256 of the whole file.
    """

    name: str
    start: int = 0
    length: int | None = None
    revision: str | None = None
    block_size: int | None = None
    transfer_id: str = ""
    attempt: int = 0
    sha256: bool = False


@value
class Header:
    """Opens a read: says which bytes will be sent.

    A dialect that does not describe the file (the tutorial's) leaves `info` and `length` None. Such a read can be received, but
    it cannot be pinned to a revision, and the whole file cannot be verified.
    """

    info: FileInfo | None
    start: int
    length: int | None


@value
class Block:
    """A run of bytes, its absolute offset, and the CRC32C that the sender computed for it."""

    offset: int
    data: Bytes
    crc32c: int

    @property
    def end(self) -> int:
        """Offset one past the last byte."""
        return self.offset + len(self.data)


@value
class Summary:
    """Closes a read.

    Attributes:
        end: offset one past the last byte sent.
        at_end: whether that is the end of the file.
        crc32c: CRC32C of the whole file; None if not known.
    """

    end: int
    at_end: bool
    crc32c: int | None = None


@value
class Frame:
    """One message of a read. It may carry all three parts, which are processed in this order. Without any it is a heartbeat."""

    header: Header | None = None
    block: Block | None = None
    summary: Summary | None = None


HEARTBEAT = Frame()


def is_heartbeat(frame: Frame) -> bool:
    """Whether a frame carries no header, block or summary."""
    return frame.header is None and frame.block is None and frame.summary is None


@value
class WantedFile:
    """One file of a batch, or one span of it.

    Attributes:
        name: name of the file.
        revision: the read fails if the file is at another revision; None reads the current one.
        start: first byte wanted. An older server ignores it and sends the whole file; the header says which bytes are sent.
        unless_revision: the revision that the caller already has. If the file is at it, the server sends a header and a summary
            and no bytes. An older server sends the bytes.
        length: bytes wanted; None reads to the end of the file, 0 reads nothing. An older server ignores it and sends the bytes
            to the end; the header says so.
    """

    name: str
    revision: str | None = None
    start: int = 0
    unless_revision: str | None = None
    length: int | None = None


@value
class BatchRequest:
    """Several files that are read with one stream, in the order given.

    Attributes:
        files: the files wanted.
        block_size: largest block wanted; the server clamps it. None leaves it to the server.
        transfer_id, attempt: for logs only.
        packs: whether small files may come without their descriptions, which the caller has. Then the description in a header
            has only the name, the size and the revision.
    """

    files: tuple[WantedFile, ...]
    block_size: int | None = None
    transfer_id: str = ""
    attempt: int = 0
    packs: bool = False


@value
class Piece:
    """One frame of one file of a batch, or the error that ends this file. An error does not end the other files.

    Attributes:
        index: position of the file in the request, from 0. It never decreases within a stream.
        frame: the frame that a read of this file alone would carry; None if there is an error.
        error: why the file cannot be sent; None if there is a frame.
    """

    index: int
    frame: Frame | None = None
    error: UnspoolError | None = None

    @property
    def ends_file(self) -> bool:
        """Whether this is the last piece of its file."""
        return self.error is not None or (self.frame is not None and self.frame.summary is not None)


@value
class ListRequest:
    """A listing of the files below a prefix, one level or recursive. The server clamps `page_size`.

    Attributes:
        hides: set by the server only. Called with the prefix of a directory below, which ends in `/`; whether nothing below it
            will be shown, so that the store need not look into it. It may be called in any thread.
    """

    prefix: str = ""
    recursive: bool = False
    page_size: int | None = None
    hides: Callable[[str], bool] | None = field(default=None, compare=False, repr=False)


class Pack(Sequence[Piece]):
    """Whole small files of a batch, one after another: a message that stands for a piece of each.

    A piece is made when it is asked for. Most are not: for a small file, making it takes longer than checking its bytes.

    Attributes:
        first: the index of the first file in the request.
        files: the files of the request.
        sizes, checksums: of each file of the pack.
        data: the bytes of all of them.
    """

    def __init__(
        self, first: int, files: Sequence[WantedFile], sizes: Sequence[int], checksums: Sequence[int], data: memoryview
    ) -> None:
        self.first = first
        self.files = files
        self.sizes = sizes
        self.checksums = checksums
        self.data = data

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, number: int) -> Piece: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Piece]: ...

    def __getitem__(self, number: int | slice) -> Piece | Sequence[Piece]:
        return list(self)[number]

    def __iter__(self) -> Iterator[Piece]:
        for wanted in self.contents():
            yield piece_of(*wanted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def contents(self) -> Iterator[tuple[int, WantedFile, memoryview, int]]:
        """Yield of each file its index, what was asked for, its bytes, and its checksum as the server sent it."""
        start = 0
        for index, (size, checksum) in enumerate(zip(self.sizes, self.checksums, strict=True), self.first):
            yield index, self.files[index], self.data[start : start + size], checksum
            start += size


def piece_of(index: int, wanted: WantedFile, data: Bytes, checksum: int) -> Piece:
    """Return the piece that a file of a pack stands for."""
    size = len(data)
    info = FileInfo(wanted.name, size, wanted.revision or "")
    return Piece(index, Frame(Header(info, 0, size), Block(0, data, checksum), Summary(size, at_end=True, crc32c=checksum)))
