"""The receiving side of one two-way stream on the server: one message at a time, and what still comes after the last answer.

gRPC cannot take back a read: one that is cancelled stays under way, and the next one ends at once as if the client had ended
its side. So a read that is interrupted goes on here, and is what the next call waits for.
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
        self._limit: asyncio.Timeout | None = None

    async def next(self, idle: float) -> bytes | None:
        """Return the client's next message; None if it has ended its side.

        Raises:
            UnreachableError: nothing came for `idle` seconds, or `interrupt` was called.
        """
        try:
            async with asyncio.timeout(idle) as self._limit:
                return await self._read()
        except TimeoutError:
            raise UnreachableError(f"nothing came from the client for {idle:g} s") from None
        finally:
            self._limit = None

    def interrupt(self) -> None:
        """End the wait for the next message."""
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def rest(self) -> AsyncGenerator[bytes, None]:
        """Yield what still comes, until the client has ended its side."""
        while (message := await self._read()) is not None:
            yield message

    async def _read(self) -> bytes | None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._receive())
            # If the call ends before the read, nobody waits for it any more, and asyncio would log how it failed.
            self._reading.add_done_callback(lambda read: read.cancelled() or read.exception())
        message = await asyncio.shield(self._reading)
        self._reading = None
        return message if isinstance(message, bytes) else None

    async def _receive(self) -> object:
        return await self._context.read()
