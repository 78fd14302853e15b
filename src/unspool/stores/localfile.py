"""An open file of a directory, and what is told of it.

Rule 1: size, revision and bytes come from one descriptor. After every read the descriptor is looked at again, so bytes that
        leave were read while the file was still at the revision.
Rule 2: the first read waits until a further write would show: until then it could get the same time stamp (`stamps`).
Rule 3: what is in memory is read at once, which costs less than waking a thread. From the first run of bytes that is not,
        threads read, one run ahead, so that a disk keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import aclosing
from functools import lru_cache

from unspool.core.model import Attributes, Bytes, FileInfo, Span
from unspool.errors import DataLossError, FileChangedError, NotAFileError
from unspool.stores.base import RunSize
from unspool.stores.oserrors import mapped
from unspool.stores.pagecache import PageCache
from unspool.stores.revisions import RevisionOf
from unspool.stores.stamps import seconds_until_a_write_shows
from unspool.stores.threads import Threads, Use
from unspool.stores.writers import every_write_shows

_RUNS_AHEAD = 16
"""Runs read by threads before it is looked again whether what follows is in memory."""

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_TYPE_OF_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
"""What a packed file is as it stands: `a.tar.gz` is gzip data, only its content is a tar file."""


class LocalFile:
    """See `OpenFile`.

    Args:
        threads: where it is read, and closed.
        descriptor: the regular file, open; from now on it is closed by this.
        info: what is told of it.
        status: of the descriptor.
    """

    def __init__(self, threads: Threads, descriptor: int, info: FileInfo, status: os.stat_result) -> None:
        self.info = info
        self._status = status
        self._threads = threads
        self._descriptor = descriptor
        self._cache = PageCache(descriptor)
        self._use = Use(lambda: os.close(descriptor))
        self._steady: bool | None = None

    def look_for_writers(self) -> None:
        """Find out, from a thread, whether the file is steady, if that can be said without waiting."""
        if not seconds_until_a_write_shows(self._status.st_ctime_ns):
            self._steady = self._every_write_shows()

    async def steady(self) -> bool:
        """See `OpenFile.steady`."""
        if self._steady is None:
            await self._until_a_write_shows()
            self._steady = await self._threads.run(self._every_write_shows)
        return self._steady

    def _every_write_shows(self) -> bool:
        with self._use:
            return every_write_shows(self._descriptor, self._status)

    async def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[Bytes, None]:
        """See `OpenFile.read`."""
        if not span.length:
            return
        await self._until_a_write_shows()
        position = span.start
        buffer = memoryview(b"")
        while position < span.stop:
            length = min(run_size(position), span.stop - position)
            if length > len(buffer):
                buffer = memoryview(bytearray(length))
            run = buffer[:length]
            if self._read_at_once(run, position):
                position += length
                yield run
                continue
            async with aclosing(self._read_ahead(Span(position, span.stop), run_size)) as runs:
                async for data in runs:
                    position += len(data)
                    yield data

    async def _read_ahead(self, span: Span, run_size: RunSize) -> AsyncGenerator[bytes, None]:
        """Yield some runs of a span from threads, which read one run ahead; what follows may be in memory again."""
        position = span.start
        left = _RUNS_AHEAD

        def start_reading() -> Future[bytes] | None:
            rest = span.stop - position
            return self._start_reading(position, min(run_size(position), rest)) if rest and left else None

        ahead = start_reading()
        try:
            while ahead is not None:
                data = await asyncio.wrap_future(ahead)
                position, left = position + len(data), left - 1
                ahead = start_reading()
                yield data
        finally:
            if ahead is not None:
                ahead.cancel()

    async def _until_a_write_shows(self) -> None:
        wait = seconds_until_a_write_shows(self._status.st_ctime_ns)
        if wait:
            await asyncio.sleep(wait)

    def _start_reading(self, offset: int, size: int) -> Future[bytes]:
        return self._threads.submit(lambda: self._read(offset, size))

    def _read(self, offset: int, size: int) -> bytes:
        with mapped(self.info.name), self._use:
            data = pread(self._descriptor, size, offset)
            status = os.fstat(self._descriptor)
        check_read(self.info, self._status, status, data, size=size, offset=offset)
        return data

    def _read_at_once(self, buffer: memoryview, offset: int) -> bool:
        """Fill the buffer if its bytes are in memory; return whether they were."""
        self._threads.check()
        with mapped(self.info.name), self._use:
            if not self._cache.read(buffer, offset):
                return False
            status = os.fstat(self._descriptor)  # waits for no disk either: where that could be, nothing is read at once
        check_read(self.info, self._status, status, buffer, size=len(buffer), offset=offset)
        return True

    def close(self) -> None:
        """Let go of the file, from a thread."""
        self._use.end()

    async def aclose(self) -> None:
        """See `OpenFile.aclose`."""
        self._threads.let_go(self._use)


def pread(descriptor: int, size: int, offset: int) -> bytes:
    """Read `size` bytes, or as many as there are."""
    data = os.pread(descriptor, size, offset)
    while 0 < len(data) < size and (more := os.pread(descriptor, size - len(data), offset + len(data))):
        data += more
    return data


def check_read(info: FileInfo, opened: os.stat_result, status: os.stat_result, data: Bytes, *, size: int, offset: int) -> None:
    """Check what was read of a file against what it is now (rule 1).

    Args:
        info: what is told of it.
        opened: what it was when it was opened.
        status: what it is now.
        data: what was read.
        size: how many bytes were asked for.
        offset: of the first.

    Raises:
        FileChangedError: it is not at its revision any more.
        DataLossError: bytes are missing.
    """
    # Removed, or replaced by a rename: the change time moved, the bytes behind the descriptor did not. They are still one
    # whole revision, so a stream that has begun may end.
    same = (status.st_size, status.st_mtime_ns) == (opened.st_size, opened.st_mtime_ns)
    if not same or (status.st_ctime_ns != opened.st_ctime_ns and status.st_nlink):
        raise FileChangedError(f"{info.name}: changed while it was read, at byte {offset}", name=info.name, offset=offset)
    if len(data) < size:
        raise DataLossError(
            f"{info.name}: {size} bytes should be at byte {offset}, the file system returned {len(data)}",
            name=info.name,
            offset=offset,
        )


def open_regular(name: str, directory: int, last: str | None, status: os.stat_result) -> int:
    """Open the file at a place (see `Place`); return its descriptor. Raises NotAFileError before what is none is opened."""
    check_regular(name, status)
    assert last is not None
    return os.open(last, _FILE, dir_fd=directory)


def check_regular(name: str, status: os.stat_result) -> None:
    """Raise NotAFileError for what is no regular file."""
    if stat.S_ISDIR(status.st_mode):
        raise NotAFileError(f"{name}: is a directory", name=name)
    if not stat.S_ISREG(status.st_mode):
        raise NotAFileError(f"{name}: is not a regular file", name=name)


def info_of(name: str, status: os.stat_result, revision_of: RevisionOf) -> FileInfo:
    """Return what is told of a file."""
    attributes = Attributes(status.st_mtime_ns, _content_type(name), executable=bool(status.st_mode & stat.S_IXUSR))
    return FileInfo(name, status.st_size, revision_of(status), attributes)


def _content_type(name: str) -> str:
    base = name[name.rfind("/") + 1 :]
    dot = base.rfind(".")
    return _type_of_ending(base[dot:]) if dot > 0 else ""


@lru_cache(maxsize=1024)
def _type_of_ending(ending: str) -> str:
    content_type, packed = mimetypes.guess_type(f"file{ending}")
    return _TYPE_OF_PACKED.get(packed, "") if packed else content_type or ""
