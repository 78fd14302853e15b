"""A clock that never waits."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager


class FakeClock:
    """Time that passes only when somebody sleeps, and then at once. For one task at a time.

    A sleep inside a `timeout` that is shorter raises TimeoutError at the moment the timeout is up. `sleep(math.inf)` is a
    stall: only a timeout ends it.

    Attributes:
        now: seconds since the beginning.
        slept: the sleeps so far, in order, those that a timeout cut short with what was slept of them.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._deadlines: list[float] = []

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(0)
        deadline = min(self._deadlines, default=math.inf)
        if self.now + seconds >= deadline:
            self.slept.append(deadline - self.now)
            self.now = deadline
            raise TimeoutError
        if math.isinf(seconds):
            raise AssertionError("a stall outside of any timeout: the code under test would hang")
        self.slept.append(seconds)
        self.now += seconds

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """See `Clock.timeout`."""
        return self._timeout(seconds)

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncGenerator[None, None]:
        self._deadlines.append(self.now + seconds)
        try:
            yield
        finally:
            self._deadlines.pop()
