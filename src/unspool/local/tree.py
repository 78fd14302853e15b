"""The destination of a tree: finds which files are already here, and writes the files that arrive.

Rule 1: below the destination, only the paths of the tree's files are read or written, and never through a symbolic link.
Rule 2: nothing is removed. A file is replaced only by the tree's file of that path.
Rule 3: an obstacle to one file, such as a directory at its path, fails that file and no other.

All calls block, and only one may run at a time. The caller decides in which thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from unspool.core.checksum import crc32c
from unspool.core.model import FileInfo
from unspool.core.reserved import HOME, is_reserved
from unspool.core.tree import (
    FetchNeed,
    Local,
    Paths,
    Recorded,
    RelativePath,
    below,
    fetch_need,
    folded,
    lacks,
    made_executable,
    relative_path_of,
)
from unspool.core.treerecord import decode_row, encode_row, key_of, vouches
from unspool.core.whole import agreement
from unspool.errors import LocalFileError, ProtocolError, UnspoolError
from unspool.local.destination import Destination
from unspool.local.directories import Directories
from unspool.local.elsewhere import record_at
from unspool.local.entries import READ, make_directory, status_of, unchanged
from unspool.local.home import TreeHome, whole_file_system_syncer
from unspool.local.oserrors import local_error
from unspool.local.outcome import SMALL, Failure, Outcome, ReceivedFile, Wanted
from unspool.local.record import NoRecord, Record
from unspool.local.staging import StagedGroup, apply_recorded, exists_error

Syncer = Callable[[int], None]


class TreeDestination:
    """The directory that a tree is written to.

    Args:
        path: the directory. Its parent must exist.
        prefix: of the files on the server.
        overwrite: whether a different file may be replaced.
        resume: whether to believe the record of earlier runs.
        reread: whether to compare files by checksum even if the record vouches for them.
        record: the directory in which the record is kept; True keeps it below the destination, False keeps none.
        source: the server, for a record that is kept elsewhere.
        folds: whether the file system treats names that differ only in case as the same name; None tests it.
        sync_all: syncs the whole file system of a descriptor; None syncs file by file.

    Attributes:
        is_open: whether it is open, and must be closed.
    """

    def __init__(
        self,
        path: Path,
        prefix: str,
        *,
        overwrite: bool,
        resume: bool,
        reread: bool = False,
        record: Path | bool = True,
        source: str = "",
        folds: bool | None = None,
        sync_all: Syncer | None = whole_file_system_syncer(),  # noqa: B008 - the C library does not change
    ) -> None:
        self._path = path
        self._below = below(prefix)
        self._paths = Paths(self._below)
        self._overwrite = overwrite
        self._resume = resume
        self._reread = reread
        self._record = record
        self._source = source
        self._folds = folds
        self._sync_all = sync_all
        self.is_open = False

    def open(self) -> None:
        """Lock the directory, creating it if need be, and load its record.

        Raises:
            BusyError: another process is filling it.
            LocalFileError: the directory cannot be created or opened, or its record cannot be used.
        """
        if is_reserved(self._path.name):
            raise LocalFileError(f"{self._path}: unspool keeps something of its own under such names: name another destination")
        try:
            with contextlib.suppress(FileExistsError):
                make_directory(str(self._path), None)
            with contextlib.ExitStack() as undo:
                self._root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                undo.callback(os.close, self._root)
                self._home = TreeHome(self._root, self._path, anew=not self._resume, record=self._other_record())
                undo.callback(self._home.close)
                if self._folds is None:
                    self._folds = self._home.folds()
                undo.pop_all()
        except UnspoolError:
            raise
        except NotADirectoryError as error:
            if error.filename == HOME:
                said = (
                    "is not a directory, and unspool keeps something of its own there: remove it, or name another destination"
                )
                raise LocalFileError(f"{self._path}/{HOME}: {said}") from error
            raise LocalFileError(f"{self._path}: is not a directory; a tree needs one") from error
        except FileNotFoundError as error:
            if self._path.is_symlink():
                raise LocalFileError(
                    f"{self._path}: is a symbolic link that leads nowhere; a tree needs a directory"
                ) from error
            raise self._local_error(error) from error
        except FileExistsError as error:
            raise self._local_error(error, f"{HOME}/{error.filename}") from error
        except (OSError, ValueError) as error:
            raise self._local_error(error) from error
        self._directories = Directories(self._root, self._path)
        self._staging = StagedGroup(
            self._root,
            self._path,
            self._home,
            self._directories,
            overwrite=self._overwrite,
            sync_all=self._sync_all,
        )
        self._seen: set[str] = set()  # folded paths, where the file system folds
        self.is_open = True

    def _other_record(self) -> AbstractContextManager[Record | NoRecord] | None:
        """Return a context manager for a record outside of the destination, or for none; None if it is in the destination."""
        if isinstance(self._record, Path):
            return record_at(self._record, self._source, self._path, anew=not self._resume)
        return None if self._record else contextlib.nullcontext(NoRecord())

    def begin_again(self) -> None:
        """Prepare for a second listing of the same files."""
        self._seen.clear()

    # What is here

    def look(self, infos: Iterable[FileInfo]) -> Outcome:
        """Find out which of the files are here already."""
        out = Outcome()
        rows: list[tuple[bytes, bytes]] = []
        infos = list(infos)
        keys = [key_of(info.name) for info in infos]
        known = self._home.record.find(keys)
        self._directories.forget()
        out.listed = len(infos)
        for info, key in zip(infos, keys, strict=True):
            out.listed_bytes += max(info.size, 0)
            try:
                self._look_at(info, (key, known.get(key)), out, rows)
            except UnspoolError as error:
                out.failures.append(Failure(info.name, error))
            except OSError as error:
                out.failures.append(Failure(info.name, self._local_error(error, info.name)))
        self._home.record.add(rows)
        return out

    def _look_at(self, info: FileInfo, row: tuple[bytes, object], out: Outcome, rows: list[tuple[bytes, bytes]]) -> None:
        if info.size < 0:
            raise ProtocolError(f"{info.name}: the server lists it with a negative size", name=info.name)
        path = self._paths.of(info.name)
        if path is None:
            out.left_out += 1
            return
        if self._folds:
            self._check_unlike_others(info, path)
        directory = self._directories.find(path.directory)
        status = None if directory is None else status_of(path.base, directory)
        local = mode = None
        if status is not None:
            if stat.S_ISREG(status.st_mode):
                local = Local(status.st_size, status.st_mtime_ns, status.st_ino, bool(status.st_mode & stat.S_IXUSR))
                mode = status.st_mode & 0o777
                if not self._reread and vouches(*row, info, local):
                    out.kept += 1
                    out.kept_bytes += info.size
                    return
            elif not stat.S_ISLNK(status.st_mode):
                raise LocalFileError(f"{self._path / str(path)}: is there already, and is not a regular file")
        small = info.size <= SMALL
        recorded = decode_row(*row)
        needed, checksum = fetch_need(info, recorded, local, reread=self._reread)
        takes_back = local is not None and made_executable(recorded, local)
        wanted = Wanted(info, path, mode, takes_back)
        if needed is FetchNeed.COMPARE and small:
            assert directory is not None
            assert checksum is not None
            needed = FetchNeed.NOTHING if self._agrees(wanted, directory, checksum, rows) else FetchNeed.FETCH
        elif needed is FetchNeed.NOTHING and local is not None:
            assert recorded is not None
            assert directory is not None
            assert status is not None
            if lacks(info.attributes, recorded, local):
                self._give(wanted, directory, status, recorded, rows)
        if needed is FetchNeed.NOTHING:
            out.kept += 1
            out.kept_bytes += info.size
            return
        if status is not None and small and not self._overwrite:  # for a larger one, its own download finds out
            raise exists_error(self._path / str(path))
        out.wanted.append(wanted)

    def _check_unlike_others(self, info: FileInfo, path: RelativePath) -> None:
        like = folded(path)
        if like in self._seen:
            raise LocalFileError(
                f"{self._path / str(path)}: another file of the tree has this name already, "
                f"as far as the file system here can tell; {info.name} is left out"
            )
        self._seen.add(like)

    def _give(
        self, wanted: Wanted, directory: int, found: os.stat_result, recorded: Recorded, rows: list[tuple[bytes, bytes]]
    ) -> None:
        """Set the missing attributes of a file that is here."""
        with contextlib.suppress(OSError):  # the bytes are right; attributes are set if possible
            descriptor = os.open(wanted.path.base, READ, dir_fd=directory)
            try:
                if unchanged(found, os.fstat(descriptor)):
                    renewed = apply_recorded(descriptor, wanted.info, recorded.crc32c, takes_back=wanted.takes_back)
                    rows.append(encode_row(wanted.info.name, renewed))
            finally:
                os.close(descriptor)

    def _agrees(self, wanted: Wanted, directory: int, checksum: int, rows: list[tuple[bytes, bytes]]) -> bool:
        """Return whether a small file that is here has the server's bytes; if so, add it to the rows of the record."""
        info = wanted.info
        descriptor = os.open(wanted.path.base, READ, dir_fd=directory)
        try:
            before = os.fstat(descriptor)
            data = os.pread(descriptor, SMALL + 1, 0)
            if len(data) != info.size or not agreement(crc32c(data), checksum) or not unchanged(before, os.fstat(descriptor)):
                return False
            rows.append(encode_row(info.name, apply_recorded(descriptor, info, checksum, takes_back=wanted.takes_back)))
            return True
        finally:
            os.close(descriptor)

    # Empty directories

    def make_directories(self, prefixes: Iterable[str]) -> Outcome:
        """Make the directories that the server lists as empty, each ending in `/`. Their local contents stay."""
        out = Outcome()
        for prefix in prefixes:
            try:
                path = relative_path_of(prefix.removesuffix("/"), self._below)
                if path is not None:
                    self._directories.find(str(path), make=True)
                    out.directories += 1
            except UnspoolError as error:
                out.failures.append(Failure(prefix, error))
            except OSError as error:
                out.failures.append(Failure(prefix, self._local_error(error, prefix.removesuffix("/"))))
        return out

    # What arrives

    def write(self, arrived: Iterable[ReceivedFile]) -> Outcome:
        """Write small files that have arrived; see `StagedGroup.write`."""
        return self._staging.write(arrived)

    def finish(self) -> Outcome:
        """Give the remaining files their final names, and make all names durable; see `StagedGroup.finish`."""
        return self._staging.finish()

    def name_staged(self) -> Outcome:
        """Give the files written so far their final names; see `StagedGroup.commit`."""
        return self._staging.commit()

    # Larger files, which are downloaded one by one

    def open_file(self, wanted: Wanted) -> Destination:
        """Return the destination of a larger file, which the caller closes. Creates its directory if it does not exist.

        Raises:
            LocalFileError: the directory cannot be created.
        """
        try:
            directory = self._directories.find(wanted.path.directory, make=True)
            assert directory is not None
            return Destination(os.dup(directory), self._path / str(wanted.path))
        except UnspoolError:
            raise
        except OSError as error:
            raise self._local_error(error, str(wanted.path)) from error

    def record_file(self, wanted: Wanted, revision: str | None, checksum: int) -> None:
        """Add a larger file, downloaded and verified at that revision, to the record."""
        if revision != wanted.info.revision:
            return  # not the listed revision; the next run compares the file
        with contextlib.suppress(OSError, UnspoolError):  # a file without a row is compared in the next run
            directory = self._directories.find(wanted.path.directory)
            descriptor = os.open(wanted.path.base, READ, dir_fd=directory)
            try:
                recorded = apply_recorded(descriptor, wanted.info, checksum, takes_back=wanted.takes_back)
                self._home.record.add([encode_row(wanted.info.name, recorded)])
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Remove staged files, and release the lock."""
        self.is_open = False
        self._staging.close()
        self._directories.close()
        self._home.close()
        os.close(self._root)

    def _local_error(self, error: OSError | ValueError, name: str = "") -> LocalFileError:
        if isinstance(error, OSError):
            refused = local_error(error, self._path / name)
            refused.__cause__ = error
            return refused
        return LocalFileError(f"{str(self._path)!a}: cannot be the name of a directory")
