"""What a client counts of its transfers."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from client.lab import NAME, Lab
from unspool import Client, MemoryStore
from unspool.client.events import Repairing, Restarting, Retrying, TransferBegan, TransferEnded
from unspool.errors import BlockCorruptError, FileChangedError, StalledError, UnreachableError, UnspoolError
from unspool.testing import serve
from unspool.watch.clientmetrics import CLIENT, ClientMetrics
from watch.pages import Samples


def samples(metrics: ClientMetrics) -> Samples:
    """Return what Prometheus would read."""
    registry = CollectorRegistry()
    registry.register(metrics)
    return Samples(generate_latest(registry).decode())


async def test_what_clients_do_is_counted(tmp_path: Path) -> None:
    """Transfers are counted by call and outcome with their bytes and attempts, over a real connection; none runs at the end."""
    metrics = ClientMetrics()
    async with serve(MemoryStore({"a": bytes(1000)})) as address, Client(address, observers=[metrics]) as client:
        await client.get("a", tmp_path / "a")
        await client.read("a")
        assert not await client.exists("nope")
        async with client.open("a"):
            assert samples(metrics)("unspool_client_transfers_running") == 1
    now = samples(metrics)
    assert now("unspool_client_transfers_running") == 0
    for call, outcome, count in (("get", "OK", 1), ("open", "OK", 2), ("stat", "FILE_NOT_FOUND", 1)):
        assert now("unspool_client_transfers_ended_total", call=call, outcome=outcome) == count
    assert now("unspool_client_received_bytes_total") == 3000
    assert now("unspool_client_attempts_total") == 4
    for one in CLIENT:
        family = now.families[one.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (one.kind, one.help)
        assert {label for sample in family.samples for label in sample.labels} <= set(one.labels)


async def test_a_broken_stream_is_a_retry(tmp_path: Path) -> None:
    """A transport that fails once costs one retry, with its reason."""
    lab, metrics = Lab("...x"), ClientMetrics()
    async with lab.client_of(lab.transport) as client:
        await client.get(NAME, tmp_path / "b.bin", observers=[metrics])
    now = samples(metrics)
    assert now("unspool_client_retries_total", reason="UNAVAILABLE") == 1
    assert now("unspool_client_stalls_total") == 0


def ended(error: UnspoolError) -> TransferEnded:
    """The end of a transfer that failed."""
    return TransferEnded("get", "a", error.reason, error.message, error, 3, 10, 1.0, "t")


def test_each_kind_of_trouble_has_its_counter() -> None:
    """Stalls, failures of verification, restarts and repairs are counted when they are retried and when they are final."""
    metrics = ClientMetrics()
    for event in (
        TransferBegan("get", "a", "t"),
        Retrying(StalledError("a"), 1, 0.1, "t"),
        Retrying(BlockCorruptError("a"), 2, 0.1, "t"),
        Retrying(UnreachableError("a"), 3, 0.1, "t"),
        Restarting(FileChangedError("a"), 0.1, "t"),
        Repairing(16, "t"),
        ended(StalledError("a")),
    ):
        metrics.notify(event)
    now = samples(metrics)
    assert now("unspool_client_stalls_total") == 2
    assert now("unspool_client_verification_failures_total", reason="BLOCK_CORRUPT") == 1
    assert now("unspool_client_verification_failures_total", reason="FILE_MISMATCH") == 1
    assert now("unspool_client_restarts_total", reason="FILE_CHANGED") == 1
    assert now("unspool_client_repaired_bytes_total") == 16
    assert now("unspool_client_transfers_ended_total", call="get", outcome="STALLED") == 1
