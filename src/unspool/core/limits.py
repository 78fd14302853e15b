"""How much a server gives to whom: counting and pacing, as pure arithmetic. Times are seconds of any clock that only grows."""

from __future__ import annotations

import math
from collections import OrderedDict


class Pace:
    """So many per second, with a burst: a token bucket that may go into debt.

    Whoever takes is never refused; the return value says how long to wait before going on. Taking more than the burst at once
    is fine: the debt is waited for.

    Args:
        rate: per second; greater than 0.
        burst: how many may be taken at once after a rest.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._free_at = -math.inf  # when everything taken so far has been paid for

    def take(self, amount: float, now: float) -> float:
        """Take, and return the seconds to wait before going on (0 if none)."""
        self._free_at = self._after(amount, now)
        return max(self._free_at - now, 0.0)

    def wait_for(self, amount: float, now: float) -> float:
        """Return how long to wait until `amount` can be taken without waiting; nothing is taken."""
        return max(self._after(amount, now) - now, 0.0)

    def _after(self, amount: float, now: float) -> float:
        """When everything taken so far and `amount` more will have been paid for; rest beyond the burst does not count."""
        return max(self._free_at, now - self._burst / self._rate) + amount / self._rate


class Paces:
    """A pace for each of many peers; the ones that have not been seen for longest are forgotten first.

    Args:
        rate, burst: of each.
        most: peers to remember.
    """

    def __init__(self, rate: float, burst: float, most: int = 10_000) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._paces: OrderedDict[str, Pace] = OrderedDict()

    def of(self, peer: str) -> Pace:
        """Return the pace of a peer."""
        pace = self._paces.get(peer)
        if pace is None:
            pace = self._paces[peer] = Pace(self._rate, self._burst)
            if len(self._paces) > self._most:
                self._paces.popitem(last=False)
        self._paces.move_to_end(peer)
        return pace


class Slots:
    """So many at a time, in all and for each peer."""

    def __init__(self, in_all: int, per_peer: int) -> None:
        self._in_all = in_all
        self._per_peer = per_peer
        self._taken: dict[str, int] = {}
        self.taken = 0

    def full_for(self, peer: str) -> str | None:
        """Return what is in the way of one more for `peer`, in words, or None."""
        if self.taken >= self._in_all:
            return f"{self._in_all} streams are running, which is the limit in all"
        if self._taken.get(peer, 0) >= self._per_peer:
            return f"{self._per_peer} streams are running for {peer}, which is the limit for one peer"
        return None

    def take(self, peer: str) -> None:
        """Take one; `full_for` must have been asked."""
        self.taken += 1
        self._taken[peer] = self._taken.get(peer, 0) + 1

    def give_back(self, peer: str) -> None:
        """Give one back."""
        self.taken -= 1
        left = self._taken[peer] - 1
        if left:
            self._taken[peer] = left
        else:
            del self._taken[peer]


class BlockSizes:
    """How large the blocks of a stream may be: the faster its reader and the fewer the streams, the larger.

    A stream begins small and doubles with every block that its reader took at once; a reader that keeps a block waiting gets
    smaller ones. So a thousand readers that take nothing hold a thousand small blocks, and one that takes all gets large ones.

    Args:
        budget: bytes that the blocks of all streams may take together, copies included.
    """

    SMALLEST = 32 * 1024
    """Smallest block, unless the client asks for less; the tutorial's chunk. Below it only the cost per message grows."""

    COPIES = 4
    """How often a block stands in memory at the worst: read ahead, read, serialised, in gRPC's hands."""

    PROMPT = 0.02
    """A send that returns within this many seconds met a reader that was waiting; one that takes ten times as long, did not."""

    TURNS = 8
    """How many streams the time above is for. With more of them each waits longer for its turn, whatever its reader does: 256
    took 64 KiB each every 25 ms, measured. The time grows with them, to ten times what it is."""

    def __init__(self, budget: int) -> None:
        self._share = budget // self.COPIES

    def largest(self, streams: int) -> int:
        """Return the largest block any of so many streams may use now: a power of two, as segments are, so that edges meet."""
        share = max(self._share // max(streams, 1), self.SMALLEST)
        return 1 << share.bit_length() - 1

    def first(self, wanted: int, streams: int, length: int) -> int:
        """Return the size of a stream's first block; a small span goes in one."""
        return min(wanted, self.largest(streams), max(length, 1) if length <= wanted else 2 * self.SMALLEST)

    def next(self, size: int, seconds: float, wanted: int, streams: int) -> int:
        """Return the size of the next block, after one of `size` took `seconds` to send."""
        prompt = self.PROMPT * min(max(streams / self.TURNS, 1), 10)
        if seconds <= prompt:
            size *= 2
        elif seconds > 10 * prompt:
            size = max(size // 2, self.SMALLEST)
        return min(size, wanted, self.largest(streams))
