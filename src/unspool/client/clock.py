"""Time, as a seam: what waits for the clock does it through this, so that tests need not wait."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Protocol


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
