"""A local file that is to be compared with the server's: its size, and its checksum."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unspool.core.checksum import crc32c
from unspool.errors import LocalFileError

_PIECE = 8 << 20
"""Bytes read at a time: long enough to hide the thread's cost, short enough that a cancel is obeyed at once."""


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """Where a local file is. Plain blocking calls; they raise LocalFileError if it cannot be read.

    Attributes:
        path: for messages.
        name: what is opened: a name in the directory, or a path where that is None.
        directory: a descriptor, which stays the caller's.
    """

    path: Path
    name: str | Path
    directory: int | None = None

    def is_file(self) -> bool:
        """Whether there is a regular file."""
        try:
            return stat.S_ISREG(os.stat(self.name, dir_fd=self.directory).st_mode)
        except OSError:
            return False

    def size(self) -> int:
        """Return how many bytes it has."""
        with self._readable():
            status = os.stat(self.name, dir_fd=self.directory)
        if stat.S_ISDIR(status.st_mode):
            raise LocalFileError(f"{self.path}: is a directory; name the file")
        return status.st_size

    def checksum(self, enough: threading.Event) -> int:
        """Return the CRC32C of the whole; of as much as was read, once `enough` is set."""
        checksum = 0
        with self._readable():
            descriptor = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.directory)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                while not enough.is_set() and (piece := file.read(_PIECE)):
                    checksum = crc32c(piece, checksum)
        return checksum

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            refused = LocalFileError(f"{self.path}: cannot be read: {error.strerror}")
            refused.errno = error.errno
            raise refused from error
