"""What unspool keeps below a tree's destination: a lock, the record, and staged files, which have no final name yet.

    DEST/.unspool-tree/lock             held (flock) by the process that fills this tree
    DEST/.unspool-tree/record.sqlite    see `unspool.local.record`
    DEST/.unspool-tree/17               a staged file, complete or not

Rule 1: one writer. The kernel releases the lock when the process ends. The next process removes the staged files it left.
Rule 2: the record is not synced. A power cut may damage it, or leave a row about a file that does not exist; both are detected.
Rule 3: if the record is kept elsewhere, or there is none, this directory is removed when the tree is closed, unless an
        earlier run has left its record in it.

All calls block. Only one may run at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from unspool.core.reserved import HOME
from unspool.errors import BusyError
from unspool.local.entries import is_at, make_directory, open_ours, remove, status_of
from unspool.local.record import NoRecord, Record

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_LOCK = "lock"

_TRIES = 100
"""Most tries to lock a directory that other processes remove. Each failed try needs one that ends at just that moment."""


class TreeHome:
    """The directory `.unspool-tree` of one destination, locked.

    Args:
        root: descriptor of the destination.
        path: the destination, for messages.
        anew: discard the record's contents.
        record: opens another record to use, once the directory is locked; None uses the record in this directory.

    Attributes:
        descriptor: descriptor of the directory.
        record: the record in use.

    Raises:
        BusyError: another process holds the lock.
        OSError: the directory cannot be created or opened.
    """

    def __init__(
        self,
        root: int,
        path: Path,
        *,
        anew: bool = False,
        record: AbstractContextManager[Record | NoRecord] | None = None,
    ) -> None:
        self._root = root
        self._next = 0
        with ExitStack() as undo:
            self.descriptor = self._lock(path, undo)
            self._tidy()
            self.record: Record | NoRecord
            if record is None:
                self.record = Record(self.descriptor, path, anew=anew)
                undo.callback(self.record.close)
            else:
                undo.callback(self._leave_nothing)
                self.record = undo.enter_context(record)
            self._undo = undo.pop_all()

    def _lock(self, path: Path, undo: ExitStack) -> int:
        """Create and lock the directory; return its descriptor."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileExistsError):
                make_directory(HOME, self._root)
            with ExitStack() as attempt, contextlib.suppress(FileNotFoundError):
                home = os.open(HOME, DIRECTORY, dir_fd=self._root)
                attempt.callback(os.close, home)
                lock = open_ours(_LOCK, home, os.O_RDWR | os.O_CREAT)
                attempt.callback(os.close, lock)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    break
                if is_at(lock, _LOCK, home) and is_at(home, HOME, self._root):  # no other process has removed it
                    undo.enter_context(attempt.pop_all())
                    return home
        raise BusyError(f"{path}: another process is filling this tree; wait for it, or end it")

    def _leave_nothing(self) -> None:
        """Remove the directory, unless it holds the record of earlier runs."""
        with contextlib.suppress(OSError):
            if os.listdir(self.descriptor) == [_LOCK]:  # noqa: PTH208 - names are wanted
                remove(_LOCK, self.descriptor)
                os.rmdir(HOME, dir_fd=self._root)

    def _tidy(self) -> None:
        """Remove the staged files of a process that was killed."""
        with os.scandir(self.descriptor) as entries:
            left = [entry.name for entry in entries if entry.name[0].isdigit()]
        for name in left:
            os.unlink(name, dir_fd=self.descriptor)

    def stage(self) -> tuple[str, int]:
        """Create a staged file; return its name in this directory, and its descriptor."""
        self._next += 1
        name = str(self._next)
        return name, os.open(name, NEW, 0o666, dir_fd=self.descriptor)

    def drop(self, name: str) -> None:
        """Remove a staged file."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.descriptor)

    def folds(self) -> bool:
        """Whether the file system treats names as equal that differ only in case or in their Unicode normalisation."""
        name, descriptor = self.stage()
        os.close(descriptor)
        probe, other = f"{name}-Caf\u00e9", (f"{name}-caf\u00e9", f"{name}-Cafe\u0301")
        os.rename(name, probe, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        try:
            return any(status_of(spelling, self.descriptor) is not None for spelling in other)
        finally:
            self.drop(probe)

    def close(self) -> None:
        """Close the record, and unlock the directory."""
        self._undo.close()


def whole_file_system_syncer() -> Callable[[int], None] | None:
    """Return a function that syncs the whole file system of a descriptor (syncfs); None if the system has none."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None

    def sync(descriptor: int) -> None:
        if syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return sync
