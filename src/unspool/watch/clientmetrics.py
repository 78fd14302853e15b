"""Metrics of a client for Prometheus (the extra `metrics`).

metrics = ClientMetrics()
prometheus_client.REGISTRY.register(metrics)
client = unspool.Client("host:50051", observers=[metrics])
"""

from __future__ import annotations

from collections.abc import Iterator

from unspool.client.events import AttemptBegan, Event, Repairing, Restarting, Retrying, Started, TransferBegan, TransferEnded
from unspool.core.extras import extra
from unspool.errors import StalledError, UnspoolError, VerificationError
from unspool.watch.families import Described, families
from unspool.watch.figures import Figures, Key

with extra("metrics"):
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

CLIENT = (
    Described("unspool_client_transfers_running", "gauge", (), "Transfers that are running."),
    Described("unspool_client_transfers_ended_total", "counter", ("call", "outcome"), "Transfers that ended, by outcome."),
    Described("unspool_client_received_bytes_total", "counter", (), "Verified bytes that were received, when transfers end."),
    Described("unspool_client_sent_bytes_total", "counter", (), "Bytes of files that were sent, when transfers end."),
    Described("unspool_client_attempts_total", "counter", (), "Attempts that transfers made."),
    Described("unspool_client_retries_total", "counter", ("reason",), "Attempts that failed and were followed by another one."),
    Described("unspool_client_resumes_total", "counter", (), "Downloads that went on with bytes of an earlier run."),
    Described("unspool_client_restarts_total", "counter", ("reason",), "Downloads that began again from zero."),
    Described("unspool_client_stalls_total", "counter", (), "Attempts in which nothing came within the idle timeout."),
    Described("unspool_client_verification_failures_total", "counter", ("reason",), "Bytes that were not what they should be."),
    Described("unspool_client_repaired_bytes_total", "counter", (), "Local bytes that were damaged and fetched again."),
)
"""The metrics of a client."""

_ALWAYS: tuple[Key, ...] = tuple((one.name,) for one in CLIENT if not one.labels)


class ClientMetrics(Collector):
    """The metrics of the clients that it observes, and a collector of `prometheus_client`."""

    def __init__(self) -> None:
        self._figures = Figures()

    def notify(self, event: Event) -> None:
        """See `unspool.Observer`."""
        figures = self._figures
        match event:
            case TransferBegan():
                self._running(1)
            case AttemptBegan():
                figures.count("unspool_client_attempts_total")
            case Started(_, _, resumed_from) if resumed_from:
                figures.count("unspool_client_resumes_total")
            case Retrying(error):
                figures.count("unspool_client_retries_total", error.reason)
                self._failed(error)
            case Restarting(error):
                figures.count("unspool_client_restarts_total", error.reason)
                self._failed(error)
            case Repairing(bad):
                figures.count("unspool_client_repaired_bytes_total", by=bad)
                figures.count("unspool_client_verification_failures_total", "FILE_MISMATCH")
            case TransferEnded():
                self._running(-1)
                figures.count("unspool_client_transfers_ended_total", event.call, event.outcome)
                figures.count("unspool_client_received_bytes_total", by=event.bytes_received)
                figures.count("unspool_client_sent_bytes_total", by=event.bytes_sent)
                if event.error is not None:
                    self._failed(event.error)

    def _running(self, more: int) -> None:
        key = ("unspool_client_transfers_running",)
        self._figures.gauges[key] = self._figures.gauges.get(key, 0) + more

    def _failed(self, error: UnspoolError) -> None:
        if isinstance(error, StalledError):
            self._figures.count("unspool_client_stalls_total")
        elif isinstance(error, VerificationError):
            self._figures.count("unspool_client_verification_failures_total", error.reason)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        values = {**dict.fromkeys(_ALWAYS, 0.0), **self._figures.counters, **self._figures.gauges}
        return families(CLIENT, values, {})
