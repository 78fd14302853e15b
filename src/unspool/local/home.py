"""What unspool keeps below a tree's destination: a lock, the record, and files that have yet to get their names.

    DEST/.unspool-tree/lock             held (flock) by the one process that fills this tree
    DEST/.unspool-tree/record.sqlite    see `unspool.local.record`
    DEST/.unspool-tree/17               a file that is whole, or not, and has no name yet

Rule 1: one writer. The lock goes with the process, however it dies; what it had staged is removed by the next one.
Rule 2: the record is not synced: what a power cut leaves of it is damage, or a row about a file that is not there.

Rule 3: where the record is kept elsewhere, or none is, nothing of this is left when the tree is closed.

Plain blocking calls, one at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from unspool.core.ours import HOME
from unspool.errors import BusyError
from unspool.local.entries import is_at, make_directory, open_ours, remove, status_of
from unspool.local.record import NoRecord, Record

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_LOCK = "lock"

_TRIES = 100
"""To lock a home that others remove: each of them had to end between two steps of ours."""


class TreeHome:
    """The directory `.unspool-tree` of one destination, locked.

    Args:
        root: descriptor of the destination.
        path: the destination, for messages.
        anew: throw away what the record says.
        record: lends the record that is used instead of the one here, once the home is locked; None uses the one here.

    Attributes:
        descriptor: of the directory.
        record: what is here already.

    Raises:
        BusyError: another process has it.
        OSError: it cannot be had.
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
        """Make and lock the directory; return its descriptor."""
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
                if is_at(lock, _LOCK, home) and is_at(home, HOME, self._root):  # nobody has removed it meanwhile
                    undo.enter_context(attempt.pop_all())
                    return home
        raise BusyError(f"{path}: another process is filling this tree; wait for it, or end it")

    def _leave_nothing(self) -> None:
        """Remove the home, unless it has a record that earlier runs kept in it."""
        with contextlib.suppress(OSError):
            if os.listdir(self.descriptor) == [_LOCK]:  # noqa: PTH208 - names are wanted
                remove(_LOCK, self.descriptor)
                os.rmdir(HOME, dir_fd=self._root)

    def _tidy(self) -> None:
        """Remove what a process left that was killed."""
        with os.scandir(self.descriptor) as entries:
            left = [entry.name for entry in entries if entry.name[0].isdigit()]
        for name in left:
            os.unlink(name, dir_fd=self.descriptor)

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
            return any(status_of(spelling, self.descriptor) is not None for spelling in other)
        finally:
            self.drop(probe)

    def close(self) -> None:
        """Let others at it."""
        self._undo.close()


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
