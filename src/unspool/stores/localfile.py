"""An open file of a directory, and what is told of it.

Rule 1: size, revision and bytes come from one descriptor. After every read the descriptor is looked at again, so bytes that
        leave were read while the file was still at the revision.
Rule 2: the first read waits until a further write would show: until then it could fall into the same tick of the file
        system's clock.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
import time
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from functools import lru_cache

from unspool.core.model import FileInfo, Span
from unspool.errors import DataLossError, FileChangedError, NotAFileError
from unspool.stores.oserrors import mapped
from unspool.stores.threads import Threads, Use

_TICK_NS = 20_000_000
"""After this many nanoseconds a change gets another time stamp than the one before it. Linux before 6.13 stamps files with the
time of the last timer tick, up to 10 ms ago."""

_TYPE_OF_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
"""What a packed file is as it stands: `a.tar.gz` is gzip data, only its content is a tar file."""


class LocalFile:
    """See `OpenFile`.

    Args:
        threads: where it is read, and closed.
        descriptor: the regular file, open; from now on it is closed by this.
        name: as asked for.
        status: of the descriptor.
    """

    def __init__(self, threads: Threads, descriptor: int, name: str, status: os.stat_result) -> None:
        self.info = info_of(name, status)
        self._changed_ns = status.st_ctime_ns
        self._threads = threads
        self._descriptor = descriptor
        self._use = Use(lambda: os.close(descriptor))

    async def read(self, span: Span, block_size: int) -> AsyncGenerator[bytes, None]:
        """See `OpenFile.read`."""
        if not span.length:
            return
        await self._until_a_write_shows()
        position = span.start
        ahead = self._start_reading(position, min(block_size, span.stop - position))
        try:
            while ahead is not None:
                data = await asyncio.wrap_future(ahead)
                position += len(data)
                ahead = self._start_reading(position, min(block_size, span.stop - position))
                yield data
        finally:
            if ahead is not None:
                ahead.cancel()

    async def _until_a_write_shows(self) -> None:
        age = time.time_ns() - self._changed_ns
        if age < _TICK_NS:
            # At most a tick, also where the file system's clock is ahead of ours.
            await asyncio.sleep(min(_TICK_NS - age, _TICK_NS) / 1e9)

    def _start_reading(self, offset: int, size: int) -> Future[bytes] | None:
        return self._threads.submit(lambda: self._read(offset, size)) if size else None

    def _read(self, offset: int, size: int) -> bytes:
        name = self.info.name
        with mapped(name), self._use:
            data = os.pread(self._descriptor, size, offset)
            while 0 < len(data) < size and (more := os.pread(self._descriptor, size - len(data), offset + len(data))):
                data += more
            status = os.fstat(self._descriptor)
        if not self._unchanged(status):
            raise FileChangedError(f"{name}: changed while it was read, at byte {offset}", name=name, offset=offset)
        if len(data) < size:
            raise DataLossError(
                f"{name}: {size} bytes should be at byte {offset}, the file system returned {len(data)}",
                name=name,
                offset=offset,
            )
        return data

    def _unchanged(self, status: os.stat_result) -> bool:
        if _revision(status) == self.info.revision:
            return True
        # Removed, or replaced by a rename: the change time moved, the bytes behind the descriptor did not. They are still
        # one whole revision, so a stream that has begun may end.
        return status.st_nlink == 0 and (status.st_size, status.st_mtime_ns) == (self.info.size, self.info.modified_ns)

    def close(self) -> None:
        """Let go of the file, from a thread."""
        self._use.end()

    async def aclose(self) -> None:
        """See `OpenFile.aclose`."""
        self._threads.let_go(self._use)


def check_regular(name: str, status: os.stat_result) -> None:
    """Raise NotAFileError for what is no regular file."""
    if stat.S_ISDIR(status.st_mode):
        raise NotAFileError(f"{name}: is a directory", name=name)
    if not stat.S_ISREG(status.st_mode):
        raise NotAFileError(f"{name}: is not a regular file", name=name)


def _revision(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


def info_of(name: str, status: os.stat_result) -> FileInfo:
    """Return what is told of a file."""
    return FileInfo(
        name=name,
        size=status.st_size,
        revision=_revision(status),
        modified_ns=status.st_mtime_ns,
        content_type=_content_type(name),
    )


def _content_type(name: str) -> str:
    base = name[name.rfind("/") + 1 :]
    dot = base.rfind(".")
    return _type_of_ending(base[dot:]) if dot > 0 else ""


@lru_cache(maxsize=1024)
def _type_of_ending(ending: str) -> str:
    content_type, packed = mimetypes.guess_type(f"file{ending}")
    return _TYPE_OF_PACKED.get(packed, "") if packed else content_type or ""
