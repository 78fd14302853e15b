"""A clock that never waits."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager


class FakeTimer:
    """A call that is to come at a time.

    Args:
        when: on the clock.
        callback: what is called.
    """

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """See `Timer.cancel`."""
        self.callback = None


class FakeClock:
    """Time that passes only when somebody sleeps, and then at once; what is to be called meanwhile is called in passing.

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
        self._timers: list[FakeTimer] = []
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
            self._pass(deadline)
            raise TimeoutError
        self.slept.append(seconds)
        self._pass(self.now + seconds)

    def _pass(self, until: float) -> None:
        self.now = until
        due = sorted([timer for timer in self._timers if timer.when <= until], key=lambda timer: timer.when)
        self._timers = [timer for timer in self._timers if timer.when > until]
        for timer in due:
            if timer.callback is not None:
                timer.callback()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> FakeTimer:
        """See `Clock.call_later`."""
        timer = FakeTimer(self.now + seconds, callback)
        self._timers.append(timer)
        return timer

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
