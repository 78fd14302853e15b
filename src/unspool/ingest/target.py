"""The place of a file below the served root, reached without following a link.

Rule 1: a name is walked part by part from the root's descriptor, and a link on the way is refused, as is one at the name. So
        nothing outside the root is written, and nothing but what the name says.
Rule 2: names that the server would not serve are refused: unspool's own, and hidden ones.
Rule 3: what is at the name is compared and replaced under a lock on the name, which all processes that receive files below this
        root take. Other programs do not take it: only that a name is free is certain whatever they do.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from unspool.core.checksum import crc32c
from unspool.core.model import FileInfo
from unspool.core.uploading import UploadOpen
from unspool.errors import NotAFileError, NotFoundError, PermissionDeniedError, UnspoolError
from unspool.ingest.describing import Describing
from unspool.ingest.newnames import check_new_name
from unspool.local.destination import Destination
from unspool.local.directories import Directories
from unspool.local.entries import READ, status_of, sync, unchanged
from unspool.stores.contents import Content
from unspool.stores.localwalk import open_root

_READ_SIZE = 1 << 20
"""Bytes per read: they fit the processor's cache."""


class Target:
    """The place of one file. Its directory is open, until another one is looked for.

    Attributes:
        name: name of the file.
        directory, base: the open directory, which belongs to `Places`, and the last part of the name.
    """

    def __init__(self, name: str, directory: int, base: str, describing: Describing) -> None:
        self.name = name
        self.directory = directory
        self.base = base
        self._describing = describing

    @property
    def destination(self) -> Destination:
        """The place, as part files know it."""
        return Destination(self.directory, Path(self.name))

    def current(self) -> tuple[FileInfo, int] | None:
        """Return the file that is there and its inode number; None if nothing is there.

        Raises:
            NotAFileError: something else is there.
            PermissionDeniedError: a link is there.
        """
        status = self.status()
        return None if status is None else (self.info(status), status.st_ino)

    def status(self) -> os.stat_result | None:
        """Return the status of the file that is there; None if nothing is there. Raises what `current` raises."""
        status = status_of(self.base, self.directory)
        if status is None or stat.S_ISREG(status.st_mode):
            return status
        if stat.S_ISLNK(status.st_mode):
            said = f"{self.name}: is a symbolic link: nothing is written through one, and none is removed"
            raise PermissionDeniedError(said, name=self.name)
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise NotAFileError(f"{self.name}: is {what}", name=self.name)

    def info(self, status: os.stat_result, checksum: int | None = None) -> FileInfo:
        """Return the description of the file with a status, and with a CRC32C if it is known."""
        return self._describing.info(self.name, self.base, self.directory, status, checksum)

    def written(self, status: os.stat_result, checksum: int, content: Content | None) -> FileInfo:
        """Return the description of the file that was written: with a CRC32C, and with this content if it is known."""
        if content is not None:
            return self._describing.written(self.name, status, content)
        return self.info(status, checksum)

    def keep(self, before: os.stat_result, content: Content) -> None:
        """Keep what the file contains that was written, and had the status `before` when it got its name."""
        self._describing.keep(self.name, self.base, self.directory, before, content)

    def remove(self) -> None:
        """Remove the entry, durably. It must not be a directory. Raises NotFoundError if another program was quicker."""
        try:
            os.unlink(self.base, dir_fd=self.directory)
        except FileNotFoundError:
            raise NotFoundError(f"{self.name}: no such file", name=self.name) from None
        sync(self.directory)

    def has(self, opens: UploadOpen) -> bool:
        """Read the file that is there, and return whether it has the bytes of an upload."""
        descriptor = os.open(self.base, READ, dir_fd=self.directory)
        with closing(os.fdopen(descriptor, "rb", buffering=0)) as file:
            before = os.fstat(descriptor)
            checksum, digest = 0, hashlib.sha256()
            buffer = memoryview(bytearray(_READ_SIZE))
            while count := file.readinto(buffer):
                checksum = crc32c(buffer[:count], checksum)
                if opens.sha256 is not None:
                    digest.update(buffer[:count])
            if not unchanged(before, os.fstat(descriptor)) or before.st_size != opens.size:
                return False
            return checksum == opens.crc32c and opens.sha256 in (None, digest.digest())


