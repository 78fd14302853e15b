"""The directory `.unspool-uploads` below the served root: what has no final name yet. docs/journal.md describes it.

    KEY.unspool-part      the bytes of an upload; locked by the process that receives it
    KEY.unspool-journal   which of them are good, as for a download; it may be lost in a power cut
    KEY.unspool-synced    which of them survive a power cut
    done/KEY              a committed upload, remembered for a while
    wanted/KEY            another process wants to take the upload over
    locks/00 .. locks/31  held while what is at a name is compared and replaced
    small/N               a small file that is being written
    storage/ID            an empty file, made once: the directory's id is made of it

Rule 1: it is in the served file system, so that a file gets its name by a rename. Nobody but the server's user may read it.
Rule 2: a key is a digest of owner, name and id, so only these three find an upload. It begins with one of the owner.
Rule 3: what is removed of it while it is open is made again before it is needed: all processes must use the same locks. What
        lies there instead, a link for example, is neither followed nor removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from unspool.core.reserved import PART_SUFFIX, UPLOADS, names_beside
from unspool.core.uploading import UploadIdentity
from unspool.errors import LocalFileError
from unspool.local.entries import is_at, make_directory, open_ours, remove, sync, write_new
from unspool.local.home import DIRECTORY
from unspool.local.part import Place

log = logging.getLogger("unspool.ingest")

_NAME_MAX = 255

_LOCKS = 32
"""Number of locks. A name is locked for a rename only, so few names wait for one another."""

_OWNER_DIGITS, _KEY_DIGITS = 16, 32


def owner_digest(owner: str) -> str:
    """Return what the keys of an owner's uploads begin with."""
    return hashlib.sha256(owner.encode()).hexdigest()[:_OWNER_DIGITS]


def key_of(identity: UploadIdentity) -> str:
    """Return the key of an upload: what its files, or objects, are called."""
    digest = hashlib.sha256(b"\0".join((identity.owner.encode(), identity.name.encode(), identity.upload_id)))
    return f"{owner_digest(identity.owner)}-{digest.hexdigest()[:_KEY_DIGITS]}"


def lock_number(name: str) -> int:
    """Return the number of the lock that is held while what is at a name is compared and replaced."""
    return hashlib.sha256(name.encode()).digest()[0] % _LOCKS


class UnusableError(LocalFileError):
    """The directory for uploads cannot be made or opened, so nothing can be received."""


