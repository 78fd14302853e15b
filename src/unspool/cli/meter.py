"""How fast bytes arrive, and whether any do.

The time is passed in. Nothing here reads a clock or prints.
"""

from __future__ import annotations

import math
from collections import deque

from unspool.core.value import value

WINDOW = 1.5
"""Seconds that a rate is the average of. After a pause it is right again when these have passed: within two seconds."""

STALL = 3.0
"""Seconds without a new byte after which that is said, at least. Small files of a tree are counted every two seconds
(`GROUP_SECONDS`), so two would be too soon; wget waits for five."""

STALL_MOST = 8.0
"""The same, at most: where bytes come seldom, twice the time between the last two times is waited for. With the default idle
timeout a slow link brings a block every 3.75 s (`core/wish.py`)."""

_OVERDUE = 1.0
"""Seconds that the next bytes may be late before no rate is shown any more."""


@value
class Files:
    """How many files of a tree are done with, how many are listed, and whether the listing is complete."""

    done: int
    listed: int
    listed_all: bool


@value
class Amounts:
    """How far a download or a tree is.

    Attributes:
        completed: bytes that are here.
        kept: of these, the bytes that did not have to be fetched.
        total: bytes there will be; None while that is not known.
        files: of a tree.
        checking: whether what an earlier run left is being read again.
    """

    completed: int = 0
    kept: int = 0
    total: int | None = None
    files: Files | None = None
    checking: bool = False

    @property
    def fetched(self) -> int:
        """How many bytes came over the network."""
        return self.completed - self.kept

    @property
    def all_here(self) -> bool:
        """Whether nothing is left to be fetched."""
        files_done = self.files is None or self.files.done >= self.files.listed
        return self.total is not None and self.completed >= self.total and files_done


class Meter:
    """Turns amounts at times into a rate and a status.

    Args:
        now: seconds, as some clock shows them that never goes back.
    """

    def __init__(self, now: float) -> None:
        self.begin(now, Amounts())

    def begin(self, now: float, amounts: Amounts) -> None:
        """Begin anew: what is here by now says nothing about the rate."""
        self._amounts = amounts
        self._moved = now
        self._gap = 0.0  # seconds between the last two arrivals
        self._arrivals = deque([(now, amounts.fetched)])  # (time, bytes fetched by then), each later and larger than the last
        self._trouble = ""
        self._next_try: float | None = None

    def note(self, now: float, amounts: Amounts) -> None:
        """Take note of how far it is."""
        before, self._amounts = self._amounts, amounts
        if amounts == before:
            return
        if amounts.fetched < before.fetched:  # begun again
            self.begin(now, amounts)
            return
        if amounts.fetched > before.fetched:
            last, had_stalled = self._arrivals[-1][0], self._has_stalled(now)
            if had_stalled:
                self._arrivals.clear()  # a rate is about bytes that arrive, not about the silence before them
            elif last >= now:
                self._arrivals.pop()
            self._gap = now - last
            self._arrivals.append((now, amounts.fetched))
            while len(self._arrivals) > 2 and self._arrivals[1][0] <= now - WINDOW:  # noqa: PLR2004 - a rate needs two
                self._arrivals.popleft()
        self._moved = now
        self._trouble, self._next_try = "", None

    def broke(self, trouble: str, next_try: float) -> None:
        """Take note of an attempt that failed, and of when the next begins. It is forgotten when something arrives."""
        self._trouble, self._next_try = trouble, next_try

    @property
    def amounts(self) -> Amounts:
        """How far it was, last."""
        return self._amounts

    def rate(self, now: float) -> float | None:
        """Return bytes per second; None if too little has arrived to tell, or nothing any more."""
        (first, before), (last, fetched) = self._arrivals[0], self._arrivals[-1]
        # Bytes come in blocks: until as much time has passed as between the last two, the next one is not overdue.
        overdue = max(now - last - self._gap, 0.0)
        if last == first or overdue > _OVERDUE or self.status(now):
            return None
        return (fetched - before) / (last - first + overdue)

    def status(self, now: float) -> tuple[str, ...]:
        """Return what is to be said in place of a rate, in full and then shorter and shorter; () if there is nothing."""
        if self._next_try is not None:
            left = math.ceil(self._next_try - now)
            long, short = (f"trying again in {left} s", f"retry in {left} s") if left > 0 else ("trying again", "retrying")
            return (f"{self._trouble}, {long}", f"{self._trouble}, {short}", short) if self._trouble else (long, short)
        if self._amounts.checking:
            return "checking what is here", "checking"
        if self._amounts.all_here:
            return ("finishing",)
        if self._has_stalled(now):
            seconds = int(now - self._moved)
            return f"stalled for {seconds} s", f"stalled for {seconds} s", f"stalled {seconds} s"
        return ()

    def _has_stalled(self, now: float) -> bool:
        return now - self._moved >= min(max(STALL, 2 * self._gap), STALL_MOST)
