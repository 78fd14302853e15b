"""A clock that never waits."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager


class FakeClock:
    """Time that passes only when somebody sleeps, and then at once.

    A sleep inside a `timeout` that is shorter raises TimeoutError at the moment the timeout is up. `sleep(math.inf)` is a
    stall: only a timeout ends it. Several tasks share the time; a timeout is for the task that it is in, and while another
    one sleeps it does not come.

    Attributes:
        now: seconds since the beginning.
        slept: the sleeps so far, in order, those that a timeout cut short with what was slept of them.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._deadlines: defaultdict[asyncio.Task[object] | None, list[float]] = defaultdict(list)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(0)
        deadline = max(min(self._deadlines.get(asyncio.current_task(), ()), default=math.inf), self.now)
        if math.isinf(seconds) and math.isinf(deadline):
            raise AssertionError("a stall outside of any timeout: the code under test would hang")
        if self.now + seconds >= deadline:
            self.slept.append(deadline - self.now)
            self.now = deadline
            raise TimeoutError
        self.slept.append(seconds)
        self.now += seconds

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """See `Clock.timeout`."""
        return self._timeout(seconds)

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncGenerator[None, None]:
        task = asyncio.current_task()
        mine = self._deadlines[task]
        mine.append(self.now + seconds)
        try:
            yield
        finally:
            mine.pop()
            if not mine:
                del self._deadlines[task]
