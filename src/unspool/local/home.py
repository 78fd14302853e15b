"""What unspool keeps below a tree's destination: a lock, the record, and files that have yet to get their names.

    DEST/.unspool-tree/lock      held (flock) by the one process that fills this tree
    DEST/.unspool-tree/record    see `unspool.core.treerecord`
    DEST/.unspool-tree/17        a file that is whole, or not, and has no name yet

Rule 1: one writer. The lock goes with the process, however it dies; what it had staged is removed by the next one.
Rule 2: the record is added to in one write, and replaced as a whole. Neither is synced: what a power cut leaves of it is
        damage, or a line about a file that is not there.

Plain blocking calls, one at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from unspool.core.ours import HOME
from unspool.core.treerecord import TreeRecord
from unspool.errors import BusyError
from unspool.local.entries import make_directory, open_ours

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_LOCK, _RECORD, _NEW_RECORD = "lock", "record", "record.new"


class TreeHome:
    """The directory `.unspool-tree` of one destination, locked.

    Args:
        root: descriptor of the destination.
        path: the destination, for messages.
        anew: throw away what the record says.

    Attributes:
        descriptor: of the directory.
        record: what is here already.

    Raises:
        BusyError: another process has it.
        OSError: it cannot be had.
    """

    def __init__(self, root: int, path: Path, *, anew: bool = False) -> None:
        with contextlib.suppress(FileExistsError):
            make_directory(HOME, root)
        self.descriptor = os.open(HOME, DIRECTORY, dir_fd=root)
        self._lock = self._file = -1
        self._next = 0
        try:
            self._lock = open_ours(_LOCK, self.descriptor, os.O_RDWR | os.O_CREAT)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._tidy()
            self.load(anew=anew)
        except BlockingIOError:
            self.close()
            raise BusyError(f"{path}: another process is filling this tree; wait for it, or end it") from None
        except BaseException:
            self.close()
            raise

    def _tidy(self) -> None:
        """Remove what a process left that was killed."""
        with os.scandir(self.descriptor) as entries:
            left = [entry.name for entry in entries if entry.name[0].isdigit() or entry.name == _NEW_RECORD]
        for name in left:
            os.unlink(name, dir_fd=self.descriptor)

    def load(self, *, anew: bool = False) -> None:
        """Read the record, or begin another."""
        self._close_record()
        self._file = self._open_record()
        record = TreeRecord()
        torn = anew
        if not anew:
            with os.fdopen(self._file, "rb", closefd=False) as file:
                record = TreeRecord(file)
                size = file.tell()
            torn = size > 0 and os.pread(self._file, 1, size - 1) != b"\n"
        if torn or record.wasteful or not record.readable:
            self._close_record()
            self._replace(record)
            self._file = self._open_record()
        self.record = record

    def _open_record(self) -> int:
        return open_ours(_RECORD, self.descriptor, os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def _close_record(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _replace(self, record: TreeRecord) -> None:
        with os.fdopen(os.open(_NEW_RECORD, NEW, 0o666, dir_fd=self.descriptor), "wb") as file:
            file.writelines(record.lines())
        os.rename(_NEW_RECORD, _RECORD, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def add(self, lines: Iterable[bytes]) -> None:
        """Add lines to the record. Of no consequence if the disk takes only some of them."""
        with contextlib.suppress(OSError):
            os.write(self._file, b"".join(lines))

    def stage(self) -> tuple[str, int]:
        """Create a file that has no name yet; return what it is called here, and its descriptor."""
        self._next += 1
        name = str(self._next)
        return name, os.open(name, NEW, 0o666, dir_fd=self.descriptor)

    def drop(self, name: str) -> None:
        """Remove a staged file."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.descriptor)

    def folds(self) -> bool:
        """Whether this file system takes two names for one that differ in case, or in how Unicode spells them."""
        name, descriptor = self.stage()
        os.close(descriptor)
        probe, other = f"{name}-Caf\u00e9", (f"{name}-caf\u00e9", f"{name}-Cafe\u0301")
        os.rename(name, probe, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        try:
            return any(_is_there(spelling, self.descriptor) for spelling in other)
        finally:
            self.drop(probe)

    def close(self) -> None:
        """Let others at it."""
        for descriptor in (self._file, self._lock, self.descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = self.descriptor = -1


def _is_there(name: str, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def whole_file_system_syncer() -> Callable[[int], None] | None:
    """Return what makes everything durable that was written to the file system of a descriptor; None where nothing does."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None

    def sync(descriptor: int) -> None:
        if syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return sync
