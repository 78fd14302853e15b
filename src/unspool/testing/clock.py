"""A clock that never waits."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager


class FakeTimer:
    """A scheduled call.

    Args:
        when: the time on the clock.
        callback: the function to call.
    """

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """See `Timer.cancel`."""
        self.callback = None


class FakeClock:
    """Time that passes only when a task sleeps, and then at once. Calls that are due during a sleep are made on the way.

    A sleep that is longer than the `timeout` around it raises TimeoutError when the timeout is over. `sleep(math.inf)` is a
    stall: only a timeout ends it. All tasks share the time. A timeout applies to its own task, and does not expire while
    another task sleeps.

    Attributes:
        now: seconds since the beginning.
        slept: the sleeps so far, in order. A sleep that a timeout ended counts with the time until then.
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
