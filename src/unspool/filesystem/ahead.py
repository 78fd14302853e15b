"""Reading ahead for a reader that goes on where it was.

Rule 1: a read somewhere else fetches exactly its bytes. So a reader that picks columns out of a Parquet file fetches no others.
Rule 2: a read that goes on where the last one was fetches more than it needs: as much as was read in sequence so far, and at
        most `most`. So reading lines takes few requests, and no more than half of what was fetched is ever in vain.
"""

from __future__ import annotations

from collections.abc import Callable


class Ahead:
    """Fetches the bytes for the reads of one open file, and keeps those of the last fetch.

    Args:
        fetch: returns the bytes from a start up to, not including, a stop.
        size: bytes of the file.
        most: most bytes to read ahead. A read of as many bytes is never extended.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, most: int) -> None:
        self._fetch = fetch
        self._size = size
        self._most = most
        self._start = 0
        self._data = b""
        self._window = 0

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to, not including, `stop`."""
        end = self._start + len(self._data)
        goes_on = bool(self._data) and self._start <= start <= end
        if goes_on and stop <= end:
            return self._data[start - self._start : stop - self._start]
        kept = self._data[start - self._start :] if goes_on else b""
        wanted = stop - start
        self._window = min(max(2 * self._window, wanted), self._most) if goes_on else 0
        extra = self._window if wanted < self._most else 0
        self._data = kept + self._fetch(start + len(kept), min(stop + extra, self._size))
        self._start = start
        return self._data[:wanted]
