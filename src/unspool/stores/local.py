"""A directory as a store.

Rule 1: nothing outside the root is ever opened, see `unspool.stores.localwalk`.
Rule 2: only regular files are served. Other files are refused before they are opened. Files are opened with O_NONBLOCK, so that
        a FIFO or a device that replaces a file meanwhile does not block a thread.
Rule 3: size, revision and bytes come from one descriptor, see `unspool.stores.localfile`.
Rule 4: system calls that may wait for a disk run in worker threads, so a slow disk delays its own stream only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from itertools import chain, repeat

from unspool.core.model import Bytes, FileInfo, ListRequest, NamedSpan, Omission, Page
from unspool.core.names import check_name, check_prefix, surely_a_name
from unspool.core.reserved import is_reserved
from unspool.errors import InvalidNameError, NotFoundError, OutsideRootError, UnspoolError
from unspool.stores.base import SmallFile
from unspool.stores.contents import Contents
from unspool.stores.firsttimes import FirstTimes
from unspool.stores.keptfiles import KeptFiles
from unspool.stores.localfile import HeldFile, LocalFile, check_regular, info_of, open_regular
from unspool.stores.locallisting import Entries, Level, children, omission, page_of
from unspool.stores.localsmall import read_small, read_spans
from unspool.stores.localwalk import Root
from unspool.stores.oserrors import GONE, REFUSED, mapped
from unspool.stores.revisions import RevisionKind, RevisionOf, by_status, check_revision
from unspool.stores.threads import Threads, Use

log = logging.getLogger("unspool.stores")

_THREADS = 64
"""Most worker threads. A thread costs little more than its stack. There are many, so that a few reads stuck on a disk do not
use them all up."""

_FIRST_PAGE = 100
"""Most entries of the first page of a listing. The client can begin with it, while the others are looked for: for one of 1000
it would wait for 10 ms, and longer if the disk is slow."""

_LOGGED = 1000
"""Most names that the log mentions because they cannot be listed. Remembering the longest names takes 4 MiB."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalStore:
    """The files below one directory.

    The revision is made of inode, size, and modification and change time in nanoseconds. Writing to a file gives it another
    revision, even if the modification time is set back. Replace files by renaming: running reads then continue with the old
    file to its end, whereas overwriting in place ends them with FileChangedError. A server cannot see some writes in place,
    because they change no time stamp: those of a write call that began before the file was opened, and those through a memory
    map to pages that are dirty already. A read at that time may get bytes of both versions. Its checksum is not cached.

    With `contents` the revision is made of the SHA-256 of the file, which is then the same for equal files on any machine. Each
    file is read once for it, when its revision is first asked for.

    Args:
        root: the directory. It is opened at once, so moving or replacing the path later has no effect.
        revision_of: makes a revision from a file's status. Changes during a read are detected by the status in any case.
        contents: what the files contain, if revisions are to be made of that. The store closes it.
        hidden: whether to serve dotfiles: files with a part of their name that begins with a dot. If not, they are neither
            found nor listed. The path of the root is not part of a name.

    Raises:
        NotFoundError, PermissionDeniedError: the root cannot be opened as a directory.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        revision_of: RevisionOf = by_status,
        contents: Contents | None = None,
        hidden: bool = False,
    ) -> None:
        self.root = os.fspath(root)
        self._root = Root(self.root, hidden=hidden)
        self._threads = Threads(_THREADS)
        self._logged = FirstTimes(_LOGGED)
        self._kept = KeptFiles(self._root)
        self._revision_of = revision_of
        self._contents = contents

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root!r})"

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        parts = check_name(name)
        if (kept := self._kept.find(name, parts)) is not None:
            return kept.info
        if self._contents is None:
            return await self._threads.run(lambda: self._stat(name, parts))
        file = await self.open(name)
        await file.aclose()
        return file.info

    @property
    def contents(self) -> Contents | None:
        """What the files contain, if revisions are made of that. An ingester of the same directory needs it."""
        return self._contents

    async def open(self, name: str, revision: str | None = None) -> HeldFile:
        """See `Store.open`."""
        parts = check_name(name)
        file = self._kept.find(name, parts)
        if file is not None:
            check_revision(file.info, revision)
        else:
            file = await self._open_in_a_thread(name, parts, revision)
        return HeldFile(file, self._keep)

    def _keep(self, file: LocalFile) -> None:
        if file.keepable:
            self._kept.keep(file)

    async def _open_in_a_thread(self, name: str, parts: tuple[str, ...], revision: str | None) -> LocalFile:
        file = await self._threads.open(lambda: self._open_to_read(name, parts, revision), LocalFile.close)
        if self._contents is not None:
            try:
                if not file.info.revision:
                    await file.identify(self._contents)
                check_revision(file.info, revision)
            except BaseException:
                await file.aclose()
                raise
        return file

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """See `Store.read_small`. One thread reads the files, one after another."""
        return await self._threads.run(lambda: read_small(self._root, names, most_bytes, known, self._describe))

    async def read_spans(self, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
        """See `Store.read_spans`. Spans that are in memory are read here, others by one thread, one after another."""
        if answers := await self._spans_in_memory(wanted, most_bytes):
            return answers
        return await self._threads.run(lambda: read_spans(self._root, wanted, most_bytes, self._describe))

    def read_at_once(self, name: str, start: int, length: int | None, most_bytes: int) -> tuple[FileInfo, Bytes] | None:
        """See `AtOnce.read_at_once`: of files that are kept open."""
        file = self._kept.find(name, check_name(name))
        if file is None:
            return None
        rest = file.info.size - start
        size = rest if length is None else min(length, rest)
        data = file.read_in_memory(start, size) if 0 < size <= most_bytes else None
        if data is None:
            return None
        self._kept.keep(file)
        return file.info, data

    async def _spans_in_memory(self, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
        """Read the first spans from memory, as far as they are there, in files that are kept, or will be for the next span."""
        answers: list[SmallFile] = []
        file: LocalFile | None = None
        try:
            for name, start, length in wanted:
                if file is None or file.info.name != name:
                    parts = check_name(name)
                    found = self._kept.find(name, parts)
                    if found is None:
                        if answers or all(one[0] != name for one in wanted[1:2]):
                            break
                        found = await self._open_in_a_thread(name, parts, None)
                    found.hold()
                    if file is not None:
                        self._release(file)
                    file = found
                size = max(min(length, file.info.size - start), 0)
                data = b"" if not size else file.read_in_memory(start, size) if size <= most_bytes else None
                if data is None:
                    break
                most_bytes -= size
                answers.append((file.info, data, False))
        except UnspoolError as error:
            answers.append(error)
        finally:
            if file is not None:
                self._release(file)
        return answers

    def _release(self, file: LocalFile) -> None:
        self._keep(file)
        file.let_go()

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Store.list`. Links to directories are not listed, but files below one can be opened by name."""
        parts = check_prefix(request.prefix)
        assert request.page_size is not None
        page_size = request.page_size
        directory = request.prefix.removesuffix("/")
        entries = self._entries(directory, parts, request)
        use = Use(entries.close)
        sizes = chain([min(page_size, _FIRST_PAGE)], repeat(page_size))

        def take() -> Page:
            with use:
                return page_of(entries, next(sizes))

        try:
            if (page := await self._threads.run(take)) == Page():
                return
            yield page  # before the second one is looked for
            coming = self._threads.submit(take)
            while (page := await asyncio.wrap_future(coming)) != Page():
                coming = self._threads.submit(take)  # the next one is looked for while this one is sent
                yield page
                del page
        finally:
            self._threads.let_go(use)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        self._kept.close()
        self._threads.close()
        self._root.close()
        if self._contents is not None:
            await asyncio.to_thread(self._contents.close)

    def _describe(self, name: str, descriptor: int, status: os.stat_result) -> FileInfo:
        """Return the information about an open file. It may have to be read to its end."""
        if self._contents is None:
            return info_of(name, status, self._revision_of)
        content = self._contents.learn(name, descriptor, status)
        return replace(info_of(name, status, content.revision), crc32c=content.crc32c)

    def _known(self, name: str, status: os.stat_result) -> FileInfo:
        """Return the information about a file as far as it is known: without a revision, if the file must be read for that."""
        if self._contents is None:
            return info_of(name, status, self._revision_of)
        content = self._contents.known(name, status)
        if content is None:
            return info_of(name, status, lambda _: "")
        return replace(info_of(name, status, content.revision), crc32c=content.crc32c)

    def _listed(self, name: str, status: os.stat_result) -> FileInfo:
        """Return the information about a file that is listed. It is opened if it must be read for its revision."""
        info = self._known(name, status)
        if info.revision:
            return info
        try:
            with self._root.walk(name, tuple(name.split("/"))) as found:
                descriptor = open_regular(name, found.directory, found.last, found.status)
                try:
                    return self._describe(name, descriptor, os.fstat(descriptor))
                finally:
                    os.close(descriptor)
        except (UnspoolError, PermissionError):
            # It may not be read, or changes just now. It is listed nevertheless, at a revision that it is not at when opened.
            return info_of(name, status, by_status)

    def _stat(self, name: str, parts: tuple[str, ...]) -> FileInfo:
        file = self._open(name, parts)
        try:
            return file.info if file.info.revision else file.described(self._describe)
        finally:
            file.close()

    def _open_to_read(self, name: str, parts: tuple[str, ...], revision: str | None) -> LocalFile:
        file = self._open(name, parts, revision)
        file.look_for_writers()
        return file

    def _open(self, name: str, parts: tuple[str, ...], revision: str | None = None) -> LocalFile:
        with mapped(name), self._root.walk(name, parts) as found:
            descriptor = open_regular(name, found.directory, found.last, found.status)
            try:
                status = os.fstat(descriptor)
                check_regular(name, status)
                info = self._known(name, status)
                if self._contents is None:
                    check_revision(info, revision)
                return LocalFile(self._threads, descriptor, info, status)
            except BaseException:
                os.close(descriptor)
                raise

    def _entries(self, directory: str, parts: tuple[str, ...], request: ListRequest) -> Entries:
        """Yield the entries below a prefix, reading directories as the caller iterates."""
        with mapped(directory or "."):
            with self._root.walk(directory, parts) as found:
                is_file = found.last is not None and not stat.S_ISDIR(found.status.st_mode)
                descriptor = -1 if is_file else os.open(found.last or ".", _DIRECTORY, dir_fd=found.directory)
            if is_file:
                yield self._stat(directory, parts)
            else:
                yield from self._scan(descriptor, f"{directory}/" if directory else "", request)

    def _scan(self, top: int, below: str, request: ListRequest) -> Entries:
        # One open directory per level: memory grows with the depth of the tree, not with its size.
        levels = [Level(top, children(top), below)]
        try:
            while levels:
                level = levels[-1]
                entry = next(level.entries, None)
                if entry is None:
                    levels.pop()
                    if levels and level.is_empty:
                        yield level.prefix
                    continue
                if not self._root.shows(entry.name):
                    continue  # a dotfile that is not served is not reported either
                name = level.prefix + entry.name
                try:
                    listed = self._look_at(entry, name)
                    if isinstance(listed, str) and request.hides is not None and request.hides(listed):
                        level.is_empty = False
                    elif request.recursive and isinstance(listed, str):
                        inner = os.open(entry.name, _DIRECTORY, dir_fd=level.descriptor)
                        levels.append(Level(inner, children(inner), listed))
                        level.is_empty = False
                    else:
                        level.is_empty = level.is_empty and isinstance(listed, Omission)
                        yield listed
                except InvalidNameError as error:
                    self._log_once(name, logging.WARNING, f"because no client could ask for it: {error}")
                    yield omission("NAME", name)
                except OSError as error:
                    # An entry removed since it was read is skipped: a listing is not a snapshot.
                    if isinstance(error, UnspoolError) or error.errno not in GONE + REFUSED:
                        raise
                    yield from self._refused(name, error)
        finally:
            for level in levels:
                level.entries.close()

    def _refused(self, name: str, error: OSError) -> Iterator[Omission]:
        """Yield the omission of a directory that may not be read, and log it. One that is gone has none."""
        if error.errno in REFUSED:
            self._log_once(name, logging.INFO, error.strerror or str(error))
            yield omission("REFUSED", name)

    def _log_once(self, name: str, level: int, why: str) -> None:
        """Log that a name is not listed, the first time that it is not."""
        if self._logged.add(name):
            log.log(level, "not listed: %r: %s", name, why)

    def _look_at(self, entry: os.DirEntry[str], name: str) -> FileInfo | str | Omission:
        """Return how a directory entry is listed: as a file, a prefix or an omission."""
        if not surely_a_name(name, entry.name):
            check_name(name)
        if is_reserved(entry.name):
            return omission("RESERVED", name)
        if entry.is_dir(follow_symlinks=False):
            return f"{name}/"
        if entry.is_symlink():
            return self._look_through(name)
        if entry.is_file(follow_symlinks=False):
            return self._listed(name, entry.stat(follow_symlinks=False))
        return omission("SPECIAL", name)

    def _look_through(self, name: str) -> FileInfo | Omission:
        """Return the file that a link leads to, or an omission if it is not a regular file inside the root."""
        try:
            with self._root.walk(name, tuple(name.split("/"))) as found:
                status = found.status
        except OutsideRootError:
            return omission("LINK_OUTSIDE", name)
        except NotFoundError:
            return omission("LINK_NOWHERE", name)
        except OSError as error:
            if error.errno not in GONE:
                raise
            return omission("LINK_NOWHERE", name)
        if stat.S_ISREG(status.st_mode):
            return self._listed(name, status)
        return omission("LINK_TO_DIRECTORY" if stat.S_ISDIR(status.st_mode) else "SPECIAL", name)


def open_url(
    url: str, *, hidden: bool = False, revision: RevisionKind = "stat", checksums: str | os.PathLike[str] | None = None
) -> LocalStore:
    """Open the directory at a path or a `file://PATH`."""
    contents = Contents(checksums) if revision == "content" else None
    try:
        return LocalStore(url.removeprefix("file://"), contents=contents, hidden=hidden)
    except BaseException:
        if contents is not None:
            contents.close()
        raise
