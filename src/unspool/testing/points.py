"""A list of points of the conformance check: each has a short name, a promise, and a function that checks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from unspool.testing.probe import Probe

LARGEST_MESSAGE = 4 << 20
"""Bytes of the largest message that a client accepts by gRPC's defaults."""

P = TypeVar("P", bound=Probe)


class Points(dict[str, tuple[str, Callable[[P], Awaitable[None]]]], Generic[P]):
    """Points by their short names: the promise of each, and the function that checks it.

    The function raises PointFailedError or PointSkippedError (`unspool.testing.probe`).
    """

    def add(self, name: str, promise: str) -> Callable[[Callable[[P], Awaitable[None]]], Callable[[P], Awaitable[None]]]:
        """Add the decorated function to the list."""

        def add(check: Callable[[P], Awaitable[None]]) -> Callable[[P], Awaitable[None]]:
            self[name] = (promise, check)
            return check

        return add
