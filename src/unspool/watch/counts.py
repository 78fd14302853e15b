"""What one server process counts of its calls. Every call is counted here only.

Rule 1: nothing is counted for each block: how far running calls are is looked at once a second, while there are any.
Rule 2: labels are bounded. They are methods, outcomes, limits and operations, never names of files or of clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from time import monotonic

from unspool.core.resent import Read
from unspool.core.running import Movement
from unspool.ingest.base import Ingester
from unspool.rpc.certificates import Certificates
from unspool.server.entry import Call
from unspool.server.report import CallEnd
from unspool.server.running import moves_bytes, receives_bytes
from unspool.stores.base import Store
from unspool.watch.figures import Figures, Histogram, Key
from unspool.watch.ingester import WatchedIngester
from unspool.watch.store import WatchedStore

INTERVAL = 1.0
"""Seconds between two looks at the running calls. Prometheus asks every 15 s in most set-ups, and every minute by default."""

_MOST_READS = 1000
"""Reads that are remembered between two publications: more retries in a second are not looked at."""

Publish = Callable[[Figures], bool]
"""Is given the figures. Returns False if it cannot take them now; then it is given later ones."""


class Counts:
    """Counts the calls of a server, as an observer of it, and the requests to its store, through `watched`.

    The figures are published once a second while something happens.

    Args:
        publish: takes the figures.
        clock: in seconds; shared by all processes of the server.
    """

    def __init__(self, publish: Publish, clock: Callable[[], float] = monotonic) -> None:
        self._publish = publish
        self._clock = clock
        self._figures = Figures()
        self._running: dict[_Running, None] = {}
        self._methods: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._certificates: Certificates | None = None

    def serving(self, certificates: Certificates | None = None) -> None:
        """Publish the first figures. From now on they contain until when the certificate that is in use is valid."""
        self._certificates = certificates
        self.publish()

    def watched(self, store: Store) -> Store:
        """Return the same store, whose answers are timed. Closing it closes the store."""
        return WatchedStore(store, self._figures)

    def receiving(self, ingester: Ingester) -> Ingester:
        """Return the same ingester, counted and timed. Closing it closes the ingester."""
        return WatchedIngester(ingester, self._figures)

    def begin(self, call: Call) -> Callable[[CallEnd], None]:
        """See `CallWatcher.begin`."""
        self._methods.add(call.method)
        running = _Running(call, self._clock())
        self._running[running] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)
        return partial(self._end, running)

    def _end(self, running: _Running, event: CallEnd) -> None:
        del self._running[running]
        figures, method = self._figures, event.method
        figures.count("unspool_calls_ended_total", method, event.outcome)
        figures.observe(event.seconds, "unspool_call_seconds", method)
        if event.bytes:
            figures.count(_moved(running.call), method, by=event.bytes)
        if event.limit:
            figures.count("unspool_limits_hit_total", event.limit)
        broken = event.outcome != "OK"
        # The others are the only read of their transfer: nothing was sent before, and nothing will be sent again.
        if (broken or event.attempt > 1) and (read := running.read(self._clock(), broken=broken)) is not None:
            figures.reads.append(read)
            del figures.reads[:-_MOST_READS]

    def _tick(self) -> None:
        self._timer = None
        done = self.publish()
        if self._running or not done:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)

    def publish(self) -> bool:
        """Publish the figures now. Returns whether they were taken."""
        mine, now = self._figures, self._clock()
        counters, unended = dict(mine.counters), []
        gauges: dict[Key, float] = {("unspool_calls_running", method): 0 for method in self._methods}
        gauges["unspool_streams_stalled",] = 0
        for running in self._running:
            method = running.call.method
            if running.movement.look(now, running.call.bytes):
                mine.count("unspool_stalls_total")
                counters["unspool_stalls_total",] = mine.counters["unspool_stalls_total",]
            gauges["unspool_streams_stalled",] += running.movement.stalled
            gauges["unspool_calls_running", method] += 1
            sent = _moved(running.call), method
            counters[sent] = counters.get(sent, 0) + running.call.bytes
            if (read := running.read(now, broken=True)) is not None:
                unended.append(read)
        if self._certificates is not None:
            certificate = self._certificates.current().certificate
            if certificate is not None:
                gauges["unspool_certificate_expires_timestamp_seconds",] = certificate.not_after.timestamp()
            counters["unspool_certificates_refused_total",] = self._certificates.refused
        histograms = {key: Histogram(one.bounds, one.counts, one.total) for key, one in mine.histograms.items()}
        taken = self._publish(Figures(counters, gauges, histograms, list(mine.reads), unended))
        if taken:
            mine.reads.clear()
        return taken

    def close(self) -> None:
        """Publish the figures for the last time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.publish()


def _moved(call: Call) -> str:
    """Return the counter of the bytes of a call."""
    return "unspool_received_bytes_total" if receives_bytes(call) else "unspool_sent_bytes_total"


class _Running:
    """A call that is running, and how its bytes move."""

    __slots__ = ("_transfer", "began", "call", "movement")

    def __init__(self, call: Call, now: float) -> None:
        self.call = call
        self.began = now
        self.movement = Movement(now, stalls=moves_bytes(call))
        self._transfer = ""

    def read(self, now: float, *, broken: bool) -> Read | None:
        """Return what was read of a file until now, if anything was; None for a batch, an upload, and without an id."""
        asked = self.call.asked
        if not self.call.bytes or not asked.transfer_id or asked.batch or receives_bytes(self.call):
            return None
        if not self._transfer:
            # A digest: names and ids may be long, and both are what a client chose.
            said = f"{asked.transfer_id} {asked.names[0]}".encode(errors="replace")
            self._transfer = blake2b(said, digest_size=12).hexdigest()
        return Read(self._transfer, asked.start, asked.start + self.call.bytes, broken, self.began, now)
