"""Writes many small files at once, below the served root.

Rule 1: a file gets its name when it is complete, verified and durable: it is written in `small/`, synced, and renamed. The
        answers are given when the names are durable too. So after a power cut each file is whole, or what was there before.
Rule 2: a few files are synced one by one, many with their file system at once, as when a tree is downloaded
        (`unspool.local.staging` has the measurement).
Rule 3: an error of one file is its answer, and fails no other.
Rule 4: one thread at a time works, while others sync. Each system call lets go of Python's lock, so threads that work at the
        same time spend most of it on taking that lock from one another: measured, 75 futex calls for a file instead of 2. On a
        file system that lets them wait (a network), they work at the same time.

The call blocks. Several may run at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from unspool.core.checksum import crc32c
from unspool.core.condition import check_condition
from unspool.core.model import FileInfo
from unspool.core.uploading import NewFile, UploadOpen, WrittenFile
from unspool.errors import AlreadyExistsError, BlockCorruptError, UnspoolError
from unspool.ingest.describing import is_settled
from unspool.ingest.refusals import refusal_of
from unspool.ingest.staging import Staging, UnusableError, lock_number
from unspool.ingest.target import Places, Targets
from unspool.local.attributes import apply, permit
from unspool.local.entries import appear, remove
from unspool.local.home import NEW, whole_file_system_syncer
from unspool.stores.contents import Content

_FEW = 32
"""Most files that are synced one by one: syncing the file system also waits for the data of others."""

_QUICK = 0.001
"""Seconds per file above which threads wait for the file system rather than for one another. Measured in memory and on ext4:
0.1 ms with one thread, 0.3 ms with four that contend. A round trip on a network takes about 0.5 ms, and a file several."""

_numbers = itertools.count()


@dataclass(slots=True)
class _Staged:
    index: int
    file: NewFile
    called: str
    descriptor: int
    named: bool = False
    keep: Callable[[], None] | None = None  # called when it has its name and is closed


class SmallFiles:
    """Writes small files.

    Args:
        staging: where files are written first.
        targets: the places of files.
    """

    def __init__(self, staging: Staging, targets: Targets) -> None:
        self._staging = staging
        self._targets = targets
        self._sync_all = whole_file_system_syncer()
        self._working = threading.Lock()
        self._quick = True  # the file system

    def write(self, files: Sequence[NewFile]) -> Sequence[WrittenFile]:
        """See `Ingester.write_small`."""
        try:
            self._staging.mend()
        except UnusableError as error:
            return [refusal_of(error, file.name) for file in files]
        answers: list[WrittenFile | None] = [None] * len(files)
        staged: list[_Staged] = []
        with self._targets.places() as places:
            try:
                with self._turn(len(files)):
                    for index, file in enumerate(files):
                        try:
                            answers[index] = self._take(index, file, places, staged)
                        except (UnspoolError, OSError) as error:
                            answers[index] = refusal_of(error, file.name)
                self._sync(staged, answers)
                left = [one for one in staged if answers[one.index] is None]
                if left:
                    with self._turn(len(left)):
                        self._name_all(left, answers, places)
                named = [one for one in left if one.named]
                if self._sync_all is None or len(places.grown) <= _FEW:
                    self._all_or_none(named, answers, places.sync)
                else:
                    self._sync_everything(named, answers)
            finally:
                for one in staged:
                    os.close(one.descriptor)
                    if one.keep is not None:
                        one.keep()
                    if not one.named:
                        with contextlib.suppress(OSError):
                            remove(one.called, self._staging.small)
        assert None not in answers
        return [answer for answer in answers if answer is not None]

    @contextmanager
    def _turn(self, count: int) -> Iterator[None]:
        """Work on `count` files while no other thread does, unless the file system is slow."""
        with self._working if self._quick else nullcontext():
            begun = time.monotonic()
            yield
            self._quick = time.monotonic() - begun <= _QUICK * count

    def _take(self, index: int, file: NewFile, places: Places, staged: list[_Staged]) -> FileInfo | None:
        """Check a file, and stage it unless its name has its bytes already: then return what is there."""
        self._targets.check(file.name)
        if crc32c(file.data) != file.crc32c:
            raise BlockCorruptError(f"{file.name}: the bytes that arrived do not match their checksum", name=file.name)
        target = places.find(file.name)
        status = None if target is None else target.status()
        current = None if target is None or status is None else target.info(status, file.crc32c)
        check_condition(file.name, file.condition, current)
        if target is not None and current is not None and current.size == len(file.data):
            wanted = UploadOpen(b"", file.name, size=len(file.data), crc32c=file.crc32c)
            if target.has(wanted):
                return current
        self._stage(index, file, staged)
        if status is not None:
            permit(status.st_mode & 0o777, staged[-1].descriptor)
        apply(file.attributes, staged[-1].descriptor, new=True)
        places.made(file.name)
        return None

    def _stage(self, index: int, file: NewFile, staged: list[_Staged]) -> None:
        called = f"{os.getpid()}-{next(_numbers)}"
        descriptor = os.open(called, NEW, 0o666, dir_fd=self._staging.small)
        staged.append(_Staged(index, file, called, descriptor))
        rest = memoryview(file.data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def _name_all(self, left: Sequence[_Staged], answers: list[WrittenFile | None], places: Places) -> None:
        """Give staged files their names, under the locks on these. Each lock is taken once."""
        for number, some in groupby(sorted(left, key=_lock_of), _lock_of):
            group = list(some)
            try:
                with self._staging.lock(number):
                    for one in group:
                        try:
                            answers[one.index] = self._name(one, places)
                        except (UnspoolError, OSError) as error:
                            answers[one.index] = refusal_of(error, one.file.name)
            except OSError as error:  # of the lock
                for one in group:
                    answers[one.index] = answers[one.index] or refusal_of(error, one.file.name)

    def _name(self, one: _Staged, places: Places) -> FileInfo:
        name, condition = one.file.name, one.file.condition
        target = places.made(name)
        found = target.current()
        check_condition(name, condition, found and found[0])
        content = before = None
        if self._targets.by_content:
            content = Content(hashlib.sha256(one.file.data, usedforsecurity=False).digest(), one.file.crc32c)
            before = os.fstat(one.descriptor)
            settled = is_settled(before)
        if condition.absent:
            try:
                appear(one.called, self._staging.small, target.base, target.directory)
            except FileExistsError:
                raise AlreadyExistsError(f"{name}: exists already", name=name) from None
        else:
            os.rename(one.called, target.base, src_dir_fd=self._staging.small, dst_dir_fd=target.directory)
        one.named = True
        if content is not None and before is not None and settled:
            one.keep = partial(target.keep, before, content)
        return target.written(os.fstat(one.descriptor), one.file.crc32c, content)

    def _sync(self, staged: Sequence[_Staged], answers: list[WrittenFile | None]) -> None:
        """Make staged files durable."""
        if self._sync_all is not None and len(staged) > _FEW:
            self._sync_everything(staged, answers)
            return
        for one in staged:
            if answers[one.index] is None:
                try:
                    os.fsync(one.descriptor)
                except OSError as error:
                    answers[one.index] = refusal_of(error, one.file.name)

    def _sync_everything(self, staged: Sequence[_Staged], answers: list[WrittenFile | None]) -> None:
        assert self._sync_all is not None
        self._all_or_none(staged, answers, lambda: self._sync_all(self._staging.small))  # type: ignore[misc]

    @staticmethod
    def _all_or_none(staged: Sequence[_Staged], answers: list[WrittenFile | None], work: Callable[[], None]) -> None:
        """Do work for all files together: if it fails, it fails them all, for nobody knows which are durable."""
        try:
            work()
        except OSError as error:
            for one in staged:
                if not isinstance(answers[one.index], UnspoolError):
                    answers[one.index] = refusal_of(error, one.file.name)


def _lock_of(one: _Staged) -> int:
    return lock_number(one.file.name)
