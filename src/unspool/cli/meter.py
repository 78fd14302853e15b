"""Computes the rate of a download, and detects stalls.

The time is passed in. This module reads no clock and prints nothing.
"""

from __future__ import annotations

import math
from collections import deque

from unspool.core.value import value

WINDOW = 1.5
"""Seconds over which the rate is averaged. After a pause the rate is correct again after this time: within two seconds."""

STALL = 3.0
"""Least seconds without a new byte that count as a stall. Small files of a tree are counted every two seconds
(`GROUP_SECONDS`), so two would be too few; wget waits for five."""

STALL_MOST = 8.0
"""Most seconds without a new byte before a stall is reported. If blocks arrive rarely, a stall is twice the time between the
last two. With the default idle timeout, a slow link brings a block every 3.75 s (`core/blocksizing.py`)."""

_OVERDUE = 1.0
"""Seconds that the next bytes may be late before the rate is hidden."""


@value
class Files:
    """Files of a tree: how many are done or have failed, how many are listed, and whether the listing is complete."""

    done: int
    listed: int
    listed_all: bool


@value
class Amounts:
    """The progress of a download or a tree.

    Attributes:
        completed: bytes that are here.
        kept: bytes of `completed` that were not fetched.
        total: bytes in total; None until it is known.
        files: the files of a tree; None for a single file.
        checking: whether an earlier run's part file is being read again.
    """

    completed: int = 0
    kept: int = 0
    total: int | None = None
    files: Files | None = None
    checking: bool = False

    @property
    def fetched(self) -> int:
        """Bytes received over the network."""
        return self.completed - self.kept

    @property
    def all_here(self) -> bool:
        """Whether everything has been fetched."""
        files_done = self.files is None or self.files.done >= self.files.listed
        return self.total is not None and self.completed >= self.total and files_done


class Meter:
    """Computes a rate and a status from amounts at points in time.

    Args:
        now: seconds of a monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self.begin(now, Amounts())

    def begin(self, now: float, amounts: Amounts) -> None:
        """Restart the rate at these amounts: the bytes so far do not count towards it."""
        self._amounts = amounts
        self._moved = now
        self._gap = 0.0  # seconds between the last two arrivals
        self._arrivals = deque([(now, amounts.fetched)])  # (time, bytes fetched by then), each later and larger than the last
        self._trouble = ""
        self._next_try: float | None = None

    def note(self, now: float, amounts: Amounts) -> None:
        """Record the progress."""
        before, self._amounts = self._amounts, amounts
        if amounts == before:
            return
        if amounts.fetched < before.fetched:  # the download began again from zero
            self.begin(now, amounts)
            return
        if amounts.fetched > before.fetched:
            last, had_stalled = self._arrivals[-1][0], self._has_stalled(now)
            if had_stalled:
                self._arrivals.clear()  # the rate leaves out the time of the stall
            elif last >= now:
                self._arrivals.pop()
            self._gap = now - last
            self._arrivals.append((now, amounts.fetched))
            while len(self._arrivals) > 2 and self._arrivals[1][0] <= now - WINDOW:  # noqa: PLR2004 - a rate needs two
                self._arrivals.popleft()
        self._moved = now
        self._trouble, self._next_try = "", None

    def broke(self, trouble: str, next_try: float) -> None:
        """Record a failed attempt, and when the next one begins. The next bytes clear this."""
        self._trouble, self._next_try = trouble, next_try

    @property
    def amounts(self) -> Amounts:
        """The latest progress."""
        return self._amounts

    def rate(self, now: float) -> float | None:
        """Return bytes per second; None if too few bytes have arrived, or if they have stopped arriving."""
        (first, before), (last, fetched) = self._arrivals[0], self._arrivals[-1]
        # Bytes arrive in blocks. The next block is overdue only after the time that passed between the last two.
        overdue = max(now - last - self._gap, 0.0)
        if last == first or overdue > _OVERDUE or self.status(now):
            return None
        return (fetched - before) / (last - first + overdue)

    def status(self, now: float) -> tuple[str, ...]:
        """Return the text to show in place of the rate, in full and then in shorter forms; () to show the rate."""
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