class Staging:
    """The directory, open.

    Args:
        root: descriptor of the served root.
        path: the path of the directory, for messages.

    Attributes:
        descriptor, done, wanted, small: the directory, and those in it.

    Raises:
        UnusableError: it cannot be made or opened.
    """

    def __init__(self, root: int, path: Path) -> None:
        self._root = root
        self._path = path
        self._mending = threading.Lock()
        with self._explained(), ExitStack() as undo:
            self.descriptor = _directory(UPLOADS, root, undo)
            os.fchmod(self.descriptor, stat.S_IRWXU)
            self.done = _directory("done", self.descriptor, undo)
            self.wanted = _directory("wanted", self.descriptor, undo)
            self._locks = _directory("locks", self.descriptor, undo)
            self.small = _directory("small", self.descriptor, undo)
            self._storage = _directory("storage", self.descriptor, undo)
            self._mine = [threading.Lock() for _ in range(_LOCKS)]
            self._lock_files: dict[int, int] = {}
            undo.callback(self._close_locks)
            self._undo = undo.pop_all()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                why = error.strerror or str(error)
            elif self._path.is_symlink():
                why = "it is a symbolic link, which is not followed: remove it"
            else:
                why = "it is not a directory: remove it"
            raise UnusableError(f"{self._path}: uploads are kept there, and it cannot be used: {why}") from error

    def mend(self) -> None:
        """Make again what was removed of the directory since it was opened, or moved away.

        An upload that is open then fails at its next step that needs the directory. It can be sent again.

        Raises:
            UnusableError: something else is there, or the served root was removed. It is logged.
        """
        if self._is_whole():
            return
        try:
            with self._mending, self._explained():
                if not self._is_whole():  # another thread was not faster
                    self._make_again()
        except UnusableError as error:
            log.error("nothing can be received: %s", error.message)  # noqa: TRY400 - the message says it all
            raise

    def _is_whole(self) -> bool:
        return all(is_at(one, name, above) for name, above, one in self._directories())

    def _make_again(self) -> None:
        for name, above, one in self._directories():
            if not is_at(one, name, above):
                with ExitStack() as undo:
                    os.dup2(_directory(name, above, undo), one, inheritable=False)  # uploads know it by its number
        os.fchmod(self.descriptor, stat.S_IRWXU)
        self._close_locks()
        log.warning("%s was removed, or a part of it: it was made again, and unfinished uploads are lost", self._path)

    def _directories(self) -> Iterator[tuple[str, int, int]]:
        """Yield the name of each directory, the descriptor of the one it lies in, and its own."""
        yield UPLOADS, self._root, self.descriptor
        inside = {"done": self.done, "wanted": self.wanted, "locks": self._locks, "small": self.small, "storage": self._storage}
        for name, one in inside.items():
            yield name, self.descriptor, one

    def place(self, key: str, name: str) -> Place:
        """Return the place of the part file of an upload of the file `name`."""
        return Place(self.descriptor, Path(UPLOADS), names_beside(key, _NAME_MAX), Path(name))

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lock on a name, which it shares with some other names."""
        with self.lock(lock_number(name)):
            yield

    @contextmanager
    def lock(self, number: int) -> Iterator[None]:
        """Hold the lock of all names with a `lock_number`."""
        with self._mine[number]:  # threads of this process have one descriptor, which does not lock them out
            lock = self._lock_files.get(number)
            if lock is None:
                lock = self._lock_files[number] = open_ours(f"{number:02}", self._locks, os.O_RDWR | os.O_CREAT)
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)

    def used_by(self, owner: str, but: str) -> tuple[int, int]:
        """Return how many unfinished uploads an owner has, without the one with the key `but`, and their bytes."""
        begins = owner_digest(owner)
        found: dict[str, int] = {}  # a directory that grows may list a name more than once
        with os.scandir(self.descriptor) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(begins) and name.endswith(PART_SUFFIX) and not name.startswith(but):
                    with contextlib.suppress(FileNotFoundError):
                        found[name] = entry.stat(follow_symlinks=False).st_size
        return len(found), sum(found.values())

    def free(self) -> int:
        """Return how many bytes the file system has room for."""
        system = os.fstatvfs(self.descriptor)
        return system.f_bavail * system.f_frsize

    def storage(self) -> str:
        """Return the id of this directory, which no copy of it has: a copied file has another inode number or change time.

        All machines see the same of a directory that they share over a network.
        """
        with self.lock(0):  # two servers may ask for the first time at once
            names = sorted(os.listdir(self._storage))  # noqa: PTH208 - names are wanted
            if not names:
                names = [secrets.token_hex(16)]
                write_new(names[0], self._storage, b"")
                sync(self._storage)
            status = os.lstat(names[0], dir_fd=self._storage)
        return hashlib.sha256(f"{names[0]} {status.st_ino} {status.st_ctime_ns}".encode()).hexdigest()[:_KEY_DIGITS]

    # Taking over from another process

    def want(self, key: str) -> None:
        """Ask the process that has an upload to let go of it."""
        os.close(open_ours(key, self.wanted, os.O_RDWR | os.O_CREAT))

    def unwant(self, key: str) -> None:
        """Do not ask any more."""
        with contextlib.suppress(OSError):
            remove(key, self.wanted)

    def all_wanted(self) -> list[str]:
        """Return the keys of the uploads that other processes want."""
        with contextlib.suppress(OSError):
            return os.listdir(self.wanted)  # noqa: PTH208 - names are wanted
        return []

    def _close_locks(self) -> None:
        for number, mine in enumerate(self._mine):
            with mine:
                if (lock := self._lock_files.pop(number, None)) is not None:
                    os.close(lock)

    def close(self) -> None:
        """Close the directories."""
        self._undo.close()


def _directory(name: str, above: int, undo: ExitStack) -> int:
    with contextlib.suppress(FileExistsError):
        make_directory(name, above)
    descriptor = os.open(name, DIRECTORY, dir_fd=above)
    undo.callback(os.close, descriptor)
    return descriptor
