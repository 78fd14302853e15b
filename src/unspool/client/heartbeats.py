"""Limits how long a server may send only heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from unspool.errors import StalledError

if TYPE_CHECKING:
    from unspool.client.transfer import Transfer

T = TypeVar("T")


class Heartbeats:
    """Counts the seconds of one attempt in which only heartbeats arrive.

    Args:
        transfer: waits for each message, and has the limit.
        about: the beginning of an error's message.
        is_heartbeat: returns whether a message is a heartbeat.
    """

    def __init__(self, transfer: Transfer, about: Callable[[], str], is_heartbeat: Callable[[Any], bool]) -> None:
        self._transfer = transfer
        self._about = about
        self._is_heartbeat = is_heartbeat
        self._limit = transfer.options.heartbeat_limit
        self._seconds = 0.0

    async def next(self, coming: Coroutine[Any, Any, T]) -> T:
        """Await a message within the idle timeout. Raises StalledError after that, or if only heartbeats arrive too long."""
        if self._limit is None:
            return await self._transfer.bounded(coming, self._about)
        clock = self._transfer.seams.clock
        begun = clock.monotonic()
        message = await self._transfer.bounded(coming, self._about)
        # Only the time spent waiting counts. The caller may take any time to process the previous message.
        self._seconds = self._seconds + clock.monotonic() - begun if self._is_heartbeat(message) else 0.0
        if self._seconds >= self._limit:
            raise StalledError(f"{self._about()}: for {self._limit:g} s the server has only said that it is alive")
        return message
