"""The wait for the request of a call: how long it may last, and how many calls may wait at a time.

A call exists for the server from its headers on, and each holds about 30 KiB. A client whose calls never send their request
costs nothing to itself, so the server does not wait for ever, and not for any number of them.

Rule 1: a call that has not sent its request in time ends.
Rule 2: if too many calls wait, the oldest of the peer with the most waiting calls ends. The request of an honest call arrives
        right behind its headers, so whoever opens calls without requests pushes out its own.
"""

from __future__ import annotations

import asyncio

from unspool.errors import InvalidRequestError, OverloadedError, UnreachableError
from unspool.server.entry import Call

_RETRY = 1.0
"""Seconds after which a client whose call was pushed out should try again."""


class Requests:
    """Receives the requests of calls.

    Args:
        timeout: seconds to wait for a request.
        most: most calls that may wait at the same time.
    """

    def __init__(self, timeout: float, most: int) -> None:
        self._timeout = timeout
        self._most = most
        self._waiting: dict[str, dict[Call, asyncio.Timeout]] = {}  # by peer, the oldest call first
        self._count = 0

    @property
    def waiting(self) -> int:
        """How many calls wait for their request."""
        return self._count

    async def next(self, call: Call) -> bytes | None:
        """Return the next request of a call, or None if the client sends no more.

        Raises:
            UnreachableError: the request did not come in time.
            OverloadedError: too many calls wait.
        """
        self._make_room()
        peer = call.caller.peer
        pushed_out = True
        try:
            async with asyncio.timeout(self._timeout) as limit:
                self._waiting.setdefault(peer, {})[call] = limit
                self._count += 1
                try:
                    request: object = await call.context.read()
                finally:
                    pushed_out = not self._forget(peer, call)
        except TimeoutError:
            if pushed_out:
                said = f"{self._most} calls wait for their request: try again"
                raise OverloadedError(said, retry_after=_RETRY).at("waiting") from None
            raise UnreachableError(f"the request of the call did not come within {self._timeout:g} s") from None
        return request if isinstance(request, bytes) else None  # otherwise it is grpc.aio.EOF

    async def first(self, call: Call) -> bytes:
        """Return the first request of a call. Raises what `next` raises, and InvalidRequestError if there is none."""
        request = await self.next(call)
        if request is None:
            raise InvalidRequestError("the call ended without a request")
        return request

    def _make_room(self) -> None:
        """End the oldest waiting call of the peer that has the most, if there is no room for another."""
        if self._count < self._most:
            return
        peer = max(self._waiting, key=lambda peer: len(self._waiting[peer]))
        call, limit = next(iter(self._waiting[peer].items()))
        self._forget(peer, call)
        limit.reschedule(asyncio.get_running_loop().time())

    def _forget(self, peer: str, call: Call) -> bool:
        """Stop counting a call. Return False if it is not counted any more."""
        calls = self._waiting.get(peer, {})
        if calls.pop(call, None) is None:
            return False
        self._count -= 1
        if not calls:
            del self._waiting[peer]
        return True
