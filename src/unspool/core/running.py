"""The calls that a server is answering: how fast each one is, whether it stalls, and what several processes answer together."""

from __future__ import annotations

from collections.abc import Iterable

from unspool.core.value import value

STALLED = 10.0
"""Seconds without a byte of its file after which a call counts as stalled: the interval of heartbeats. Clients wait 30."""

MOST_CALLS = 1000
"""Calls in one answer, so that it fits into a message of gRPC's default limit: each takes at most 3 KiB."""

_NEWEST = 0.5
"""How much the newest look counts in a rate. With a look each second, nine tenths of a rate are of the last three."""


@value
class RunningCall:
    """One call that is running. `proto/unspool/v1/admin.proto` has the meaning of each field; times are in seconds."""

    id: str
    method: str
    name: str = ""
    files: int = 0
    files_begun: int = 0
    principal: str = ""
    peer: str = ""
    transfer_id: str = ""
    attempt: int = 0
    seconds: float = 0.0
    start: int = 0
    length: int | None = None
    sent: int = 0
    rate: float = 0.0
    stalled: bool = False


@value
class Running:
    """The calls that are running at one moment.

    Attributes:
        calls: those that have run longest first.
        left_out: how many are not in `calls`.
        workers: processes of the server.
        silent: how many of these did not answer.
    """

    calls: tuple[RunningCall, ...] = ()
    left_out: int = 0
    workers: int = 1
    silent: int = 0

    def limited(self) -> Running:
        """Return the same with at most MOST_CALLS calls."""
        more = max(len(self.calls) - MOST_CALLS, 0)
        return Running(self.calls[:MOST_CALLS], self.left_out + more, self.workers, self.silent)


def merge_running(parts: Iterable[Running | None]) -> Running:
    """Return what all processes of a server say together. None is one that did not answer."""
    every = list(parts)
    said = [part for part in every if part is not None]
    calls = sorted((call for part in said for call in part.calls), key=lambda call: -call.seconds)
    return Running(tuple(calls), sum(part.left_out for part in said), len(every), len(every) - len(said))


class Movement:
    """How the bytes of one call move. It is looked at about once a second.

    Attributes:
        sent: bytes that were sent at the last look.
        rate: bytes per second, mostly of the last looks.
        stalled: whether nothing moved for STALLED seconds.

    Args:
        now: when the call began, in seconds.
        stalls: whether the call is to send bytes, so that it can stall.
    """

    __slots__ = ("_looked", "_moved", "_stalls", "rate", "sent", "stalled")

    def __init__(self, now: float, *, stalls: bool) -> None:
        self._looked = self._moved = now
        self._stalls = stalls
        self.sent = 0
        self.rate = 0.0
        self.stalled = False

    def look(self, now: float, sent: int) -> bool:
        """Note how many bytes were sent until now; return whether the call has begun to stall since the last look."""
        was = self.stalled
        if now > self._looked:
            rate = (sent - self.sent) / (now - self._looked)
            # Before the first look it is the only one.
            self.rate = rate if not self.rate else self.rate + _NEWEST * (rate - self.rate)
            self._looked = now
        if sent != self.sent:
            self.sent, self._moved = sent, now
        self.stalled = self._stalls and now - self._moved >= STALLED
        return self.stalled and not was
