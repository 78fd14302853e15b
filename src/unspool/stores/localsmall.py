"""Reads many small files, or spans of files, of a local directory with one call to a worker thread.

Rule 1: each file is found, opened, read and checked again as by `LocalStore.open` and `LocalFile.read`. Two costs are saved: a
        thread call for each step, and the walk to a directory that is still open from the file before.
Rule 2: the kernel is not asked whether a small file is open for writing. That takes half as long as reading the file, longer
        than computing its checksum again. The file counts as steady when its pages must be clean (`writers`).
Rule 3: a file stays open between spans that follow each other in one call. Each span is checked like a run of a read.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from types import TracebackType
from typing import Self, TypeAlias

from unspool.core.model import FileInfo, NamedSpan
from unspool.core.names import check_name
from unspool.errors import UnspoolError
from unspool.stores.base import SmallFile
from unspool.stores.localfile import Describe, check_read, check_regular, open_regular, pread
from unspool.stores.localwalk import WAY_THROUGH, Root, check_served
from unspool.stores.oserrors import store_error
from unspool.stores.stamps import seconds_until_a_write_shows
from unspool.stores.writers import clean_before, keeps_pages_dirty

_MOMENT = 0.05
"""Seconds after which no further file is begun, so that the caller can send those that were read."""


def read_small(
    root: Root, names: Sequence[str], most_bytes: int, known: Sequence[str | None], describe: Describe
) -> list[SmallFile]:
    """Implement `Store.read_small`. Call it from a worker thread."""
    with _Reader(root, describe) as reader:
        reads = ((name, partial(reader.read, name, revision)) for name, revision in zip_longest(names, known))
        return _as_many_as_fit(reader, reads, most_bytes)


def read_spans(root: Root, wanted: Sequence[NamedSpan], most_bytes: int, describe: Describe) -> list[SmallFile]:
    """Implement `Store.read_spans`. Call it from a worker thread."""
    with _Reader(root, describe) as reader:
        reads = ((name, partial(reader.read_span, name, start, length)) for name, start, length in wanted)
        return _as_many_as_fit(reader, reads, most_bytes)


_Read: TypeAlias = Callable[[int], tuple[FileInfo, bytes, bool] | None]
"""Reads a file or a span of at most so many bytes; None if it has more."""


def _as_many_as_fit(reader: _Reader, reads: Iterable[tuple[str, _Read]], most_bytes: int) -> list[SmallFile]:
    """Return the answers of the first reads, as many as fit into so many bytes and a moment."""
    answers: list[SmallFile] = []
    until = time.monotonic() + _MOMENT
    for name, read in reads:
        try:
            answer = read(most_bytes)
        except UnspoolError as error:
            answers.append(error)
        except OSError as error:
            answers.append(store_error(error, name))
        else:
            if answer is None:
                break
            answers.append(answer)
            most_bytes -= len(answer[1])
        reader.longest_wait = _MOMENT
        if time.monotonic() >= until:
            break
    return answers


class _Reader:
    """Reads small files and spans. It keeps the directory of the last file open, for the next one, and the last file of a span.

    Attributes:
        longest_wait: most seconds to wait for a file that was changed just now.
    """

    def __init__(self, root: Root, describe: Describe) -> None:
        self.longest_wait = math.inf
        self._root = root
        self._describe = describe
        self._below: str | None = None
        self._directory = -1
        self._clean_before = clean_before()
        self._keeps_dirty: dict[int, bool] = {}
        self._file: _Opened | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._leave()

    def read(self, name: str, known: str | None, most_bytes: int) -> tuple[FileInfo, bytes, bool] | None:
        """Return a file (see `SmallFile`), or None if it is larger than `most_bytes` or the wait for it would be too long.

        If it is at the revision `known`, it is returned without its bytes.

        Raises the errors of `LocalStore.open` and `LocalFile.read`, and OSError.
        """
        descriptor = self._open(name)
        try:
            status = os.fstat(descriptor)
            check_regular(name, status)
            if known is not None and (info := self._describe(name, descriptor, status)).revision == known:
                return info, b"", False
            size = status.st_size
            if size > most_bytes:
                return None
            if size and not self._waited(status):
                return None
            info = self._describe(name, descriptor, status)
            data = _checked(descriptor, info, status, size, 0)
            return info, data, status.st_ctime_ns <= self._clean_before and self._is_on_disk(descriptor, status.st_dev)
        finally:
            os.close(descriptor)

    def read_span(self, name: str, start: int, length: int, most_bytes: int) -> tuple[FileInfo, bytes, bool] | None:
        """Return a span of a file, or None if it is longer than `most_bytes` or the wait for it would be too long.

        It is not called steady, because nobody asks that of a span. Raises as `read`.
        """
        file = self._file
        if file is None or file.info.name != name:
            self._close_file()
            file = self._file = self._opened(name)
        size = max(min(length, file.info.size - start), 0)
        if size > most_bytes:
            return None
        if not size:
            return file.info, b"", False
        if not self._waited(file.status):
            return None
        try:
            return file.info, _checked(file.descriptor, file.info, file.status, size, start), False
        except BaseException:
            self._close_file()  # the next span of it is of the file as it is then
            raise

    def _opened(self, name: str) -> _Opened:
        descriptor = self._open(name)
        try:
            status = os.fstat(descriptor)
            check_regular(name, status)
            return _Opened(descriptor, status, self._describe(name, descriptor, status))
        except BaseException:
            os.close(descriptor)
            raise

    def _open(self, name: str) -> int:
        """Open a file that is served; return its descriptor."""
        parts = check_name(name)
        self._root.check_shown(name)
        last = parts[-1]
        below = name[: -len(last)]
        if below != self._below:
            self._go_to(name, below, parts[:-1])
        check_served(name, last)
        status = os.stat(last, dir_fd=self._directory, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            with self._root.walk(name, parts) as found:
                return open_regular(name, found.directory, found.last, found.status)
        return open_regular(name, self._directory, last, status)

    def _waited(self, status: os.stat_result) -> bool:
        """Wait until a further write would show; return False, at once, if that would take too long."""
        wait = seconds_until_a_write_shows(status.st_ctime_ns)
        if wait > self.longest_wait:
            return False
        if wait:
            time.sleep(wait)
        return True

    def _is_on_disk(self, descriptor: int, device: int) -> bool:
        keeps_dirty = self._keeps_dirty.get(device)
        if keeps_dirty is None:
            keeps_dirty = self._keeps_dirty[device] = keeps_pages_dirty(descriptor)
        return not keeps_dirty

    def _go_to(self, name: str, below: str, parts: tuple[str, ...]) -> None:
        self._leave()
        with self._root.walk(name, parts) as found:
            self._directory = os.open(found.last or ".", WAY_THROUGH, dir_fd=found.directory)
        self._below = below

    def _leave(self) -> None:
        self._close_file()
        if self._below is not None:
            self._below = None
            os.close(self._directory)

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file.descriptor)


@dataclass(slots=True)
class _Opened:
    """An open file: its descriptor, and its status and information when it was opened."""

    descriptor: int
    status: os.stat_result
    info: FileInfo


def _checked(descriptor: int, info: FileInfo, status: os.stat_result, size: int, offset: int) -> bytes:
    """Return the bytes of a span, after a look whether the file is still at its revision."""
    data = pread(descriptor, size, offset)
    after = os.fstat(descriptor)
    # A fast path: nearly always nothing has changed, and `check_read` is not needed.
    if (after.st_ctime_ns, after.st_mtime_ns, after.st_size, len(data)) != (
        status.st_ctime_ns,
        status.st_mtime_ns,
        status.st_size,
        size,
    ):
        check_read(info, status, after, data, size=size, offset=offset)
    return data
