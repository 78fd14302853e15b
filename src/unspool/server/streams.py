"""The running streams of a server: how many there are, how fast each may send, and how a drain ends them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from unspool.core.counted import counted
from unspool.core.limits import BlockSizes, Pace, Paces, Slots
from unspool.errors import OverloadedError, UnreachableError
from unspool.options import LimitOptions
from unspool.server.entry import Call
from unspool.server.outlet import Outlet
from unspool.server.rounds import Rounds
from unspool.server.turns import Turns

_FULL_RETRY = 1.0
"""Seconds a client is asked to wait when the stream limit is reached. Streams end all the time, so a short wait is enough; the
client adds jitter."""

_SMALLEST_SENT = 64 * 1024
"""The largest block that a client may send is at least this many bytes: smaller ones cost more than they save."""

_DRAIN_RETRY = 1.0
"""Seconds a client is asked to wait when the server drains: long enough for a load balancer to notice."""


class Streams:
    """The running streams.

    Args:
        limits: the limits on streams, connections, bandwidth and memory.
    """

    def __init__(self, limits: LimitOptions) -> None:
        self._limits = limits
        self._slots = Slots(limits.streams, limits.streams_per_peer)
        self._connections: Counter[str] = Counter()  # number of streams, by address and port
        self._bandwidth = _pace(limits.bandwidth)
        self._peers = (
            None if limits.bandwidth_per_peer is None else Paces(limits.bandwidth_per_peer, limits.bandwidth_per_peer / 4)
        )
        self._block_sizes = BlockSizes(limits.memory)
        self._turns = Turns()
        self._rounds = Rounds()
        self._draining = False
        self._cutting = False
        self._running: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    # Drain

    @property
    def most(self) -> int:
        """How many streams may run."""
        return self._limits.streams

    @property
    def active(self) -> int:
        """How many streams are running."""
        return len(self._running)

    @property
    def draining(self) -> bool:
        """Whether new streams are refused."""
        return self._draining

    def drain(self) -> None:
        """Refuse new streams from now on and ask their clients to retry. Running streams continue."""
        self._draining = True

    def cut(self) -> None:
        """Cancel the running streams and ask their clients to retry."""
        self._draining = self._cutting = True
        for task in self._running:
            task.cancel()

    async def wait_idle(self) -> None:
        """Wait until no stream is running."""
        await self._idle.wait()

    # One stream

    @contextmanager
    def running(self, call: Call) -> Iterator[None]:
        """Count a call as a running stream, if it is one. Refuse it while draining or over a limit; end it on `cut`."""
        if not call.streams:
            yield
            return
        connection, peer = call.caller.address, call.caller.peer
        self._refuse_if_full(connection, peer)
        task = asyncio.current_task()
        assert task is not None
        self._slots.take(peer)
        self._connections[connection] += 1
        self._running.add(task)
        self._idle.clear()

        def ended() -> None:
            self._running.discard(task)
            self._slots.give_back(peer)
            self._connections[connection] -= 1
            if not self._connections[connection]:
                del self._connections[connection]
            if not self._running:
                self._idle.set()

        try:
            yield
        except BaseException as error:
            ended()
            # Either `cut` cancelled the task, or gRPC did because the client left, or both.
            if isinstance(error, asyncio.CancelledError) and self._cutting and not task.uncancel():
                raise going_away_error() from None
            raise
        # Until gRPC is done, the last message may wait for the client. (The stubs of gRPC say that it takes no function.)
        call.context.add_done_callback(lambda _: ended())  # type: ignore[arg-type]

    def _refuse_if_full(self, connection: str, peer: str) -> None:
        if self._draining:
            raise going_away_error()
        full, limit = self._slots.full_for(peer), "streams" if self._slots.full else "streams_per_peer"
        if full is None and connection not in self._connections and len(self._connections) >= self._limits.connections:
            full = f"the limit, {counted(self._limits.connections, 'connection')} with running streams, is reached"
            limit = "connections"
        if full is not None:
            raise OverloadedError(f"{full}: try again", retry_after=_FULL_RETRY).at(limit)

    def outlet(self, call: Call, heartbeat: bytes | None, interval: float) -> Outlet:
        """Return the sending side of a stream, which keeps to its limits."""
        stream = _pace(self._limits.stream_bandwidth)
        age, peer = self._limits.stream_age, call.caller.peer
        of_peer = None if self._peers is None else self._peers.of(peer)
        paces = [pace for pace in (stream, of_peer, self._bandwidth) if pace is not None]
        write, turns, rounds = call.context.write, self._turns, self._rounds
        return Outlet(write, heartbeat, interval, paces, age, turns=turns, rounds=rounds, peer=peer, recheck=call.recheck)

    def largest_block(self, most: int) -> int:
        """Return the largest block that a client may send now, at most `most`: the streams share the memory for blocks."""
        return min(most, max(self._block_sizes.largest(len(self._running)), _SMALLEST_SENT))

    def block_sizes(self, wanted: int) -> BlockSize:
        """Return the block sizes for a new stream. `wanted` is the largest block that the client asked for."""
        limits = self._limits
        rates = [rate for rate in (limits.stream_bandwidth, limits.bandwidth_per_peer, limits.bandwidth) if rate is not None]
        # With a bandwidth cap, a block takes at most a second, so that the client's idle timeout does not expire.
        most = min(wanted, max(int(min(rates)), 1)) if rates else wanted
        return BlockSize(self._block_sizes, most, lambda: len(self._running))


class BlockSize:
    """The block size of one stream. It grows while the client reads quickly."""

    def __init__(self, sizes: BlockSizes, wanted: int, streams: Callable[[], int]) -> None:
        self._sizes = sizes
        self._wanted = wanted
        self._streams = streams
        self._size = 0

    def first(self, length: int) -> int:
        """Return the size of the first block of a stream of `length` bytes."""
        self._size = self._sizes.first(self._wanted, self._streams(), length)
        return self._size

    def next(self, seconds: float) -> int:
        """Return the size of the next block, after one that took `seconds` to send."""
        self._size = self._sizes.next(self._size, seconds, self._wanted, self._streams())
        return self._size

    @property
    def at_largest(self) -> bool:
        """Whether blocks have reached the size asked for, or the largest one allowed with this many streams."""
        return self._size >= min(self._wanted, self._sizes.largest(self._streams()))


def _pace(rate: float | None) -> Pace | None:
    """Return a pace with a burst of a quarter of a second, or None if there is no rate."""
    return None if rate is None else Pace(rate, burst=rate / 4)


def going_away_error() -> UnreachableError:
    """Return the error that ends a stream when the server drains."""
    return UnreachableError("the server is going away: try again", retry_after=_DRAIN_RETRY)
