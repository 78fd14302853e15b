"""A directory as a store.

Rule 1: nothing outside the root is ever opened. A name is walked part by part from the root's descriptor, never resolved to a
        path and then opened, so a symbolic link swapped in between check and use changes nothing. Links are followed by this
        walk itself, as long as they stay below the root (what Linux calls RESOLVE_BENEATH).
Rule 2: only regular files are served. What is not one is refused before it is opened, and opened without blocking, so that a
        FIFO or a device hangs nobody.
Rule 3: size, revision and bytes come from one descriptor. After every read the descriptor is looked at again, so bytes that
        leave were read while the file was still at the revision.
Rule 4: the file system is used only in worker threads: a slow disk keeps its own stream waiting, not the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mimetypes
import os
import stat
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from unspool.core.model import FileInfo, ListRequest, Page, Span
from unspool.core.names import check_name, check_prefix
from unspool.errors import (
    DataLossError,
    FileChangedError,
    InvalidNameError,
    NotAFileError,
    NotFoundError,
    OutsideRootError,
    PermissionDeniedError,
    ServerError,
)

log = logging.getLogger("unspool.stores")

T = TypeVar("T")

_MAX_LINKS = 40
"""Symbolic links followed for one name before it counts as a circle (Linux: 40)."""

_THREADS = 64
"""Files read at the same time. A thread is a stack and little else; a stuck disk should take many streams to use them up."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class LocalStore:
    """The files below one directory.

    The revision is made of inode, size, and modification and change time in nanoseconds: writing to a file, also with the
    modification time put back, gives it another one.

    Args:
        root: the directory. It is opened at once; what the path means later does not matter.

    Raises:
        NotFoundError, PermissionDeniedError: the root cannot be opened as a directory.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)
        with _mapped(self.root):
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="unspool-local")

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        parts = check_name(name)
        return await self._in_thread(lambda: self._stat(name, parts))

    async def open(self, name: str) -> _LocalFile:
        """See `Store.open`."""
        parts = check_name(name)
        opening = self._threads.submit(lambda: self._open(name, parts))
        try:
            descriptor, status = await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            # The thread may be about to open a descriptor that nobody waits for any more.
            opening.add_done_callback(_close_unwanted)
            raise
        return _LocalFile(self._threads, descriptor, _info(name, status))

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Store.list`. Links to directories are not descended into when listing recursively."""
        parts = check_prefix(request.prefix)
        assert request.page_size is not None
        page_size = request.page_size
        directory = request.prefix.removesuffix("/")
        listing = _Listing(self._entries(directory, parts, recursive=request.recursive))
        try:
            while page := await self._in_thread(lambda: listing.take(page_size)):
                yield Page(
                    files=tuple(entry for entry in page if isinstance(entry, FileInfo)),
                    prefixes=tuple(entry for entry in page if isinstance(entry, str)),
                )
        finally:
            # Not awaited: a thread that still looks for a page nobody wants is waited for by the one that closes.
            self._threads.submit(listing.close)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._threads.submit(work))

    def _stat(self, name: str, parts: tuple[str, ...]) -> FileInfo:
        descriptor, status = self._open(name, parts)
        os.close(descriptor)
        return _info(name, status)

    def _open(self, name: str, parts: tuple[str, ...]) -> tuple[int, os.stat_result]:
        """Open a regular file; return its descriptor and what it is."""
        with _mapped(name), self._walk(name, parts) as place:
            _check_regular(name, place.status)
            assert place.last is not None
            descriptor = os.open(place.last, _FILE, dir_fd=place.directory)
            try:
                status = os.fstat(descriptor)
                _check_regular(name, status)
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor, status

    @contextmanager
    def _walk(self, name: str, parts: tuple[str, ...]) -> Iterator[_Place]:
        """Find what a name leads to, following links that stay below the root.

        Yields a directory's descriptor, valid inside the `with`, and the last part in it; that part is no link.
        """
        opened = [os.dup(self._root)]  # the directories from the root down to where the walk is
        todo = list(reversed(parts))
        links = 0
        try:
            while todo:
                part = todo.pop()
                if part in ("", "."):
                    continue
                if part == "..":
                    if len(opened) == 1:
                        raise OutsideRootError(f"{name}: leads out of what is served", name=name)
                    os.close(opened.pop())
                    continue
                status = os.stat(part, dir_fd=opened[-1], follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    links += 1
                    if links > _MAX_LINKS:
                        raise NotFoundError(f"{name}: too many symbolic links", name=name)
                    target = os.readlink(part, dir_fd=opened[-1])
                    if target.startswith("/"):
                        raise OutsideRootError(f"{name}: leads out of what is served", name=name)
                    todo.extend(reversed(target.split("/")))
                elif todo:
                    opened.append(os.open(part, _DIRECTORY, dir_fd=opened[-1]))
                else:
                    yield _Place(opened[-1], part, status)
                    return
            yield _Place(opened[-1], None, os.fstat(opened[-1]))
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _entries(self, directory: str, parts: tuple[str, ...], *, recursive: bool) -> Generator[FileInfo | str, None, None]:
        """Yield what is below a prefix, found as it is asked for."""
        with _mapped(directory or self.root), self._walk(directory, parts) as place:
            is_file = place.last is not None and not stat.S_ISDIR(place.status.st_mode)
            descriptor = -1 if is_file else os.open(place.last or ".", _DIRECTORY, dir_fd=place.directory)
        if is_file:
            yield self._stat(directory, parts)
        else:
            yield from self._scan(descriptor, f"{directory}/" if directory else "", recursive=recursive)

    def _scan(self, top: int, below: str, *, recursive: bool) -> Generator[FileInfo | str, None, None]:
        # One open directory per level, so memory grows with the depth of the tree and not with its size.
        levels: list[tuple[int, os._ScandirIterator[str], str]] = []

        def descend(descriptor: int, prefix: str) -> None:
            try:
                levels.append((descriptor, os.scandir(descriptor), prefix))
            except BaseException:
                os.close(descriptor)
                raise

        descend(top, below)
        try:
            while levels:
                descriptor, entries, prefix = levels[-1]
                entry = next(entries, None)
                if entry is None:
                    levels.pop()
                    os.close(descriptor)
                    continue
                name = prefix + entry.name
                try:
                    check_name(name)
                    if entry.is_dir(follow_symlinks=False):
                        if recursive:
                            descend(os.open(entry.name, _DIRECTORY, dir_fd=descriptor), f"{name}/")
                        else:
                            yield f"{name}/"
                    elif entry.is_symlink():
                        yield from self._scan_link(name, recursive=recursive)
                    elif entry.is_file(follow_symlinks=False):
                        yield _info(name, entry.stat(follow_symlinks=False))
                except InvalidNameError as error:
                    log.warning("not listed, because no client could ask for it: %s", error)
                except OSError as error:
                    # Gone or closed to us since it was seen: a listing is no snapshot.
                    log.info("not listed: %s: %s", name, error.strerror)
        finally:
            for descriptor, entries, _ in levels:
                entries.close()
                os.close(descriptor)

    def _scan_link(self, name: str, *, recursive: bool) -> Generator[FileInfo | str, None, None]:
        """List a link as what it leads to, if that is inside; into a directory only if asked for by name."""
        try:
            with self._walk(name, check_name(name)) as place:
                mode, status, inside = place.status.st_mode, place.status, place.last is not None
        except (OutsideRootError, NotFoundError, OSError):
            return
        if inside and stat.S_ISREG(mode):
            yield _info(name, status)
        elif stat.S_ISDIR(mode) and not recursive:
            yield f"{name}/"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name leads: a directory's descriptor and a part in it. `last` None is the directory itself."""

    directory: int
    last: str | None
    status: os.stat_result


class _Listing:
    """Entries taken by one thread at a time, and closed only when none is taking."""

    def __init__(self, entries: Generator[FileInfo | str, None, None]) -> None:
        self._entries = entries
        self._lock = threading.Lock()

    def take(self, count: int) -> list[FileInfo | str]:
        """Return the next entries, at most `count`."""
        with self._lock:
            return list(islice(self._entries, count))

    def close(self) -> None:
        """Let go of the directories that are open."""
        with self._lock:
            self._entries.close()


class _LocalFile:
    """See `OpenFile`."""

    def __init__(self, threads: ThreadPoolExecutor, descriptor: int, info: FileInfo) -> None:
        self.info = info
        self._threads = threads
        self._descriptor = descriptor
        self._reading: Future[bytes] | None = None

    async def read(self, span: Span, block_size: int) -> AsyncGenerator[bytes, None]:
        """See `OpenFile.read`."""
        position = span.start
        self._read_ahead(position, min(block_size, span.stop - position))
        while self._reading is not None:
            data = await asyncio.wrap_future(self._reading)
            position += len(data)
            self._read_ahead(position, min(block_size, span.stop - position))
            yield data

    def _read_ahead(self, offset: int, size: int) -> None:
        self._reading = self._threads.submit(self._read, offset, size) if size else None

    def _read(self, offset: int, size: int) -> bytes:
        name = self.info.name
        with _mapped(name):
            data = os.pread(self._descriptor, size, offset)
            while 0 < len(data) < size and (more := os.pread(self._descriptor, size - len(data), offset + len(data))):
                data += more
            if not self._unchanged(os.fstat(self._descriptor)):
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

    async def aclose(self) -> None:
        """See `OpenFile.aclose`."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        if self._reading is None or self._reading.cancel() or self._reading.done():
            os.close(descriptor)
        else:
            # A thread is reading from it: closing now could hand its number to another file under the thread's hands.
            self._reading.add_done_callback(lambda _: os.close(descriptor))


def _close_unwanted(opening: Future[tuple[int, os.stat_result]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result()[0])


def _check_regular(name: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise NotAFileError(f"{name}: is a directory", name=name)
    if not stat.S_ISREG(status.st_mode):
        raise NotAFileError(f"{name}: is not a regular file", name=name)


def _revision(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


def _info(name: str, status: os.stat_result) -> FileInfo:
    return FileInfo(
        name=name,
        size=status.st_size,
        revision=_revision(status),
        modified_ns=status.st_mtime_ns,
        content_type=mimetypes.guess_type(name)[0] or "",
    )


@contextmanager
def _mapped(name: str) -> Iterator[None]:
    """Turn the operating system's errors about `name` into ours."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOENT | errno.ENOTDIR | errno.ELOOP:
                raise NotFoundError(f"{name}: no such file", name=name) from error
            case errno.EACCES | errno.EPERM:
                raise PermissionDeniedError(f"{name}: permission denied", name=name) from error
            case errno.ENAMETOOLONG:
                raise InvalidNameError(f"{name[:40]!r}...: a part is longer than the file system allows", name=name) from error
            case errno.ENXIO | errno.ENODEV:
                raise NotAFileError(f"{name}: is not a regular file", name=name) from error
            case errno.EIO:
                raise DataLossError(f"{name}: the file system failed to read it", name=name) from error
            case _:
                raise ServerError(f"{name}: {error.strerror}", name=name) from error
