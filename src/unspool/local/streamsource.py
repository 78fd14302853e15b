"""A stream that is uploaded, such as standard input. Its size is known only at its end, and it cannot be read twice.

Rule 1: the last MEMORY bytes are kept. An upload that broke goes on if the server has everything before them, and is an error
        otherwise. Another process cannot go on with it at all.
Rule 2: a read waits for a whole block, or for the end. A read that waits for a pipe ends soon after `close`.
"""

from __future__ import annotations

import io
import select
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from unspool.core.abridged import abridged
from unspool.core.checksum import combine, crc32c
from unspool.core.counted import counted
from unspool.core.model import NO_ATTRIBUTES, Block, Span
from unspool.errors import InvalidRequestError, LocalFileError, TransferError, UnspoolError

MEMORY = 64 << 20
"""Bytes: what a server may have received and not yet synced, at most, so that it may lose them when its machine fails."""

_POLL = 0.1
"""Seconds between two looks at whether the upload was given up, while a pipe has nothing."""


class Reader(Protocol):
    """Anything that bytes can be read from, such as a binary file."""

    def read(self, size: int, /) -> bytes | None:
        """Return at most `size` bytes; none at the end."""
        ...


def check_reader(reader: object) -> None:
    """Raise InvalidRequestError if bytes cannot be read from `reader`."""
    if isinstance(reader, io.TextIOBase):
        raise InvalidRequestError("the source is a text file, which has no bytes: open it with mode 'rb'")
    if not callable(getattr(reader, "read", None)):
        raise InvalidRequestError(f"the source is {abridged(repr(reader))}: give a path, or a file opened with mode 'rb'")


class StreamSource:
    """A stream that is uploaded. Its methods block.

    Attributes:
        size: in bytes, once its end was read; else None.
        attributes: none.

    Args:
        reader: where the bytes come from. It is not closed.
        name: for messages.
        memory: how many bytes to keep.
    """

    def __init__(self, reader: Reader, name: str, memory: int = MEMORY) -> None:
        self.size: int | None = None
        self.attributes = NO_ATTRIBUTES
        self._reader = reader
        self._name = name
        self._memory = memory
        self._kept: deque[tuple[Block, int]] = deque()  # blocks, each with the CRC32C of all bytes before it
        self._checksum = 0  # of all bytes read
        self._end = 0  # number of bytes read
        self._over = False
        # A buffered file may have bytes that select does not know of.
        self._descriptor = _descriptor_of(reader) if isinstance(reader, io.RawIOBase) else None

    def close(self) -> None:
        """End the read that waits for the stream, if one does."""
        self._over = True

    @property
    def start(self) -> int:
        """The first byte that is kept."""
        return self._kept[0][0].offset if self._kept else self._end

    def forget(self, before: int) -> None:
        """Forget kept blocks that end at `before` or earlier: the server has them for good."""
        while self._kept and self._kept[0][0].end <= before:
            self._kept.popleft()

    def read(self, span: Span) -> Block | None:
        """Return a block that begins at the span's start and has at most its length; None at the end of the stream.

        Raises:
            TransferError: the bytes are not kept any more.
        """
        if span.start < self.start:
            raise self._gone(span.start)
        for block, _ in self._kept:
            if block.offset <= span.start < block.end:
                data = bytes(block.data)[span.start - block.offset : span.stop - block.offset]
                return Block(span.start, data, crc32c(data))
        if self.size is not None:
            return None
        data = self._read(span.length)
        if len(data) < span.length:
            self.size = self._end + len(data)
        if not data:
            return None
        block = Block(self._end, data, crc32c(data))
        self._kept.append((block, self._checksum))
        self._checksum = combine(self._checksum, block.crc32c, len(data))
        self._end = block.end
        while self._end - self._kept[0][0].end >= self._memory:
            self._kept.popleft()
        return block

    def read_at_once(self, span: Span) -> None:
        """Return None: a read of a stream may wait for a process, or for a person."""

    def summed(self, span: Span) -> Iterator[tuple[int, int]]:
        """Yield the length and the CRC32C of a span that begins at byte 0.

        Raises:
            TransferError: the span does not begin there, or the bytes that follow it are not kept.
        """
        if span.start:
            raise self._gone(0)
        yield span.stop, self._checksum_before(span.stop)

    def _checksum_before(self, position: int) -> int:
        if position == self._end:
            return self._checksum
        for block, before in self._kept:
            if block.offset <= position < block.end:
                return crc32c(bytes(block.data)[: position - block.offset], before)
        raise self._gone(position)

    def checksum(self) -> int:
        """Return the CRC32C of all bytes read."""
        return self._checksum

    def check(self) -> None:
        """Do nothing: what was read from a stream cannot change any more."""

    def _gone(self, position: int) -> TransferError:
        return TransferError(
            f"{self._name}: the server has only {counted(position, 'byte')} of it, and a stream cannot be read again: "
            "the upload cannot go on; upload a file to be able to resume"
        )

    def _read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end of the stream."""
        parts, left = [], size
        try:
            while left and (part := self._read_some(left)):
                parts.append(part)
                left -= len(part)
        except UnspoolError:
            raise
        except (OSError, ValueError) as error:
            raise LocalFileError(f"{self._name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_some(self, size: int) -> bytes:
        while True:
            waits = [self._descriptor] if self._descriptor is not None else []
            while waits and not self._over and not select.select(waits, [], [], _POLL)[0]:
                pass
            if self._over:
                raise TransferError(f"{self._name}: the upload was given up")
            part = self._reader.read(size)
            if isinstance(part, (bytes, bytearray, memoryview)):
                return bytes(part)
            if part is not None:
                raise InvalidRequestError(f"{self._name}: read() returned {abridged(repr(part))} instead of bytes")


def _descriptor_of(reader: io.RawIOBase) -> int | None:
    try:
        return reader.fileno()
    except (OSError, ValueError):
        return None
