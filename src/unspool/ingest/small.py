"""Writes many small files at once, below the served root.

Rule 1: a file gets its name when it is complete, verified and durable: it is written in `small/`, synced, and renamed. The
        answers are given when the names are durable too. So after a power cut each file is whole, or what was there before.
Rule 2: a few files are synced one by one, many with their file system at once, as when a tree is downloaded
        (`unspool.local.staging` has the measurement).
Rule 3: an error of one file is its answer, and fails no other.

The call blocks. Several may run at once.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from unspool.core.checksum import crc32c
from unspool.core.condition import check_condition
from unspool.core.model import FileInfo
from unspool.core.uploading import NewFile, UploadOpen, WrittenFile
from unspool.errors import AlreadyExistsError, BlockCorruptError, UnspoolError
from unspool.ingest.refusals import served, served_error
from unspool.ingest.staging import Staging
from unspool.ingest.target import Places, Targets
from unspool.local.attributes import apply
from unspool.local.entries import appear, remove
from unspool.local.home import NEW, whole_file_system_syncer

_FEW = 32
"""Most files that are synced one by one: syncing the file system also waits for the data of others."""

_numbers = itertools.count()

Work: TypeAlias = "Callable[[_Staged], FileInfo | None]"


@dataclass(slots=True)
class _Staged:
    index: int
    file: NewFile
    called: str
    descriptor: int


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

    def write(self, files: Sequence[NewFile]) -> Sequence[WrittenFile]:
        """See `Ingester.write_small`."""
        answers: list[WrittenFile | None] = [None] * len(files)
        staged: list[_Staged] = []
        with self._targets.places() as places:
            try:
                for index, file in enumerate(files):
                    try:
                        with served(file.name):
                            answers[index] = self._there_already(file, places)
                            if answers[index] is None:
                                staged.append(self._stage(index, file))
                    except UnspoolError as error:
                        answers[index] = error
                places.forget()
                self._each(staged, answers, lambda one: self._prepare(one, places))
                one_by_one = self._sync_all is None or len(staged) <= _FEW
                if one_by_one:
                    self._each(staged, answers, self._sync)
                else:
                    self._sync_everything(staged, answers)
                named = [one for one in staged if answers[one.index] is None]
                self._each(named, answers, lambda one: self._name(one, places))
                if self._sync_all is None or len(places.grown) <= _FEW:
                    self._each_directory(named, answers, places)
                else:
                    self._sync_everything(named, answers)
            finally:
                for one in staged:
                    os.close(one.descriptor)
                    with contextlib.suppress(OSError):
                        remove(one.called, self._staging.small)
        assert None not in answers
        return [answer for answer in answers if answer is not None]

    def _there_already(self, file: NewFile, places: Places) -> FileInfo | None:
        """Check a file; return what is at its name if that has its bytes already."""
        self._targets.check(file.name)
        if crc32c(file.data) != file.crc32c:
            raise BlockCorruptError(f"{file.name}: the bytes that arrived do not match their checksum", name=file.name)
        target = places.find(file.name)
        found = None if target is None else target.current()
        current = found and found[0]
        check_condition(file.name, file.condition, current)
        wanted = UploadOpen(b"", file.name, size=len(file.data), crc32c=file.crc32c)
        if target is not None and current is not None and current.size == len(file.data) and target.has(wanted):
            return replace(current, crc32c=file.crc32c)
        return None

    def _stage(self, index: int, file: NewFile) -> _Staged:
        called = f"{os.getpid()}-{next(_numbers)}"
        one = _Staged(index, file, called, os.open(called, NEW, 0o666, dir_fd=self._staging.small))
        try:
            rest = memoryview(file.data)
            while rest:
                rest = rest[os.write(one.descriptor, rest) :]
        except BaseException:
            os.close(one.descriptor)
            remove(called, self._staging.small)
            raise
        return one

    def _each(self, staged: Sequence[_Staged], answers: list[WrittenFile | None], work: Work) -> None:
        """Do some work for each staged file that has not failed yet. It returns the answer, or None."""
        for one in staged:
            if answers[one.index] is None:
                try:
                    with served(one.file.name):
                        answers[one.index] = work(one)
                except UnspoolError as error:
                    answers[one.index] = error

    def _prepare(self, one: _Staged, places: Places) -> None:
        """Give a file the attributes that it is to have. Its directory is made."""
        permissions = places.made(one.file.name).destination.permissions()
        if permissions is not None:
            os.fchmod(one.descriptor, permissions)
        apply(one.file.attributes, one.descriptor)

    @staticmethod
    def _sync(one: _Staged) -> None:
        os.fsync(one.descriptor)

    def _name(self, one: _Staged, places: Places) -> FileInfo:
        name, condition = one.file.name, one.file.condition
        target = places.made(name)
        directory, base = target.destination.directory, target.destination.name
        with self._staging.locked(name):
            found = target.current()
            check_condition(name, condition, found and found[0])
            if condition.absent:
                try:
                    appear(one.called, self._staging.small, base, directory)
                except FileExistsError:
                    raise AlreadyExistsError(f"{name}: exists already", name=name) from None
            else:
                os.rename(one.called, base, src_dir_fd=self._staging.small, dst_dir_fd=directory)
        return replace(target.info(os.fstat(one.descriptor)), crc32c=one.file.crc32c)

    def _sync_everything(self, staged: Sequence[_Staged], answers: list[WrittenFile | None]) -> None:
        assert self._sync_all is not None
        self._all_or_none(staged, answers, lambda: self._sync_all(self._staging.small))  # type: ignore[misc]

    def _each_directory(self, staged: Sequence[_Staged], answers: list[WrittenFile | None], places: Places) -> None:
        self._all_or_none(staged, answers, places.sync)

    @staticmethod
    def _all_or_none(staged: Sequence[_Staged], answers: list[WrittenFile | None], work: Callable[[], None]) -> None:
        """Do work for all files together: if it fails, it fails them all, for nobody knows which are durable."""
        try:
            work()
        except OSError as error:
            for one in staged:
                if not isinstance(answers[one.index], UnspoolError):
                    answers[one.index] = served_error(error, one.file.name)
