"""The sending side of one stream on the server: one message at a time, paced, with heartbeats, and with an end to its age."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Self, TypeVar

import grpc

from unspool.core.limits import Pace
from unspool.errors import StreamAgeError
from unspool.server.turns import Turns

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client left while a message was on its way to it. Never leaves this room."""


class Outlet:
    """The sending side of one call, with heartbeats while the store keeps it waiting.

    Args:
        write: sends one message, and returns when gRPC has taken it (that is the flow control).
        heartbeat: the message that says "still here"; None for a dialect that has none.
        interval: seconds of waiting after which it is sent.
        paces: what is sent has to keep to.
        age: seconds after which nothing more is sent, but for one message in any case; None for never.
        turns: those of all streams; None for one that is alone.
        peer: on whose behalf it takes turns.
    """

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        heartbeat: bytes | None,
        interval: float,
        paces: Sequence[Pace] = (),
        age: float | None = None,
        *,
        turns: Turns | None = None,
        peer: str = "",
    ) -> None:
        self._turns = turns or Turns()
        self._peer = peer
        self._paces = paces
        self._age = age
        self._begun = asyncio.get_running_loop().time()
        self._sent = False
        self._write = write
        self._heartbeat = heartbeat
        self._interval = interval
        self._waiting = False
        self._one_at_a_time = asyncio.Lock()  # gRPC takes one message of a call at a time
        self._beat: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._tick()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)

    async def send(self, message: bytes, *, may_end: bool = True) -> None:
        """Send a message, when the paces let it through.

        Args:
            message: what is sent.
            may_end: whether the stream may end before it for its age.

        Raises:
            StreamAgeError: the stream has reached its age.
            ClientGoneError: there is nobody left to take it.
        """
        now = asyncio.get_running_loop().time() if self._age is not None or self._paces else 0.0
        if self._age is not None and self._sent and may_end and now - self._begun >= self._age:
            raise StreamAgeError(f"streams end after {self._age:g} s here: go on with another", retry_after=0.0)
        self._sent = True
        if self._paces and (wait := max(pace.take(len(message), now) for pace in self._paces)):
            await self.patiently(asyncio.sleep(wait))
        await self._send(message)

    async def _send(self, message: bytes) -> None:
        async with self._one_at_a_time:
            try:
                await self._write(message)
            except grpc.aio.InternalError as error:
                raise ClientGoneError from error

    async def patiently(self, awaitable: Awaitable[T]) -> T:
        """Wait for something that is not the client, with heartbeats."""
        self._waiting = True
        try:
            return await awaitable
        finally:
            self._waiting = False

    def turn(self) -> AbstractAsyncContextManager[None]:
        """See `Patience.turn`."""
        return self._turns.turn(self._peer)

    @property
    def crowded(self) -> bool:
        """See `Patience.crowded`."""
        return self._turns.crowded

    def _tick(self) -> None:
        if self._waiting and self._heartbeat is not None and (self._beat is None or self._beat.done()):
            self._beat = asyncio.ensure_future(self._send_heartbeat(self._heartbeat))
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._tick)

    async def _send_heartbeat(self, message: bytes) -> None:
        with suppress(ClientGoneError):  # the next real message finds out too
            await self._send(message)
