"""The calls that this process is answering, for those who watch the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic

from unspool.core.abridged import abridged
from unspool.core.running import Movement, Running, RunningCall
from unspool.server.entry import Call
from unspool.server.report import CallEnd

INTERVAL = 1.0
"""Seconds between two looks at the running calls, while there are any."""

_RECEIVING = frozenset(("WriteFile", "WriteFiles"))


def moves_bytes(call: Call) -> bool:
    """Whether a call is to send bytes of files, or to receive some. A listing is not."""
    return call.streams and call.method != "ListFiles"


def receives_bytes(call: Call) -> bool:
    """Whether a call receives bytes of files instead of sending them."""
    return call.method in _RECEIVING


class RunningCalls:
    """Follows the calls of a server, as an observer of it (`CallWatcher`).

    Args:
        omitted: methods that are not followed.
        worker: the number of this process, if there are several.
        clock: in seconds.
    """

    def __init__(
        self, *, omitted: frozenset[str] = frozenset(), worker: int = 1, clock: Callable[[], float] = monotonic
    ) -> None:
        self._omitted = omitted
        self._worker = worker
        self._clock = clock
        self._calls: dict[int, _Followed] = {}
        self._begun = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, call: Call) -> Callable[[CallEnd], None]:
        """See `CallWatcher.begin`."""
        if call.method in self._omitted:
            return lambda _: None
        self._begun += 1
        self._calls[self._begun] = _Followed(call, self._clock())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)
        return partial(self._end, self._begun)

    def _end(self, number: int, _: CallEnd) -> None:
        del self._calls[number]

    def _tick(self) -> None:
        self._timer = None
        now = self._clock()
        for one in self._calls.values():
            one.movement.look(now, one.call.bytes)
        if self._calls:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)

    def now(self) -> Running:
        """Return the calls that are running now, in this process."""
        now = self._clock()
        return Running(tuple([one.shown(f"{self._worker}-{number}", now) for number, one in self._calls.items()]))

    async def everywhere(self) -> Running:
        """Return `now()`, for a server of one process."""
        return self.now()


class _Followed:
    """A call that is running, and how its bytes move."""

    __slots__ = ("began", "call", "movement")

    def __init__(self, call: Call, now: float) -> None:
        self.call = call
        self.began = now
        self.movement = Movement(now, stalls=moves_bytes(call))

    def shown(self, number: str, now: float) -> RunningCall:
        call, asked, seconds = self.call, self.call.asked, now - self.began
        _, span = call.served.get(0, ("", call.coming)) if not asked.batch else ("", None)
        return RunningCall(
            number,
            call.method,
            abridged(asked.names[0]) if asked.names else "",
            len(asked.names) if asked.batch else 0,
            len(call.sent),
            abridged(call.caller.principal.name) if call.caller.principal is not None else "",
            call.caller.address,
            abridged(asked.transfer_id),
            asked.attempt,
            seconds,
            asked.start if span is None else span[0],
            None if span is None else span[1] - span[0],
            call.bytes,
            # Nothing was looked at in the first second.
            self.movement.rate if seconds > INTERVAL else call.bytes / seconds if seconds else 0.0,
            self.movement.stalled,
        )
