"""Metrics for Prometheus (the extra `metrics`): of a server, out of the figures of its processes, and of a client.

    metrics = ServerMetrics()
    prometheus_client.REGISTRY.register(metrics)
    server = unspool.Server(metrics.watched(store), observers=[metrics])

One process answers Prometheus, whatever the number of workers: see docs/decisions/0040.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

from unspool._version import __version__
from unspool.core.extras import extra
from unspool.core.resent import Ledger, Read
from unspool.ingest.base import Ingester
from unspool.rpc.certificates import Certificates
from unspool.server.entry import Call
from unspool.server.report import CallEnd
from unspool.stores.base import Store
from unspool.watch.counts import Counts
from unspool.watch.families import Described, families
from unspool.watch.figures import Figures, Key, added

with extra("metrics"):
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

SERVER = (
    Described("unspool_build_info", "gauge", ("version",), "1; the version of the server is the label."),
    Described("unspool_workers", "gauge", (), "Processes that serve."),
    Described("unspool_workers_replaced_total", "counter", (), "Worker processes that ended by themselves."),
    Described("unspool_calls_running", "gauge", ("method",), "Calls that are running."),
    Described("unspool_calls_ended_total", "counter", ("method", "outcome"), "Calls that ended, by outcome as in the log."),
    Described("unspool_call_seconds", "histogram", ("method",), "How long calls took."),
    Described("unspool_sent_bytes_total", "counter", ("method",), "Bytes of files that were sent, also by calls that run."),
    Described("unspool_sent_again_bytes_total", "counter", (), "Of these, bytes that their transfer had been sent before."),
    Described("unspool_resumes_total", "counter", (), "Reads that went on where an earlier one of their transfer broke off."),
    Described("unspool_received_bytes_total", "counter", ("method",), "Bytes of files that came, also by calls that run."),
    Described("unspool_received_again_bytes_total", "counter", (), "Of these, bytes that the server had already."),
    Described("unspool_uploads_resumed_total", "counter", (), "Openings of uploads of which the server had bytes."),
    Described("unspool_uploads_expired_total", "counter", (), "Unfinished uploads that were removed because of their age."),
    Described(
        "unspool_files_received_total", "counter", ("method",), "Files that got their name; small ones also if they were there."
    ),
    Described("unspool_files_deleted_total", "counter", (), "Files that clients deleted."),
    Described(
        "unspool_conditions_failed_total",
        "counter",
        ("reason",),
        "How often a file was not to be replaced or deleted as it was.",
    ),
    Described("unspool_streams_stalled", "gauge", (), "Streams that are running, and have moved no byte of a file for 10 s."),
    Described("unspool_stalls_total", "counter", (), "How often a stream moved no byte of a file for 10 s."),
    Described("unspool_limits_hit_total", "counter", ("limit",), "Calls that a limit of the server refused or ended."),
    Described(
        "unspool_certificate_expires_timestamp_seconds", "gauge", (), "When the certificate in use expires, in Unix time."
    ),
    Described("unspool_certificates_refused_total", "counter", (), "How often new files of certificates were bad."),
    Described(
        "unspool_store_seconds", "histogram", ("operation",), "How long calls waited for the store, or for what receives files."
    ),
)
"""The metrics of a server."""

ALWAYS: tuple[Key, ...] = (
    *((one.name,) for one in SERVER if one.kind == "counter" and not one.labels),
    *(
        ("unspool_limits_hit_total", limit)
        for limit in ("streams", "streams_per_peer", "connections", "requests", "stream_age", "waiting", "descriptors")
    ),
    *(("unspool_conditions_failed_total", reason) for reason in ("ALREADY_EXISTS", "FILE_CHANGED")),
)
"""What is shown even while it is 0, so that a first event is seen as an increase."""


class ServerPage(Collector):
    """What Prometheus sees of a server: the figures of its processes, added up. It may be read from any thread."""

    def __init__(self) -> None:
        # Replaced as a whole: another thread that collects never sees a process twice, or not at all.
        self._state: tuple[Figures, Mapping[Hashable, Figures]] = Figures(), {}
        self._ledger = Ledger()

    def began(self, process: Hashable) -> None:
        """Add a process that serves."""
        whole, living = self._state
        self._state = whole, {**living, process: Figures()}

    def update(self, process: Hashable, figures: Figures) -> None:
        """Take what a process has counted since it began."""
        whole, living = self._state
        self._state = self._compared(whole, figures.reads), {**living, process: figures}

    def ended(self, process: Hashable, *, by_itself: bool) -> None:
        """Keep what a process has counted, and forget how things were in it."""
        whole, living = self._state
        last = living.get(process, Figures())
        whole = self._compared(added(whole, last, gauges="dropped"), last.unended)
        whole.count("unspool_workers_replaced_total", by=by_itself)
        self._state = whole, {one: figures for one, figures in living.items() if one is not process}

    def _compared(self, whole: Figures, reads: Iterable[Read]) -> Figures:
        """Return the figures, with what the reads have in common with earlier ones."""
        whole = added(whole)
        for read in reads:
            again, resumes = self._ledger.add(read)
            whole.count("unspool_sent_again_bytes_total", by=again)
            whole.count("unspool_resumes_total", by=resumes)
        return whole

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        whole, living = self._state
        now = added(whole, *living.values())
        now.gauges["unspool_build_info", __version__] = 1
        now.gauges["unspool_workers",] = len(living)
        values: dict[Key, float] = {**dict.fromkeys(ALWAYS, 0.0), **now.counters, **now.gauges}
        yield from families(SERVER, values, now.histograms)


class ServerMetrics(Collector):
    """The metrics of a server in this process: an observer of the server, and a collector of `prometheus_client`."""

    def __init__(self) -> None:
        self._page = ServerPage()
        self._page.began(self)
        self._counts = Counts(self._take)

    def _take(self, figures: Figures) -> bool:
        self._page.update(self, figures)
        return True

    def watched(self, store: Store) -> Store:
        """Return the store, whose answers are timed from now on."""
        return self._counts.watched(store)

    def receiving(self, ingester: Ingester) -> Ingester:
        """Return the ingester, counted and timed from now on."""
        return self._counts.receiving(ingester)

    def serving(self, certificates: Certificates | None) -> None:
        """Take `Server.certificates` of a server that has started, so that their end is among the metrics."""
        self._counts.serving(certificates)

    def begin(self, call: Call) -> Callable[[CallEnd], None]:
        """See `unspool.server.report.CallWatcher`."""
        return self._counts.begin(call)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; they are at most a second old."""
        return self._page.collect()
