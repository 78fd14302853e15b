"""Reads many small files of a local directory with one call to a worker thread.

Rule 1: each file is found, opened, read and checked again as by `LocalStore.open` and `LocalFile.read`. Two costs are saved: a
        thread call for each step, and the walk to a directory that is still open from the file before.
Rule 2: the kernel is not asked whether a small file is open for writing. That takes half as long as reading the file, longer
        than computing its checksum again. The file counts as steady when its pages must be clean (`writers`).
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Sequence
from itertools import zip_longest
from types import TracebackType
from typing import Self

from unspool.core.model import FileInfo
from unspool.core.names import check_name
from unspool.errors import UnspoolError
from unspool.stores.base import SmallFile
from unspool.stores.localfile import check_read, check_regular, info_of, open_regular, pread
from unspool.stores.localwalk import WAY_THROUGH, Root, check_served
from unspool.stores.oserrors import ours
from unspool.stores.revisions import RevisionOf
from unspool.stores.stamps import seconds_until_a_write_shows
from unspool.stores.writers import clean_before, keeps_pages_dirty

_MOMENT = 0.05
"""Seconds after which no further file is begun, so that the caller can send those that were read."""


def read_small(
    root: Root, names: Sequence[str], most_bytes: int, known: Sequence[str | None], revision_of: RevisionOf
) -> list[SmallFile]:
    """Implement `Store.read_small`. Call it from a worker thread."""
    answers: list[SmallFile] = []
    until = time.monotonic() + _MOMENT
    with _Reader(root, revision_of) as reader:
        for name, revision in zip_longest(names, known):
            try:
                answer = reader.read(name, most_bytes, revision)
            except UnspoolError as error:
                answers.append(error)
            except OSError as error:
                answers.append(ours(error, name))
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
    """Reads small files. It keeps the directory of the last file open, for the next one.

    Attributes:
        longest_wait: most seconds to wait for a file that was changed just now.
    """

    def __init__(self, root: Root, revision_of: RevisionOf) -> None:
        self.longest_wait = math.inf
        self._root = root
        self._revision_of = revision_of
        self._below: str | None = None
        self._directory = -1
        self._clean_before = clean_before()
        self._keeps_dirty: dict[int, bool] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._leave()

    def read(self, name: str, most_bytes: int, known: str | None = None) -> tuple[FileInfo, bytes, bool] | None:
        """Return a file (see `SmallFile`), or None if it is larger than `most_bytes` or the wait for it would be too long.

        If it is at the revision `known`, it is returned without its bytes.

        Raises the errors of `LocalStore.open` and `LocalFile.read`, and OSError.
        """
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
                return self._read(name, found.directory, found.last, found.status, most_bytes, known=known)
        return self._read(name, self._directory, last, status, most_bytes, known=known)

    def _read(
        self, name: str, directory: int, last: str | None, status: os.stat_result, most_bytes: int, *, known: str | None
    ) -> tuple[FileInfo, bytes, bool] | None:
        descriptor = open_regular(name, directory, last, status)
        try:
            status = os.fstat(descriptor)
            check_regular(name, status)
            if known is not None and (info := info_of(name, status, self._revision_of)).revision == known:
                return info, b"", False
            size = status.st_size
            if size > most_bytes:
                return None
            wait = seconds_until_a_write_shows(status.st_ctime_ns)
            if wait and size:
                if wait > self.longest_wait:
                    return None
                time.sleep(wait)
            info = info_of(name, status, self._revision_of)
            data = pread(descriptor, size, 0)
            after = os.fstat(descriptor)
            # A fast path: nearly always nothing has changed, and `check_read` is not needed.
            if (after.st_ctime_ns, after.st_mtime_ns, after.st_size) != (status.st_ctime_ns, status.st_mtime_ns, len(data)):
                check_read(info, status, after, data, size=size, offset=0)
            return info, data, status.st_ctime_ns <= self._clean_before and self._is_on_disk(descriptor, status.st_dev)
        finally:
            os.close(descriptor)

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
        if self._below is not None:
            self._below = None
            os.close(self._directory)
