"""Time, as a seam: what waits for the clock does it through this, so that tests need not wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Have it not come. Of no consequence once it has."""
        ...


class Clock(Protocol):
    """Time, in seconds."""

    def monotonic(self) -> float:
        """Return a time that only grows."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Bound what is awaited inside; raises TimeoutError when the time is up (as asyncio.timeout)."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Have something called on the event loop after a time, unless it is cancelled before (as loop.call_later)."""
        ...


class SystemClock:
    """The real one."""

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """See `Clock.timeout`."""
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """See `Clock.call_later`."""
        return asyncio.get_running_loop().call_later(seconds, callback)
