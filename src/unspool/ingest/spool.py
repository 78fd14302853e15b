"""A file of the server's own that holds the bytes of a part until the object store has them.

Rule 1: it has no name, so it is gone with its process. What is to survive is in the object store.
Rule 2: what it has of a part begins at the part's start and has no hole.

All calls block.
"""

from __future__ import annotations

import os
import tempfile

from unspool.core.checksum import combine, crc32c
from unspool.core.model import Bytes

_RUN = 1 << 20
"""Bytes that are read at once. Each is sent with a time-out of its own."""


class Spool:
    """The beginning of a part. Make it, and call its methods, in a worker thread.

    Attributes:
        length: bytes that it has.
        crc32c: of these.
        kept: how many of them the object store has, too.
    """

    def __init__(self) -> None:
        self.length = 0
        self.crc32c = 0
        self.kept = 0
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `close`

    def write(self, data: Bytes, checksum: int) -> None:
        """Append bytes, which have this CRC32C."""
        view, at = memoryview(data), self.length
        while view:
            count = os.pwrite(self._file.fileno(), view, at)
            view, at = view[count:], at + count
        self.crc32c = combine(self.crc32c, checksum, at - self.length)
        self.length = at

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`."""
        return os.pread(self._file.fileno(), stop - start, start)

    def checksum(self, start: int, stop: int, found: int = 0) -> int:
        """Return the CRC32C of the bytes from `start` to `stop`, as they can be read, after others with the CRC32C `found`."""
        for at in range(start, stop, _RUN):
            found = crc32c(self.read(at, min(at + _RUN, stop)), found)
        return found

    def body(self) -> Body:
        """Return what is there, as a file to read."""
        return Body(self)

    def close(self) -> None:
        """Let the bytes go."""
        self._file.close()


class Body:
    """What a spool has, as a file that HTTP clients read, again from its start if they have to send it again.

    Args:
        spool: has the bytes. Nothing may be appended meanwhile.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._at = 0

    def __len__(self) -> int:
        return self._spool.length

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, and none at the end. Clients ask for 16 KiB, and get more: so it takes fewer calls."""
        data = self._spool.read(self._at, min(self._at + _RUN, self._spool.length)) if size else b""
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as `io.IOBase.seek` does."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._spool.length}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at
