"""Rounds of the event loop: how many messages are made in one.

A call that comes takes gRPC in Python five or six rounds until its handler runs, and a few more until it is answered. If each
of a hundred streams makes its next message in every round, a round takes a tenth of a second, and a new call half a second.

Rule: in one round at most `MOST` messages are made. More wait for the next one, in the order in which they came.
"""

from __future__ import annotations

import asyncio
from collections import deque

MOST = 4
"""Messages in one round. Reading, summing and sending 1 MiB takes about 0.5 ms, so a round takes 2 ms. (Decision 0093 has the
measurements.)"""


class Rounds:
    """Counts the messages of all streams of a server."""

    def __init__(self) -> None:
        self._left = MOST
        self._begun = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait until another message may be made."""
        loop = asyncio.get_running_loop()
        if not self._begun:
            self._begun = True
            loop.call_soon(self._next)
        if self._left and not self._waiting:
            self._left -= 1
            return
        mine = loop.create_future()
        self._waiting.append(mine)
        await mine

    def _next(self) -> None:
        """Begin the next round."""
        self._left, self._begun = MOST, False
        while self._waiting and self._left:
            first = self._waiting.popleft()
            if not first.done():  # else its stream has ended
                first.set_result(None)
                self._left -= 1
        if self._waiting:
            self._begun = True
            asyncio.get_running_loop().call_soon(self._next)
