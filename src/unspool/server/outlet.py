"""The sending side of one stream on the server: one message at a time, with rate limits, heartbeats and a maximum age."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Self, TypeVar

import grpc

from unspool.core.limits import Pace
from unspool.errors import StreamAgeError
from unspool.server.rounds import Rounds
from unspool.server.turns import Turns

T = TypeVar("T")


_LAST_BEAT = 1.0
"""Seconds that a heartbeat may take that is under way when the stream ends."""


class ClientGoneError(Exception):
    """The client left while a message was being sent. Raised and caught in `server/` only."""


class Outlet:
    """The sending side of one call. It sends heartbeats while it waits for the store.

    Args:
        write: sends one message. It returns when gRPC has accepted the message, which gives flow control.
        heartbeat: the heartbeat message; None for a dialect that has none.
        interval: seconds between heartbeats.
        paces: the rate limits on what is sent.
        age: seconds after which the stream ends, though not before its first message; None for no limit.
        turns, rounds: shared by all streams; None if there are no others.
        peer: the peer whose turns are taken.
        recheck: awaited before each message that is not a heartbeat; it raises an error if the stream is to end.
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
        rounds: Rounds | None = None,
        peer: str = "",
        recheck: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._recheck = recheck
        self._turns = turns or Turns()
        self._rounds = rounds or Rounds()
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
            # gRPC cannot take back a message, and would let the next one wait for ever. A client that reads has it in no time.
            await asyncio.wait([self._beat], timeout=_LAST_BEAT)
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)

    async def send(self, message: bytes, *, may_end: bool = True) -> None:
        """Send a message, after waiting as long as the rate limits require.

        Args:
            message: the serialised message.
            may_end: whether a stream that has reached its age ends instead of sending the message.

        Raises:
            StreamAgeError: the stream has reached its age.
            AccessError: the caller has lost the right to it.
            ClientGoneError: the client left.
        """
        await self.admit(len(message), may_end=may_end)
        await self._send(message)
        await self._rounds.wait()  # what follows makes the next message

    async def last(self, message: bytes) -> bytes:
        """Return the last message of a stream, when gRPC may be given it. Waits and raises as `send` does."""
        await self.admit(len(message))
        async with self._one_at_a_time:  # a heartbeat may be under way
            return message

    async def admit(self, size: int, *, may_end: bool = True) -> None:
        """Wait as long as the rate limits require for `size` bytes, which are then sent, or were received.

        Raises what `send` raises, but for ClientGoneError.
        """
        now = asyncio.get_running_loop().time() if self._age is not None or self._paces else 0.0
        if self._age is not None and self._sent and may_end and now - self._begun >= self._age:
            raise StreamAgeError(f"this server ends streams after {self._age:g} s: continue with a new one", retry_after=0.0)
        self._sent = True
        if self._paces and (wait := max(pace.take(size, now) for pace in self._paces)):
            await self.patiently(asyncio.sleep(wait))
        if self._recheck is not None:
            await self._recheck()

    async def say(self, message: bytes) -> None:
        """Send a message to which no limit applies. Raises ClientGoneError."""
        await self._send(message)

    async def _send(self, message: bytes) -> None:
        async with self._one_at_a_time:
            try:
                await self._write(message)
            except grpc.aio.InternalError as error:
                raise ClientGoneError from error

    async def patiently(self, awaitable: Awaitable[T]) -> T:
        """Wait for something other than the client, and send heartbeats meanwhile."""
        before, self._waiting = self._waiting, True
        try:
            return await awaitable
        finally:
            self._waiting = before

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
        with suppress(ClientGoneError):  # the next message that is not a heartbeat raises it again
            await self._send(message)
