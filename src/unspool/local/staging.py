"""Files that have arrived and have no names yet, and how they get them: many at once.

Rule 1: a file gets its name when it is whole, verified and durable: staged without a name, synced, renamed, and only then
        noted in the record.
Rule 2: that is done for a group at once, because syncing each would take longer than fetching it. What a kill costs is the
        group that has no names yet; how long one may wait for more files is for who has a clock (`GROUP_SECONDS`).
Rule 3: what the disk refuses to one name is that file's failure. What it refuses to all (it is full) ends the tree.

Plain blocking calls, one at a time.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from unspool.core.model import FileInfo
from unspool.core.tree import Kept, Place
from unspool.core.treerecord import row_of
from unspool.errors import DestinationExistsError, LocalFileError
from unspool.local.attributes import apply
from unspool.local.directories import Directories
from unspool.local.entries import appear
from unspool.local.home import TreeHome
from unspool.local.outcome import Arrived, Failure, Outcome, Wanted
from unspool.local.refusals import local_error
from unspool.options import MIB

_GROUP_FILES, _GROUP_BYTES = 1000, 64 * MIB
"""What is named at once, at most: what a kill costs. Measured on ext4: 25 us a file to sync 1000, 400 us to sync one by one."""

GROUP_SECONDS = 2.0
"""How long a file may wait for others, at most: what a kill costs where few arrive. As often as a large file's journal."""

_FEW = 32
"""Files up to which each is synced by itself: syncing a whole file system waits for what others write to it, too."""

_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""What the system says that it would say of every other file as well."""


@dataclass(slots=True)
class _Staged:
    name: str
    wanted: Wanted
    kept: Kept


class Staging:
    """The group of files that is coming together.

    Args:
        root: descriptor of the destination.
        path: of the same, for messages.
        home: where files without a name are, and the record.
        directories: where they go.
        overwrite: whether a different file may be replaced.
        sync_all: makes the whole file system of a descriptor durable; None syncs file by file.
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

    def write(self, arrived: Iterable[Arrived]) -> Outcome:
        """Write small files down; give names to what has come together, if that is enough.

        Raises:
            LocalFileError: the disk refuses everything.
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

    def _stage(self, one: Arrived) -> _Staged:
        wanted = one.wanted
        name, descriptor = self._home.stage()
        try:
            for block in one.blocks:
                written = os.write(descriptor, block)
                while written < len(block):
                    written += os.write(descriptor, memoryview(block)[written:])
            if wanted.mode is not None:
                os.fchmod(descriptor, wanted.mode)
            return _Staged(name, wanted, vouched(descriptor, wanted.info, one.crc32c, takes_back=wanted.takes_back))
        except BaseException:
            self._home.drop(name)
            raise
        finally:
            os.close(descriptor)

    def commit(self) -> Outcome:
        """Give names to all that has been written down.

        Raises:
            LocalFileError: the disk refuses everything.
        """
        out = Outcome()
        staged, self._staged, self._bytes = self._staged, [], 0
        if not staged:
            return out
        rows: list[tuple[bytes, bytes]] = []
        try:
            one_by_one = self._make_durable(staged)
            rows.extend(row_of(one.wanted.info.name, one.kept) for one in staged if self._name(one, out))
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
        """Sync the files; return whether that was done one by one."""
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
        """Give a staged file its name; return whether it has it now."""
        wanted = one.wanted
        try:
            directory = self._directories.find(wanted.place.directory, make=True)
            assert directory is not None
            self._put(one.name, directory, wanted.place)
        except LocalFileError as error:
            out.failures.append(Failure(wanted.info.name, error))
        except OSError as error:
            if error.errno in _FATAL:
                raise
            if error.errno == errno.EXDEV:
                out.elsewhere.append(wanted)
            else:
                out.failures.append(Failure(wanted.info.name, local_error(error, self._path / str(wanted.place))))
        else:
            self._directories.grown.add(wanted.place.directory)
            out.fetched += 1
            out.fetched_bytes += wanted.info.size
            return True
        self._home.drop(one.name)
        return False

    def _put(self, staged: str, directory: int, place: Place) -> None:
        if self._overwrite:
            os.rename(staged, place.base, src_dir_fd=self._home.descriptor, dst_dir_fd=directory)
            return
        try:
            appear(staged, self._home.descriptor, place.base, directory)
        except FileExistsError:
            raise taken(self._path / str(place)) from None

    def finish(self) -> Outcome:
        """Give names to what is left, and make all names durable.

        Raises:
            LocalFileError: the disk refuses everything.
        """
        out = self.commit()
        try:
            if self._sync_all is None:
                self._sync_names()  # of directories alone: files have been seen to
            elif self._names_to_sync or self._directories.grown:
                self._sync_all(self._root)
        except OSError as error:
            raise local_error(error, self._path) from error
        self._names_to_sync = False
        self._directories.grown.clear()
        return out

    def close(self) -> None:
        """Drop what has no name."""
        self._drop(self._staged)
        self._staged = []

    def _drop(self, staged: Iterable[_Staged]) -> None:
        for one in staged:
            self._home.drop(one.name)


def taken(path: Path) -> DestinationExistsError:
    """Return the error that something is there which may not be replaced."""
    return DestinationExistsError(f"{path}: exists and is not the server's file: allow it to be replaced (overwrite=True)")


def ends_everything(error: LocalFileError) -> bool:
    """Whether the disk would refuse all other files as well."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _FATAL


def vouched(descriptor: int, info: FileInfo, checksum: int, *, takes_back: bool) -> Kept:
    """Give the open file its attributes (see `apply`), and return what the record may say of it."""
    apply(info.attributes, descriptor, takes_back=takes_back)
    status = os.fstat(descriptor)
    return Kept(info.revision, info.size, checksum, status.st_mtime_ns, status.st_ino, info.attributes)
