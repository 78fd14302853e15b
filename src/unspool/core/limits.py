"""The server's limits as pure arithmetic: rates, counts and block sizes. Times are seconds of any monotonic clock."""

from __future__ import annotations

import math
from collections import OrderedDict

from unspool.core.counted import counted


class Pace:
    """A rate limit with a burst: a token bucket that may go into debt.

    `take` never refuses. It returns how long the caller must wait before it goes on. An amount larger than the burst is allowed
    and leads to a longer wait.

    Args:
        rate: tokens per second; greater than 0.
        burst: tokens that may be taken without a wait after an idle period.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._free_at = -math.inf  # when everything taken so far has been paid for

    def take(self, amount: float, now: float) -> float:
        """Take `amount` tokens, and return the seconds to wait before going on (0 if none)."""
        self._free_at = self._after(amount, now)
        return max(self._free_at - now, 0.0)

    def wait_for(self, amount: float, now: float) -> float:
        """Return the seconds that `take` would return for `amount`. Nothing is taken."""
        return max(self._after(amount, now) - now, 0.0)

    def _after(self, amount: float, now: float) -> float:
        """Return the time when the debt, with `amount` added, is paid. Idle time earns no more than the burst."""
        return max(self._free_at, now - self._burst / self._rate) + amount / self._rate


class Paces:
    """One `Pace` for each peer. When there are too many peers, the least recently used one is dropped.

    Args:
        rate, burst: those of each peer's `Pace`.
        most: peers to keep.
    """

    def __init__(self, rate: float, burst: float, most: int = 10_000) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._paces: OrderedDict[str, Pace] = OrderedDict()

    def of(self, peer: str) -> Pace:
        """Return the `Pace` of a peer."""
        pace = self._paces.get(peer)
        if pace is None:
            pace = self._paces[peer] = Pace(self._rate, self._burst)
            if len(self._paces) > self._most:
                self._paces.popitem(last=False)
        self._paces.move_to_end(peer)
        return pace


class Slots:
    """Counts the streams that are running, with a limit for all peers together and a limit for each peer."""

    def __init__(self, in_all: int, per_peer: int) -> None:
        self._in_all = in_all
        self._per_peer = per_peer
        self._used_by_peer: dict[str, int] = {}
        self.used = 0

    @property
    def full(self) -> bool:
        """Whether the limit for all peers together is reached."""
        return self.used >= self._in_all

    def full_for(self, peer: str) -> str | None:
        """Return a message that says which limit stops another stream of `peer`, or None if there is room."""
        if self.full:
            return f"the limit in all, {counted(self._in_all, 'running stream')}, is reached"
        if self._used_by_peer.get(peer, 0) >= self._per_peer:
            return f"the limit for one peer, {counted(self._per_peer, 'running stream')}, is reached by {peer}"
        return None

    def take(self, peer: str) -> None:
        """Take a slot. The caller must have checked `full_for`."""
        self.used += 1
        self._used_by_peer[peer] = self._used_by_peer.get(peer, 0) + 1

    def give_back(self, peer: str) -> None:
        """Release a slot."""
        self.used -= 1
        left = self._used_by_peer[peer] - 1
        if left:
            self._used_by_peer[peer] = left
        else:
            del self._used_by_peer[peer]


class BlockSizes:
    """The block size of each stream: larger for fast readers, and larger when there are few streams.

    A stream begins with small blocks. The size doubles after every block that is sent without delay, and halves after one that
    takes long. So a thousand stalled readers hold a thousand small blocks, and a single fast reader gets large ones.

    Args:
        budget: bytes that the blocks of all streams may use together, copies included.
    """

    SMALLEST = 32 * 1024
    """Smallest block in bytes, unless the client asks for less; the tutorial's chunk size. Smaller ones only cost more."""

    COPIES = 4
    """Most copies of a block in memory at one time: read ahead, read, serialised, and buffered by gRPC."""

    PROMPT = 0.02
    """Seconds. If a send returns within this time, the reader keeps up; if it takes ten times as long, the reader is slow."""

    TURNS = 8
    """Streams up to which `PROMPT` holds. With more streams each send waits longer for its turn, even if the reader is fast:
    measured, 256 streams sent 64 KiB each every 25 ms. So the time grows with the number of streams, up to ten times."""

    def __init__(self, budget: int) -> None:
        self._share = budget // self.COPIES

    def largest(self, streams: int) -> int:
        """Return the largest block that each of `streams` streams may use.

        It is a power of two, as the segment size is, so that no block lies across the edge of a segment.
        """
        share = max(self._share // max(streams, 1), self.SMALLEST)
        return 1 << share.bit_length() - 1

    def first(self, wanted: int, streams: int, length: int) -> int:
        """Return the size of a stream's first block. A span of at most `wanted` bytes goes in one block if possible."""
        return min(wanted, self.largest(streams), max(length, 1) if length <= wanted else 2 * self.SMALLEST)

    def next(self, size: int, seconds: float, wanted: int, streams: int) -> int:
        """Return the size of the next block, after a block of `size` bytes took `seconds` to send."""
        prompt = self.PROMPT * min(max(streams / self.TURNS, 1), 10)
        if seconds <= prompt:
            size *= 2
        elif seconds > 10 * prompt:
            size = max(size // 2, self.SMALLEST)
        return min(size, wanted, self.largest(streams))
