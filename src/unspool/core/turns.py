"""Whose turn it is among many who wait, as pure bookkeeping."""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Queue(Generic[T]):
    """Those who wait for a turn. Peers come in turns, and of each peer those who have waited longest.

    So while somebody of a peer waits, any other peer has at most one turn before that peer's next.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()  # the peer whose turn is next is the first

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def add(self, peer: str, one: T) -> None:
        """Have one more wait, on behalf of a peer."""
        self._waiting.setdefault(peer, deque()).append(one)

    def remove(self, peer: str, one: T) -> None:
        """Take out one who does not want to wait any more, if he is there."""
        waiting = self._waiting.get(peer)
        if waiting is not None:
            with suppress(ValueError):
                waiting.remove(one)
            if not waiting:
                del self._waiting[peer]

    def next(self) -> T:
        """Take out the one whose turn it is; somebody has to wait."""
        peer, waiting = self._waiting.popitem(last=False)
        one = waiting.popleft()
        if waiting:
            self._waiting[peer] = waiting  # behind all others
        return one
