"""A local file that is compared with the server's: its size and its checksum."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unspool.core.checksum import crc32c
from unspool.core.value import value
from unspool.errors import LocalFileError
from unspool.local.oserrors import unreadable

_READ_SIZE = 8 << 20
"""Bytes per read: large enough that the overhead of a read does not matter, small enough that a cancel takes effect at once."""


@value
class LocalCopy:
    """A local file. Its methods block, and raise LocalFileError if the file cannot be read.

    Attributes:
        path: the path, for messages.
        name: the name to open in `directory`, or a path if that is None.
        directory: descriptor of the directory. The caller keeps it open and closes it.
    """

    path: Path
    name: str | Path
    directory: int | None = None

    def is_file(self) -> bool:
        """Whether it is a regular file."""
        try:
            return stat.S_ISREG(os.stat(self.name, dir_fd=self.directory).st_mode)
        except OSError:
            return False

    def size(self) -> int:
        """Return its size in bytes."""
        with self._readable():
            status = os.stat(self.name, dir_fd=self.directory)
        if stat.S_ISDIR(status.st_mode):
            raise LocalFileError(f"{self.path}: is a directory; name the file")
        return status.st_size

    def checksums(self, enough: threading.Event, *, sha256: bool = False) -> tuple[int, bytes]:
        """Return the CRC32C of the file, and its SHA-256 if wanted. If `enough` is set, they are of the bytes read so far."""
        import hashlib  # noqa: PLC0415 - most downloads find no local file

        checksum = 0
        digest = hashlib.sha256(usedforsecurity=False)
        with self._readable():
            descriptor = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.directory)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                while not enough.is_set() and (data := file.read(_READ_SIZE)):
                    checksum = crc32c(data, checksum)
                    if sha256:
                        digest.update(data)
        return checksum, digest.digest() if sha256 else b""

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unreadable(self.path, error) from error
