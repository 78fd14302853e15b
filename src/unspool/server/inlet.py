"""The receiving side of one two-way stream on the server: one message at a time, and what still comes after the last answer.

gRPC cannot take back a read: one that is cancelled stays under way, and the next one ends at once as if the client had ended
its side. So each read is a task of its own, and one that is interrupted is what the next call waits for.

Rule: while a message is processed, the next one is received, and no further one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import grpc

from unspool.errors import UnreachableError


class Inlet:
    """The receiving side of one call.

    Args:
        context: gRPC's context of the call.
    """

    def __init__(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._context = context
        self._reading: asyncio.Task[object] | None = None
        self._waiting: asyncio.Future[bool] | None = None  # whether it was interrupted

    async def next(self, idle: float) -> bytes | None:
        """Return the client's next message; None if it has ended its side.

        Raises:
            UnreachableError: nothing came for `idle` seconds, or `interrupt` was called.
        """
        reading = self._under_way()
        if not reading.done():
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(idle, self.interrupt)
            try:
                interrupted = await self._waiting
            finally:
                timer.cancel()
                self._waiting = None
            if interrupted:
                raise UnreachableError(f"nothing came from the client for {idle:g} s")
        return self._take(reading)

    def interrupt(self) -> None:
        """End the wait for the next message."""
        self._wake(interrupted=True)

    def _wake(self, *, interrupted: bool) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(interrupted)

    async def rest(self) -> AsyncGenerator[bytes, None]:
        """Yield what still comes, until the client has ended its side."""
        while True:
            reading = self._under_way()
            await asyncio.wait([reading])
            message = self._take(reading)
            if message is None:
                return
            yield message

    def _under_way(self) -> asyncio.Task[object]:
        """Return the read that is under way, or whose message was not taken yet."""
        if self._reading is None:
            self._begin()
        assert self._reading is not None
        return self._reading

    def _begin(self) -> None:
        self._reading = asyncio.create_task(self._receive())
        self._reading.add_done_callback(self._look)

    def _look(self, reading: asyncio.Task[object]) -> None:
        # If the call ends before the read, nobody waits for it any more, and asyncio would log how it failed.
        if not reading.cancelled():
            reading.exception()
        if reading is self._reading:  # else it was taken before this was called
            self._wake(interrupted=False)

    def _take(self, reading: asyncio.Task[object]) -> bytes | None:
        """Return what was read. Begin to read what follows."""
        message = reading.result()
        if not isinstance(message, bytes):
            return None
        self._begin()
        return message

    async def _receive(self) -> object:
        return await self._context.read()
