"""Says what has not been said yet, so that a log is not filled with what is repeated."""

from __future__ import annotations

import threading


class FirstTimes:
    """Remembers keys, a limited number of them. May be used from several threads.

    Args:
        most: how many keys are remembered. Once they are, every new key counts as known.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def add(self, key: str) -> bool:
        """Return whether the key is new, and remember it."""
        with self._lock:
            if key in self._known or len(self._known) >= self._most:
                return False
            self._known.add(key)
            return True
