"""A fair queue: which of many waiting streams is next, as pure bookkeeping."""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Queue(Generic[T]):
    """Items that wait for a turn. Peers take turns, and each peer's items are served first in, first out.

    So while a peer has an item in the queue, any other peer gets at most one turn before that peer's next.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()  # the peer whose turn is next is the first

    def __bool__(self) -> bool:
        """Whether any item is waiting."""
        return bool(self._waiting)

    def add(self, peer: str, one: T) -> None:
        """Add an item of a peer."""
        self._waiting.setdefault(peer, deque()).append(one)

    def remove(self, peer: str, one: T) -> None:
        """Remove an item that no longer waits. Does nothing if it is not in the queue."""
        waiting = self._waiting.get(peer)
        if waiting is not None:
            with suppress(ValueError):
                waiting.remove(one)
            if not waiting:
                del self._waiting[peer]

    def next(self) -> T:
        """Remove and return the next item. The queue must not be empty."""
        peer, waiting = self._waiting.popitem(last=False)
        one = waiting.popleft()
        if waiting:
            self._waiting[peer] = waiting  # after all other peers
        return one