class Places:
    """The places of some files. Their directories stay open, so it is used for a short time only."""

    def __init__(self, directories: Directories, describing: Describing) -> None:
        self._directories = directories
        self._describing = describing
        self._named: set[str] = set()

    def find(self, name: str, *, make: bool = False) -> Target | None:
        """Find the place of a file. None if its directory does not exist and is not to be made."""
        directory, _, base = name.rpartition("/")
        descriptor = self._directories.find(directory, make=make)
        if descriptor is None:
            return None
        if make:
            self._named.add(directory)
        return Target(name, descriptor, base, self._describing)

    def made(self, name: str) -> Target:
        """Find the place of a file, and make its directory if it does not exist."""
        target = self.find(name, make=True)
        assert target is not None
        return target

    @property
    def grown(self) -> set[str]:
        """The directories that got new entries: those of files that were `made`, and those on the way that were made."""
        return self._directories.grown | self._named

    def sync_way(self, name: str) -> None:
        """Make the entry of a file durable, and those of the directories on the way to it."""
        parts = name.split("/")[:-1]
        for depth in range(len(parts) + 1):
            descriptor = self._directories.find("/".join(parts[:depth]))
            if descriptor is not None:
                sync(descriptor)

    def sync(self) -> None:
        """Make the entries of all directories that got some durable."""
        for directory in sorted(self.grown):  # each one after the one above it, which is open then
            descriptor = self._directories.find(directory)
            if descriptor is not None:
                sync(descriptor)


class Targets:
    """The places below a root.

    Args:
        root: the directory. It is opened at once.
        hidden: whether hidden names may be written.
        describing: describes files as the store does.

    Attributes:
        descriptor: the open root.
        by_content: whether revisions are made of what files contain.

    Raises:
        NotFoundError, PermissionDeniedError: the root cannot be opened as a directory.
    """

    def __init__(self, root: str, *, hidden: bool, describing: Describing) -> None:
        self._hidden = hidden
        self._describing = describing
        self.by_content = describing.by_content
        self.descriptor = open_root(root)

    def check(self, name: str) -> tuple[str, ...]:
        """Check a name and return its parts. Raises InvalidNameError."""
        return check_new_name(name, hidden=self._hidden)

    @contextmanager
    def places(self) -> Iterator[Places]:
        """Look for places of files, below the root as it is now."""
        directories = Directories(self.descriptor, Path())
        try:
            yield Places(directories, self._describing)
        finally:
            directories.close()

    @contextmanager
    def at(self, name: str) -> Iterator[Target | None]:
        """Find the place of a file. Yields None if its directory does not exist."""
        with self.places() as places:
            yield places.find(name)

    def final(self, name: str) -> FinalName:
        """Return the name that an upload is to get."""
        return FinalName(self, name)

    def close(self) -> None:
        """Close the root."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class FinalName:
    """The name that an upload is to get. It is looked for anew with each call.

    Args:
        targets: the places below the root.
        name: the name.
    """

    def __init__(self, targets: Targets, name: str) -> None:
        self._targets = targets
        self._name = name

    def leads_to(self, file: os.stat_result) -> bool:
        """Whether the file with a status has the name."""
        try:
            with self._targets.at(self._name) as target:
                status = None if target is None else target.status()
        except (UnspoolError, OSError):
            return False
        return status is not None and os.path.samestat(status, file)

    def sync(self) -> None:
        """Make the name durable, as far as it is there."""
        with self._targets.places() as places:
            places.sync_way(self._name)
