"""The list of what a server is checked for: each point has a short name, the promise, and the function that looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from unspool.testing.probe import Probe

LARGEST_MESSAGE = 4 << 20
"""Bytes of the largest message that a client takes by gRPC's defaults."""

Point: TypeAlias = Callable[[Probe], Awaitable[None]]
"""Looks at a server. Raises PointFailedError or PointSkippedError (`unspool.testing.probe`)."""


class Points(dict[str, tuple[str, Point]]):
    """Points by their short names: the promise, and the function that checks it."""

    def add(self, name: str, promise: str) -> Callable[[Point], Point]:
        """Put the function that is decorated on the list."""

        def add(check: Point) -> Point:
            self[name] = (promise, check)
            return check

        return add
