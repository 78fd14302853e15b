"""Predicts what fetching a tree would do: which files are here already, and which would be fetched.

Rule 1: nothing is created, written or locked, in the destination or in a record.
Rule 2: a file counts as here only if the record confirms it, or if its bytes match the server's checksum. Without a checksum or
        a record, it counts as to be fetched.

All calls block. Only one may run at a time.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unspool.core.model import FileInfo
from unspool.core.reserved import HOME
from unspool.core.tree import FetchNeed, Local, Recorded, RelativePath, below, fetch_need, relative_path_of
from unspool.core.whole import agreement
from unspool.errors import LocalFileError, ProtocolError, UnspoolError
from unspool.local.copy import LocalCopy
from unspool.local.directories import Directories
from unspool.local.elsewhere import check_owner
from unspool.local.entries import status_of
from unspool.local.oserrors import local_error, mapped
from unspool.local.outcome import Failure, Outcome, Wanted
from unspool.local.peek import PeekedRecord
from unspool.local.staging import exists_error


def _open_directory(path: Path) -> int:
    try:
        with mapped(path, FileNotFoundError, NotADirectoryError):
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError as error:
        raise LocalFileError(f"{path}: is not a directory; a tree needs one") from error


@dataclass(frozen=True, slots=True)
class Seen:
    """A file of the tree, and what is at its path.

    Attributes:
        info: the file on the server.
        path: its path below the destination.
        copy: the regular file there, if there is one. Its directory is open until the next file is seen.
        occupied: whether anything is there, if only a symbolic link.
        needed: what to do about the file.
        checksum: the CRC32C to compare the local file with, if that is what is needed.
    """

    info: FileInfo
    path: RelativePath
    copy: LocalCopy | None
    occupied: bool
    needed: FetchNeed
    checksum: int | None


class TreePreview:
    """The destination of a tree, opened read-only.

    Args:
        path: the directory, which need not exist.
        prefix: prefix of the files on the server.
        overwrite: whether a different file may be replaced.
        resume: whether to use the record.
        reread: whether to compare files by checksum even if the record vouches for them.
        record: where the record is kept, as for `TreeDestination`.
        source: the server.

    Raises:
        LocalFileError: the directory cannot be opened, or the record belongs to another tree.
    """

    def __init__(
        self,
        path: Path,
        prefix: str,
        *,
        overwrite: bool = True,
        resume: bool = True,
        reread: bool = False,
        record: Path | bool = True,
        source: str,
    ) -> None:
        self._path = path
        self._below = below(prefix)
        self._overwrite = overwrite
        self._reread = reread
        self._undo = contextlib.ExitStack()
        self._directories: Directories | None = None
        self._record: PeekedRecord | None = None
        with contextlib.suppress(FileNotFoundError):
            root = _open_directory(path)
            self._undo.callback(os.close, root)
            self._directories = Directories(root, path)
            self._undo.callback(self._directories.close)
        if resume and record is not False:
            self._record = PeekedRecord(record if isinstance(record, Path) else path / HOME)
            self._undo.callback(self._record.close)
            if isinstance(record, Path) and (owner := self._record.owner()) is not None:
                check_owner(record, owner, source, path)

    def close(self) -> None:
        """Close the directories and the record."""
        self._undo.close()

    @property
    def is_there(self) -> bool:
        """Whether the directory exists."""
        return self._directories is not None

    def see(self, infos: Iterable[FileInfo], out: Outcome) -> Iterator[Seen]:
        """Yield what is at the path of each file; add to `out` those left out, and those that cannot be written or read."""
        infos = list(infos)
        known = {} if self._record is None else self._record.find(info.name for info in infos)
        for info in infos:
            seen = None
            with self._noting(info, out):
                seen = self._see(info, known.get(info.name), out)
            if seen is not None:
                yield seen

    def look(self, infos: Iterable[FileInfo]) -> Outcome:
        """Return which of some files would be `kept`, `wanted` or `failures`."""
        out = Outcome()
        for seen in self.see(infos, out):
            with self._noting(seen.info, out):
                needed = seen.needed
                if needed is FetchNeed.COMPARE and seen.checksum is not None and seen.copy is not None:
                    same = agreement(seen.copy.checksums(threading.Event())[0], seen.checksum)
                    needed = FetchNeed.NOTHING if same else FetchNeed.FETCH
                if needed is FetchNeed.NOTHING:
                    out.kept += 1
                elif seen.occupied and not self._overwrite:
                    raise exists_error(self._path / str(seen.path))
                else:
                    out.wanted.append(Wanted(seen.info, seen.path))
        return out

    @contextlib.contextmanager
    def _noting(self, info: FileInfo, out: Outcome) -> Iterator[None]:
        """Make an error in the `with` the failure of a file."""
        try:
            yield
        except UnspoolError as error:
            out.failures.append(Failure(info.name, error))
        except OSError as error:
            out.failures.append(Failure(info.name, local_error(error, self._path / info.name)))

    def _see(self, info: FileInfo, recorded: Recorded | None, out: Outcome) -> Seen | None:
        if info.size < 0:
            raise ProtocolError(f"{info.name}: the server lists it with a negative size", name=info.name)
        path = relative_path_of(info.name, self._below)
        if path is None:
            out.left_out += 1
            return None
        directory = None if self._directories is None else self._directories.find(path.directory)
        status = None if directory is None else status_of(path.base, directory)
        local = copy = None
        if status is not None:
            if stat.S_ISREG(status.st_mode):
                local = Local(status.st_size, status.st_mtime_ns, status.st_ino)
                copy = LocalCopy(self._path / str(path), path.base, directory)
            elif not stat.S_ISLNK(status.st_mode):
                raise LocalFileError(f"{self._path / str(path)}: is there already, and is not a regular file")
        needed, checksum = fetch_need(info, recorded, local, reread=self._reread)
        return Seen(info, path, copy, status is not None, needed, checksum)
