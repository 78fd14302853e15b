"""A local file that is uploaded: read in blocks, summed, and looked at again at the end.

Rule 1: the file is opened once, and all bytes are read from that descriptor: a file that replaces it meanwhile is not mixed in.
Rule 2: a byte is summed when it is read, and its checksum is kept by segment. What the server has is compared with that, and
        only what was not read yet is read for it.
Rule 3: before the upload is committed, the file must have the size and the times that it had when it was opened. A checksum
        alone does not show a change: each block is right, but the whole would be a file that never was.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from unspool.core.checksum import combine, crc32c
from unspool.core.model import Attributes, Block, Bytes, Span
from unspool.core.segments import SegmentTable, segment_size_for
from unspool.errors import LocalFileError, SourceChangedError
from unspool.local.oserrors import unreadable, without_size
from unspool.system.pagecache import PageCache

_READ_SIZE = 1 << 20
"""Bytes per read when a span is summed: it fits into the processor's cache, and a cancelled caller does not wait for long."""


class Source(Protocol):
    """What is uploaded. Its methods block, and run one at a time, but for `close`."""

    @property
    def size(self) -> int | None:
        """In bytes; None if it is not known yet."""
        ...

    @property
    def attributes(self) -> Attributes:
        """What the file gets at the server."""
        ...

    def read(self, span: Span) -> Block | None:
        """Return a block that begins where the span does, and is shorter only at the end; None if nothing is there."""
        ...

    def read_at_once(self, span: Span) -> Block | None:
        """Do the same if that needs no waiting; else return None. The data of the block is good until the next call."""
        ...

    def summed(self, span: Span) -> Iterator[tuple[int, int]]:
        """Yield, piece by piece, how many bytes of the span are summed, and their CRC32C; last those of the whole span."""
        ...

    def checksum(self) -> int | None:
        """Return the CRC32C of the whole; None if it was not all read yet."""
        ...

    def check(self) -> None:
        """Raise SourceChangedError if it is not what it was."""
        ...

    def forget(self, before: int) -> None:
        """The bytes before that position are not wanted again."""
        ...

    def close(self) -> None:
        """Release it."""
        ...


class FileSource:
    """A local file that is uploaded. Its methods block.

    Attributes:
        path: for messages.
        size: in bytes, when it was opened.
        attributes: its modification time, and whether the owner may run it.

    Args:
        path: of a regular file. Symbolic links are followed.

    Raises:
        LocalFileError: the file cannot be opened, or is not a regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Non-blocking, because a pipe may have replaced the file; it does not matter for a regular file.
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            raise unreadable(self.path, error) from error
        self._status = os.fstat(self._descriptor)
        if not stat.S_ISREG(self._status.st_mode):
            os.close(self._descriptor)
            what = "is a directory: upload it with put_tree" if stat.S_ISDIR(self._status.st_mode) else "is not a regular file"
            raise LocalFileError(f"{path}: {what}")
        self.size = self._status.st_size
        if not self.size:
            self._check_empty()
        self.attributes = Attributes(self._status.st_mtime_ns, executable=bool(self._status.st_mode & stat.S_IXUSR))
        self._table = SegmentTable(segment_size_for(self.size))
        self._cache = PageCache(self._descriptor)
        self._buffer = memoryview(b"")

    def _check_empty(self) -> None:
        """Raise LocalFileError if there are bytes, or cannot be read: an empty file would be uploaded, and verified."""
        try:
            if os.pread(self._descriptor, 1, 0) and not os.fstat(self._descriptor).st_size:
                raise without_size(self.path)
        except LocalFileError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise unreadable(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def read(self, span: Span) -> Block:
        """Return a block with the bytes of the span. Raises SourceChangedError if the file has become shorter."""
        try:
            data = os.pread(self._descriptor, span.length, span.start)
            while 0 < len(data) < span.length and (
                more := os.pread(self._descriptor, span.length - len(data), span.start + len(data))
            ):
                data += more
        except OSError as error:
            raise unreadable(self.path, error) from error
        if len(data) < span.length:
            raise self._changed(f"it ends at byte {span.start + len(data)}")
        return self._block(span, data)

    def read_at_once(self, span: Span) -> Block | None:
        """Return a block with the bytes of the span if they are in memory, else None. It is good until the next call."""
        if len(self._buffer) < span.length:
            self._buffer = memoryview(bytearray(span.length))
        data = self._buffer[: span.length]
        try:
            return self._block(span, data) if self._cache.read(data, span.start) else None
        except OSError as error:
            raise unreadable(self.path, error) from error

    def _block(self, span: Span, data: Bytes) -> Block:
        block = Block(span.start, data, crc32c(data))
        self._table.record(block)
        return block

    def summed(self, span: Span) -> Iterator[tuple[int, int]]:
        """Yield, piece by piece, how many bytes of the span are summed, and their CRC32C; last those of the whole span."""
        whole, position = 0, span.start
        yield 0, 0
        while position < span.stop:
            known = self._table.good_at(position)
            if known is not None and position + known.length <= span.stop:
                length, checksum = known.length, known.crc32c
            else:
                segment_end = (position // self._table.segment_size + 1) * self._table.segment_size
                block = self.read(Span(position, min(position + _READ_SIZE, span.stop, segment_end)))
                length, checksum = len(block.data), block.crc32c
            whole = combine(whole, checksum, length)
            position += length
            yield position - span.start, whole

    def checksum(self) -> int | None:
        """Return the CRC32C of the whole file; None if it was not all read yet."""
        return self._table.checksum(self.size)

    def forget(self, before: int) -> None:
        """Do nothing: the file can be read again."""

    def check(self) -> None:
        """Raise SourceChangedError if the file is not as it was when it was opened."""
        now, before = os.fstat(self._descriptor), self._status
        if now.st_size != before.st_size:
            raise self._changed(f"it had {before.st_size} bytes and has {now.st_size} now")
        if (now.st_mtime_ns, now.st_ctime_ns) != (before.st_mtime_ns, before.st_ctime_ns):
            raise self._changed("its times are not what they were")

    def _changed(self, how: str) -> SourceChangedError:
        return SourceChangedError(f"{self.path}: changed while it was uploaded ({how}): upload it when nothing writes to it")
