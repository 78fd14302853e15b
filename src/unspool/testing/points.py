"""A list of points of the conformance check: each has a short name, a promise, and a function that checks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from unspool.testing.probe import Probe

LARGEST_MESSAGE = 4 << 20
"""Bytes of the largest message that a client accepts by gRPC's defaults."""

Point: TypeAlias = Callable[[Probe], Awaitable[None]]
"""Checks a server. Raises PointFailedError or PointSkippedError (`unspool.testing.probe`)."""


class Points(dict[str, tuple[str, Point]]):
    """Points by their short names: the promise of each, and the function that checks it."""

    def add(self, name: str, promise: str) -> Callable[[Point], Point]:
        """Add the decorated function to the list."""

        def add(check: Point) -> Point:
            self[name] = (promise, check)
            return check

        return add
