"""Writes small files to the staging directory, and gives them their final names in groups.

Rule 1: a file gets its final name when it is complete, verified and durable: it is staged, synced, renamed, and then added to
        the record.
Rule 2: this is done for a group of files at once, because syncing each file takes longer than fetching it. A kill costs the
        staged group. The caller has the clock, and commits a group after `GROUP_SECONDS`.
Rule 3: an error that concerns one name fails that file. An error that concerns all files (the disk is full) ends the tree.

All calls block. Only one may run at a time.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from unspool.core.model import FileInfo
from unspool.core.tree import Recorded, RelativePath
from unspool.core.treerecord import encode_row
from unspool.errors import DestinationExistsError, LocalFileError
from unspool.local.attributes import apply, permit
from unspool.local.directories import Directories
from unspool.local.entries import appear
from unspool.local.home import TreeHome
from unspool.local.oserrors import FATAL, local_error
from unspool.local.outcome import Failure, Outcome, ReceivedFile, Wanted
from unspool.options import MIB

_GROUP_FILES, _GROUP_BYTES = 1000, 64 * MIB
"""Limits of a group, and so of what a kill costs. Measured on ext4: syncing 1000 files at once takes 25 us per file, and
syncing them one by one 400 us."""

_FEW = 32
"""Largest group whose files are synced one by one: syncing the file system also waits for the data of other programs."""


@dataclass(slots=True)
class _Staged:
    name: str
    wanted: Wanted
    recorded: Recorded


class StagedGroup:
    """The group of files that are staged.

    Args:
        root: descriptor of the destination.
        path: path of the destination, for messages.
        home: holds the staged files and the record.
        directories: the directories below the destination.
        overwrite: whether a different file may be replaced.
        sync_all: syncs the whole file system of a descriptor; None syncs file by file.
    """

    def __init__(
        self,
        root: int,
        path: Path,
        home: TreeHome,
        directories: Directories,
        *,
        overwrite: bool,
        sync_all: Callable[[int], None] | None,
    ) -> None:
        self._root = root
        self._path = path
        self._home = home
        self._directories = directories
        self._overwrite = overwrite
        self._sync_all = sync_all
        self._staged: list[_Staged] = []
        self._bytes = 0
        self._names_to_sync = False

    def write(self, arrived: Iterable[ReceivedFile]) -> Outcome:
        """Stage small files. If the group is large enough, commit it.

        Raises:
            LocalFileError: an error that every other file would get as well.
        """
        for one in arrived:
            try:
                self._staged.append(self._stage(one))
            except OSError as error:
                raise local_error(error, self._path) from error
            self._bytes += one.wanted.info.size
        if len(self._staged) >= _GROUP_FILES or self._bytes >= _GROUP_BYTES:
            return self.commit()
        return Outcome()

    def _stage(self, one: ReceivedFile) -> _Staged:
        wanted = one.wanted
        name, descriptor = self._home.stage()
        try:
            for block in one.blocks:
                written = os.write(descriptor, block)
                while written < len(block):
                    written += os.write(descriptor, memoryview(block)[written:])
            if wanted.mode is not None:
                permit(wanted.mode, descriptor)
            return _Staged(
                name, wanted, apply_recorded(descriptor, wanted.info, one.crc32c, takes_back=wanted.takes_back, new=True)
            )
        except BaseException:
            self._home.drop(name)
            raise
        finally:
            os.close(descriptor)

    def commit(self) -> Outcome:
        """Give all staged files their final names.

        Raises:
            LocalFileError: an error that every other file would get as well.
        """
        out = Outcome()
        staged, self._staged, self._bytes = self._staged, [], 0
        if not staged:
            return out
        rows: list[tuple[bytes, bytes]] = []
        try:
            one_by_one = self._make_durable(staged)
            rows.extend(encode_row(one.wanted.info.name, one.recorded) for one in staged if self._name(one, out))
            if one_by_one and (self._sync_all is None or len(self._directories.grown) <= _FEW):
                self._sync_names()
            else:
                self._names_to_sync = True
        except LocalFileError:
            raise
        except OSError as error:
            self._drop(staged)
            raise local_error(error, self._path) from error
        finally:
            self._home.record.add(rows)
            self._directories.grown.clear()
        return out

    def _make_durable(self, staged: list[_Staged]) -> bool:
        """Sync the staged files; return whether they were synced one by one."""
        if self._sync_all is not None and len(staged) > _FEW:
            self._sync_all(self._root)
            return False
        for one in staged:
            descriptor = os.open(one.name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._home.descriptor)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return True

    def _sync_names(self) -> None:
        for directory in self._directories.grown:
            descriptor = self._directories.find(directory)
            if descriptor is not None:
                os.fsync(descriptor)

    def _name(self, one: _Staged, out: Outcome) -> bool:
        """Give a staged file its final name; return whether that succeeded."""
        wanted = one.wanted
        try:
            directory = self._directories.find(wanted.path.directory, make=True)
            assert directory is not None
            self._put(one.name, directory, wanted.path)
        except LocalFileError as error:
            out.failures.append(Failure(wanted.info.name, error))
        except OSError as error:
            if error.errno in FATAL:
                raise
            if error.errno == errno.EXDEV:
                out.elsewhere.append(wanted)
            else:
                out.failures.append(Failure(wanted.info.name, local_error(error, self._path / str(wanted.path))))
        else:
            self._directories.grown.add(wanted.path.directory)
            out.fetched += 1
            out.fetched_bytes += wanted.info.size
            return True
        self._home.drop(one.name)
        return False

    def _put(self, staged: str, directory: int, path: RelativePath) -> None:
        if self._overwrite:
            os.rename(staged, path.base, src_dir_fd=self._home.descriptor, dst_dir_fd=directory)
            return
        try:
            appear(staged, self._home.descriptor, path.base, directory)
        except FileExistsError:
            raise exists_error(self._path / str(path)) from None

    def finish(self) -> Outcome:
        """Commit the last group, and make all names durable.

        Raises:
            LocalFileError: an error that every other file would get as well.
        """
        out = self.commit()
        try:
            if self._sync_all is None:
                self._sync_names()  # only directories are left; files have been synced
            elif self._names_to_sync or self._directories.grown:
                self._sync_all(self._root)
        except OSError as error:
            raise local_error(error, self._path) from error
        self._names_to_sync = False
        self._directories.grown.clear()
        return out

    def close(self) -> None:
        """Remove the staged files."""
        self._drop(self._staged)
        self._staged = []

    def _drop(self, staged: Iterable[_Staged]) -> None:
        for one in staged:
            self._home.drop(one.name)


def exists_error(path: Path) -> DestinationExistsError:
    """Return the error for an existing file that may not be replaced."""
    return DestinationExistsError(f"{path}: exists and is not the server's file: allow it to be replaced (overwrite=True)")


def apply_recorded(descriptor: int, info: FileInfo, checksum: int, *, takes_back: bool, new: bool = False) -> Recorded:
    """Set the attributes of the open file (see `apply`), and return its entry for the record."""
    apply(info.attributes, descriptor, takes_back=takes_back, new=new)
    status = os.fstat(descriptor)
    return Recorded(info.revision, info.size, checksum, status.st_mtime_ns, status.st_ino, info.attributes)
