"""How long a server may be silent in an attempt, or only say that it is alive."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from unspool.errors import StalledError

if TYPE_CHECKING:
    from unspool.client.transfer import Transfer

T = TypeVar("T")


class OnlyAlive:
    """Counts the seconds of one attempt in which a server only says that it is alive.

    Args:
        limit: in seconds; None for no limit.
        about: the beginning of an error's message.
    """

    def __init__(self, limit: float | None, about: Callable[[], str]) -> None:
        self._limit = limit
        self._about = about
        self._seconds = 0.0

    def note(self, seconds: float, *, only_alive: bool) -> None:
        """Note what came after so many seconds of waiting. Raises StalledError if it was nothing else for too long."""
        self._seconds = self._seconds + seconds if only_alive else 0.0
        if self._limit is not None and self._seconds >= self._limit:
            raise StalledError(f"{self._about()}: for {self._limit:g} s the server has only said that it is alive")


def silent_error(about: str, seconds: float) -> StalledError:
    """Return the error of an attempt in which no message came within the idle timeout."""
    return StalledError(f"{about}: the server sent nothing for {seconds:g} s")


class Heartbeats:
    """Waits for the messages of one attempt, and limits how long only heartbeats arrive.

    Args:
        transfer: waits for each message, and has the limit.
        about: the beginning of an error's message.
        is_heartbeat: returns whether a message is a heartbeat.
    """

    def __init__(self, transfer: Transfer, about: Callable[[], str], is_heartbeat: Callable[[Any], bool]) -> None:
        self._transfer = transfer
        self._about = about
        self._is_heartbeat = is_heartbeat
        limit = transfer.options.heartbeat_limit
        self._only_alive = None if limit is None else OnlyAlive(limit, about)

    async def next(self, coming: Coroutine[Any, Any, T]) -> T:
        """Await a message within the idle timeout. Raises StalledError after that, or if only heartbeats arrive too long."""
        if self._only_alive is None:
            return await self._transfer.bounded(coming, self._about)
        clock = self._transfer.seams.clock
        begun = clock.monotonic()
        message = await self._transfer.bounded(coming, self._about)
        # Only the time spent waiting counts. The caller may take any time to process the previous message.
        self._only_alive.note(clock.monotonic() - begun, only_alive=self._is_heartbeat(message))
        return message
