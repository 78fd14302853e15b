"""What the sender of an answer is asked for while it is made: how to wait for the store, and how large blocks are to be."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

T = TypeVar("T")


class TurnGiver(Protocol):
    """Gives turns at work that needs the processor."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait for a turn at CPU-heavy work. The turn lasts for the `with` block and up to the next await after it."""
        ...


class Patience(TurnGiver, Protocol):
    """How the sender of the frames waits for the store."""

    async def patiently(self, awaitable: Awaitable[T]) -> T:
        """Wait for something other than the client. The sender may send heartbeats meanwhile."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether other streams wait for a turn. If so, reading ahead gains nothing."""
        ...


class Sizes(Protocol):
    """The block sizes of one read."""

    def first(self, length: int) -> int:
        """Return the size of the first block of a read of `length` bytes."""
        ...

    def next(self, seconds: float) -> int:
        """Return the size of the next block, after one that took `seconds` to send."""
        ...

    @property
    def at_largest(self) -> bool:
        """Whether the size has reached its largest."""
        ...


class AsWanted:
    """All blocks have the size asked for."""

    at_largest = True

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted

    def first(self, length: int) -> int:  # noqa: ARG002 - see Sizes
        """See `Sizes.first`."""
        return self._wanted

    def next(self, seconds: float) -> int:  # noqa: ARG002 - see Sizes
        """See `Sizes.next`."""
        return self._wanted
