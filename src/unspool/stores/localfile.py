"""An open file of a local directory.

Rule 1: size, revision and bytes come from one descriptor. After every read its status is checked again, so all bytes returned
        were read while the file was still at its revision.
Rule 2: the first read waits until a further write would change the time stamp. Before that, a write could get the same time
        stamp and go unnoticed (`stamps`).
Rule 3: bytes in the page cache are read on the event loop, which costs less than waking a thread. From the first run that is
        not cached, worker threads read, one run ahead, so that a disk does not block other streams.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from unspool.core.counted import counted
from unspool.core.model import Attributes, Bytes, FileInfo, Span
from unspool.errors import DataLossError, FileChangedError, NotAFileError
from unspool.stores.base import RunSize
from unspool.stores.contents import Contents
from unspool.stores.contenttypes import content_type_of
from unspool.stores.oserrors import mapped
from unspool.stores.revisions import RevisionOf
from unspool.stores.stamps import seconds_until_a_write_shows
from unspool.stores.threads import Threads, Use
from unspool.stores.writers import every_write_shows
from unspool.system.pagecache import PageCache

_RUNS_AHEAD = 16
"""Runs read by worker threads before the page cache is tried again."""

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


Describe: TypeAlias = Callable[[str, int, os.stat_result], FileInfo]
"""Returns the information about a file with this name, descriptor and status."""


class LocalFile:
    """See `OpenFile`.

    Args:
        threads: the worker threads that read and close it.
        descriptor: the open regular file. This object closes it.
        info: the file's information.
        status: the descriptor's status when it was opened.
    """

    def __init__(self, threads: Threads, descriptor: int, info: FileInfo, status: os.stat_result) -> None:
        self.info = info
        self._status = status
        self._threads = threads
        self._descriptor = descriptor
        self._cache = PageCache(descriptor)
        self._use = Use(lambda: os.close(descriptor))
        self._steady: bool | None = None
        self._holders = 0
        self._reads_at_once = False  # whether bytes were read without waiting

    @property
    def status(self) -> os.stat_result:
        """The status when the file was opened."""
        return self._status

    @property
    def keepable(self) -> bool:
        """Whether the file may be kept open for the next read of it (`keptfiles`)."""
        return self._reads_at_once and self._steady is True

    def hold(self) -> None:
        """Count a user of the file. Each must call `let_go` once."""
        self._holders += 1

    def let_go(self) -> None:
        """Close the file, without waiting, when its last user has let go of it."""
        self._holders -= 1
        if not self._holders:
            self._threads.let_go(self._use)

    def described(self, describe: Describe) -> FileInfo:
        """Return the information that `describe` gives. Call it from a worker thread."""
        with self._use:
            return describe(self.info.name, self._descriptor, self._status)

    async def identify(self, contents: Contents) -> None:
        """Give the file the revision of its content, for which it may have to be read to its end."""
        with self._use:
            reading = contents.of(self.info.name, self._descriptor, self._status)
            content = await reading
        self.info = replace(self.info, revision=content.revision(self._status), crc32c=content.crc32c)

    def look_for_writers(self) -> None:
        """Find out whether the file is steady, if that needs no waiting. Call it from a worker thread."""
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
        """Yield up to `_RUNS_AHEAD` runs of a span, read by worker threads one run ahead."""
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

    def read_in_memory(self, offset: int, size: int) -> Bytes | None:
        """Return the bytes of a span within the file if they are in the page cache, else None. Raises as `read`."""
        if seconds_until_a_write_shows(self._status.st_ctime_ns):
            return None
        buffer = memoryview(bytearray(size))
        return buffer if self._read_at_once(buffer, offset) else None

    def _read_at_once(self, buffer: memoryview, offset: int) -> bool:
        """Fill the buffer if its bytes are in the page cache; return whether they were."""
        self._threads.check()
        with mapped(self.info.name), self._use:
            if not self._cache.read(buffer, offset):
                return False
            self._reads_at_once = True
            status = os.fstat(self._descriptor)  # does not block: on file systems where it could, nothing is read here
        check_read(self.info, self._status, status, buffer, size=len(buffer), offset=offset)
        return True

    def close(self) -> None:
        """Release the file. Call it from a worker thread."""
        self._use.end()

    async def aclose(self) -> None:
        """See `OpenFile.aclose`."""
        self._threads.let_go(self._use)


class HeldFile:
    """One user's hold of a file; see `OpenFile`.

    Args:
        file: the file.
        done: called when the user closes it, before it is let go.
    """

    __slots__ = ("_done", "_file", "info", "read", "steady")

    def __init__(self, file: LocalFile, done: Callable[[LocalFile], None]) -> None:
        self._file: LocalFile | None = file
        self._done = done
        self.info = file.info
        self.read = file.read
        self.steady = file.steady
        file.hold()

    async def aclose(self) -> None:
        """See `OpenFile.aclose`."""
        file, self._file = self._file, None
        if file is not None:
            self._done(file)
            file.let_go()


def pread(descriptor: int, size: int, offset: int) -> bytes:
    """Read `size` bytes, or fewer at the end of the file."""
    data = os.pread(descriptor, size, offset)
    while 0 < len(data) < size and (more := os.pread(descriptor, size - len(data), offset + len(data))):
        data += more
    return data


def check_read(info: FileInfo, opened: os.stat_result, status: os.stat_result, data: Bytes, *, size: int, offset: int) -> None:
    """Check after a read that the file has not changed and that no bytes are missing (rule 1).

    Args:
        info: the file's information.
        opened: its status when it was opened.
        status: its status after the read.
        data: the bytes read.
        size: how many bytes were asked for.
        offset: where they begin.

    Raises:
        FileChangedError: the file is no longer at its revision.
        DataLossError: bytes are missing.
    """
    # A file that was removed, or replaced by a rename, has a new change time, but the bytes behind the descriptor are the same.
    # They are still one revision, so a running stream may continue.
    same = (status.st_size, status.st_mtime_ns) == (opened.st_size, opened.st_mtime_ns)
    if not same or (status.st_ctime_ns != opened.st_ctime_ns and status.st_nlink):
        raise FileChangedError(f"{info.name}: changed while it was read, at byte {offset}", name=info.name, offset=offset)
    if len(data) < size:
        raise DataLossError(
            f"{info.name}: {counted(size, 'byte')} should be at byte {offset}, the file system returned {len(data)}",
            name=info.name,
            offset=offset,
        )


def open_regular(name: str, directory: int, last: str | None, status: os.stat_result) -> int:
    """Open a file (see `Found`); return its descriptor. Raises NotAFileError before opening what is not a regular file."""
    check_regular(name, status)
    assert last is not None
    return os.open(last, _FILE, dir_fd=directory)


def check_regular(name: str, status: os.stat_result) -> None:
    """Raise NotAFileError unless the status is that of a regular file."""
    if stat.S_ISDIR(status.st_mode):
        raise NotAFileError(f"{name}: is a directory", name=name)
    if not stat.S_ISREG(status.st_mode):
        raise NotAFileError(f"{name}: is not a regular file", name=name)


def info_of(name: str, status: os.stat_result, revision_of: RevisionOf, checksum: int | None = None) -> FileInfo:
    """Return the information about a file with a status, and with a CRC32C if it is known."""
    attributes = Attributes(status.st_mtime_ns, content_type_of(name), executable=bool(status.st_mode & stat.S_IXUSR))
    return FileInfo(name, status.st_size, revision_of(status), attributes, checksum)
