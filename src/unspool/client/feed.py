"""Bytes on their way from what writes a file to what uploads it."""

from __future__ import annotations

import threading

from unspool.errors import LocalFileError

_POLL = 0.1
"""Seconds that a read of the upload waits before it looks whether the upload was given up, as for a pipe."""


class Feed:
    """Bytes on their way from the thread that writes a file to the one that uploads it. One part waits at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._part = memoryview(b"")
        self._finished = False
        self._closed = False
        self._aborted = False

    def put(self, data: bytes) -> bool:
        """Wait for room, and add bytes. Return False if nobody reads them any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._part or self._closed)
            self._part = memoryview(data)
            self._changed.notify_all()
            return not self._closed

    def finish(self) -> None:
        """Nothing follows."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing is read any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Have the next read fail: the file is not to be written."""
        with self._changed:
            self._aborted = self._closed = True
            self._changed.notify_all()

    def read(self, size: int, /) -> bytes | None:
        """Return at most `size` bytes; None if there are none yet; none at the end. As a raw file that does not block."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._part) or self._finished or self._aborted, _POLL):
                return None
            if self._aborted:
                raise LocalFileError("the program that wrote the file gave it up")
            part, self._part = self._part[:size], self._part[size:]
            if not self._part:
                self._changed.notify_all()
            return bytes(part)
