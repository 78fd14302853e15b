"""A two-way stream of a `Connection`."""

from __future__ import annotations

import asyncio
from typing import Protocol

import grpc


class Scope(Protocol):
    """The call that a stream belongs to. `answered` is whether a message has arrived."""

    answered: bool


class TwoWayStream:
    """A two-way stream. Sending and receiving may go on at the same time, each in one task.

    An error of gRPC is raised by `Connection.two_way` when the block is left with it.
    """

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes], scope: Scope) -> None:
        self._call = call
        self._scope = scope
        self._coming: asyncio.Future[object] | None = None

    async def send(self, message: bytes) -> bool:
        """Send a message. It returns when gRPC has accepted the message, which gives flow control.

        False: the other side has ended the stream, and `receive` says how.
        """
        try:
            await self._call.write(message)
        except asyncio.InvalidStateError:
            return False
        return True

    async def finish(self) -> None:
        """Say that nothing more is sent."""
        await self._call.done_writing()

    async def receive(self) -> bytes | None:
        """Return the next message, or None at the end of a stream that ended with OK.

        If the caller is cancelled, the next call returns that message: gRPC would cancel the whole stream with its read.
        """
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._call.read())
            self._coming.add_done_callback(_look_at)
        message = await asyncio.shield(self._coming)
        self._coming = None
        if isinstance(message, bytes):
            self._scope.answered = True
            return message
        return None


def _look_at(coming: asyncio.Future[object]) -> None:
    """Look at the error of a read that nobody waits for any more, so that asyncio does not log it."""
    if not coming.cancelled():
        coming.exception()
