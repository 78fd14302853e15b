"""`unspool serve --metrics`: one page over HTTP that is right, whatever the number of workers and whoever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from authority import Authority
from gate import Gate
from processes import ENVIRONMENT, eventually, outcome_of, running, size_of, small_and_big, unspool
from server.test_server_workers import workers_of
from unspool import Client, LimitOptions, MemoryStore, RetryPolicy, Server, ServerOptions, TransferOptions
from unspool.core.model import ReadRequest
from unspool.errors import TransferError
from unspool.rpc.transport import GrpcTransport
from unspool.server.report import CallEnd
from unspool.testing import Recorder
from unspool.watch.counts import INTERVAL
from unspool.watch.metrics import SERVER, ServerMetrics
from watch.pages import Samples, Watched, watched

MIB = 1 << 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small and a big file."""
    return small_and_big(tmp_path_factory.mktemp("root"))


def test_the_page_has_what_is_described(root: Path, tmp_path: Path) -> None:
    """Prometheus's own parser reads the page: exactly the metrics that are described, with their kinds and labels."""
    with watched(root, tmp_path / "log") as page:
        assert unspool("cat", f"{page.server.address}/hello.txt").code == 0
        assert unspool("ls", page.server.address).code == 0
        eventually(lambda: page.samples()("unspool_calls_ended_total", method="ListFiles", outcome="OK"))
        samples = page.samples()
    families = samples.families
    assert {family.removesuffix("_total") for family in families} == {one.name.removesuffix("_total") for one in SERVER}
    for one in SERVER:
        family = families[one.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (one.kind, one.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(one.labels), sample
    assert samples("unspool_workers") == 1
    assert samples("unspool_sent_bytes_total", method="ReadFile") == 13
    assert samples("unspool_call_seconds_count", method="ReadFile") == 1
    assert samples("unspool_store_seconds_count", operation="open") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_download_is_seen_while_it_runs(root: Path, tmp_path: Path, workers: str) -> None:
    """A stream that runs is on the page with its bytes, before it ends; afterwards nothing runs and all bytes are there."""
    with (
        watched(root, tmp_path / "log", "--workers", workers) as page,
        Gate(page.server.address, 20 * MIB) as gate,
        running("get", "--quiet", "--jobs", "1", f"{gate.address}/big.bin", tmp_path / "out") as client,
    ):
        eventually(lambda: page.samples()("unspool_sent_bytes_total", method="ReadFile") >= 16 * MIB)
        now = page.samples()
        assert now("unspool_calls_running", method="ReadFile") == 1
        assert now("unspool_calls_ended_total", method="ReadFile", outcome="OK") == 0
        gate.open()
        assert outcome_of(client).code == 0
        eventually(lambda: page.samples()("unspool_calls_ended_total", method="ReadFile", outcome="OK") == 1)
        now = page.samples()
        assert now("unspool_calls_running", method="ReadFile") == 0
        assert now("unspool_sent_bytes_total", method="ReadFile") == 48 * MIB
        assert now("unspool_workers") == int(workers)


def test_killed_workers_leave_their_counts_and_nothing_else(root: Path, tmp_path: Path) -> None:
    """All workers are killed in a download: its bytes stay counted, no stream is shown running, and its resume is counted."""
    with (
        watched(root, tmp_path / "log", "--workers", "2") as page,
        Gate(page.server.address, 20 * MIB) as gate,
        running("get", "--json", "--retry-budget", "30", "-j1", f"{gate.address}/big.bin", tmp_path / "out") as client,
    ):
        eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 16 * MIB)
        sent = eventually(Steady(page))  # what the killed workers told last is then what they sent
        killed = workers_of(page.server)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: page.samples()("unspool_workers_replaced_total") == 2)
        now = page.samples()
        assert now("unspool_sent_bytes_total", method="ReadFile") >= sent
        gate.open()
        result = json.loads(outcome_of(client).out)
        last = eventually(lambda: _ended(page.samples(), "OK"))
        assert last is not None
        assert last("unspool_calls_running", method="ReadFile") == 0
        assert last("unspool_workers") == 2
        assert last("unspool_resumes_total") == 1
        again = last("unspool_sent_bytes_total", method="ReadFile") - result["bytes_received"]
        assert last("unspool_sent_again_bytes_total") == again
    assert (tmp_path / "out").read_bytes() == (root / "big.bin").read_bytes()


class Steady:
    """Returns the bytes sent, once they have been the same for two reports of the workers."""

    def __init__(self, page: Watched) -> None:
        self._page = page
        self._sent, self._since = 0.0, 0.0

    def __call__(self) -> float:
        """Return the bytes, or 0 if it is too early."""
        sent = self._page.samples()("unspool_sent_bytes_total", method="ReadFile")
        if sent != self._sent:
            self._sent, self._since = sent, time.monotonic()
        return sent if time.monotonic() - self._since > 2 * INTERVAL else 0.0


def _ended(samples: Samples, outcome: str) -> Samples | None:
    return samples if samples("unspool_calls_ended_total", method="ReadFile", outcome=outcome) else None


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_end_of_the_certificate_is_there_from_the_start(root: Path, tmp_path: Path, workers: str) -> None:
    """With TLS the page tells when the certificate in use expires, before any client has come; without, it does not."""
    pair = Authority(tmp_path / "ca").issue("server", days=(-1, 5))
    options = ("--cert", str(pair.cert), "--key", str(pair.key), "--workers", workers)
    with watched(root, tmp_path / "log", *options) as page:
        expires = eventually(lambda: page.samples()("unspool_certificate_expires_timestamp_seconds"))
        assert 4.9 < (expires - time.time()) / 86400 < 5.1
        assert page.samples()("unspool_certificates_refused_total") == 0
    with watched(root, tmp_path / "log", "--workers", workers) as page:
        assert page.samples()("unspool_workers") == int(workers)
        assert page.samples()("unspool_certificate_expires_timestamp_seconds") == 0


def test_a_limit_that_was_hit_has_its_name(root: Path, tmp_path: Path) -> None:
    """A second stream where one is allowed is refused, and the page says by which limit."""
    with (
        watched(root, tmp_path / "log", "--max-streams", "1") as page,
        Gate(page.server.address, MIB) as gate,
        running("get", "--quiet", "-j1", f"{gate.address}/big.bin", tmp_path / "out"),
    ):
        eventually(lambda: page.samples()("unspool_calls_running", method="ReadFile"))
        assert unspool("cat", "--retry-budget", "0", f"{page.server.address}/hello.txt").code == 7
        eventually(lambda: page.samples()("unspool_limits_hit_total", limit="streams") == 1)
        assert page.samples()("unspool_calls_ended_total", method="ReadFile", outcome="OVERLOADED") == 1
        (entry,) = page.server.reads()
        assert (entry["outcome"], entry["limit"]) == ("OVERLOADED", "streams")


async def test_each_limit_has_its_name() -> None:
    """The limits per address, on connections and on requests are told apart, too."""
    found = {}
    for field, limits in (
        ("streams_per_peer", LimitOptions(streams_per_peer=1)),
        ("connections", LimitOptions(connections=1)),
        ("requests", LimitOptions(requests=1.5)),
        ("stream_age", LimitOptions(stream_age=0.0)),
    ):
        ends: Recorder[CallEnd] = Recorder()
        async with Server(MemoryStore({"a": bytes(8 * MIB)}), "127.0.0.1:0", ServerOptions(limits=limits), [ends]) as server:
            options = TransferOptions(retry=RetryPolicy(budget=0))
            async with Client(server.address, options=options) as one, Client(server.address, options=options) as other:
                async with one.open("a"):
                    with suppress(TransferError):
                        await other.read("a")
                with suppress(TransferError):
                    await one.read("a")
        found[field] = {event.limit for event in ends} - {""}
    assert found == {field: {field} for field in found}


async def test_bytes_that_are_sent_again_are_counted() -> None:
    """An attempt that asks for what an earlier one of its transfer was sent counts those bytes, and not the others."""
    # Larger than what gRPC and the kernel take ahead: the first read must not have ended when its client leaves.
    metrics, ends = ServerMetrics(), Recorder[CallEnd]()
    async with (
        Server(metrics.watched(MemoryStore({"a": bytes(64 * MIB)})), observers=[metrics, ends]) as server,
        aclosing(GrpcTransport(server.address)) as transport,
    ):
        for attempt, start in ((1, 0), (2, MIB)):
            async with aclosing(transport.read(ReadRequest("a", start, transfer_id="t", attempt=attempt))) as frames:
                received = 0
                async for frame in frames:
                    received += 0 if frame.block is None else len(frame.block.data)
                    if received >= 3 * MIB and attempt == 1:
                        break
            while len(ends) < attempt:  # the client has left: the server is to notice
                await asyncio.sleep(0.01)
        registry = CollectorRegistry()
        registry.register(metrics)
        while (now := Samples(generate_latest(registry).decode()))("unspool_resumes_total") == 0:
            await asyncio.sleep(0.01)
    assert now("unspool_sent_again_bytes_total") == now("unspool_sent_bytes_total", method="ReadFile") - 64 * MIB > MIB


async def test_a_server_of_ones_own_has_metrics() -> None:
    """`ServerMetrics` hangs on any server as an observer and on any registry as a collector."""
    metrics = ServerMetrics()
    registry = CollectorRegistry()
    registry.register(metrics)
    async with Server(metrics.watched(MemoryStore({"a": b"hello"})), observers=[metrics]) as server:
        async with Client(server.address) as client:
            assert await client.read("a") == b"hello"
        while not (now := Samples(generate_latest(registry).decode()))("unspool_sent_bytes_total", method="ReadFile"):
            await asyncio.sleep(0.01)
    assert now("unspool_store_seconds_count", operation="open") == 1


def test_the_page_is_for_this_machine_unless_told_otherwise(root: Path, tmp_path: Path) -> None:
    """A port alone is one of 127.0.0.1; an address in use is exit 2 and one line; a Unix socket is none for Prometheus."""
    with watched(root, tmp_path / "log") as page:
        assert page.url.startswith("http://127.0.0.1:")
        port = page.url.removesuffix("/metrics").rpartition(":")[2]
        for workers in ("1", "2"):
            refused = unspool("serve", root, "--listen", "127.0.0.1:0", "--metrics", port, "--workers", workers)
            assert refused.code == 2
            assert f"cannot show metrics on 127.0.0.1:{port}: address already in use" in refused.complaint
            assert refused.out == b""
    for wrong in (f"unix:{tmp_path}/x.sock", "nonsense:port"):
        refused = unspool("serve", root, "--listen", "127.0.0.1:0", "--metrics", wrong)
        assert refused.code == 2
        assert wrong in refused.complaint


def test_a_client_that_says_nothing_does_not_keep_others_waiting(root: Path, tmp_path: Path) -> None:
    """The page answers while another connection to it is open and silent, and while the server drains."""
    with watched(root, tmp_path / "log") as page:
        where = page.url.removeprefix("http://").removesuffix("/metrics")
        host, _, port = where.rpartition(":")
        with socket.create_connection((host, int(port))):
            assert page.samples()("unspool_workers") == 1
        assert page.server.stop() == 0


def test_without_the_package_it_says_what_to_install(root: Path) -> None:
    """`--metrics` without prometheus_client is exit 2, and one line that names the extra."""
    program = "import sys; sys.modules['prometheus_client'] = None; from unspool.cli import main; main()"
    for workers in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program, "serve", root, "--listen", "127.0.0.1:0", "--metrics", "0", "--workers", workers],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "pip install 'unspool[metrics]'" in done.stderr


def test_what_is_off_is_not_even_loaded(root: Path) -> None:
    """Without `--metrics` neither what counts nor prometheus_client is imported."""
    program = (
        "import os, sys; from unspool.cli import serving; serve = serving.Server.start\n"
        "async def start(self):\n"
        "    await serve(self); loaded = {'prometheus_client', 'unspool.watch'} & set(sys.modules)\n"
        "    print(loaded); sys.stdout.flush(); os._exit(0)\n"
        "serving.Server.start = start; from unspool.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", root, "--listen", "127.0.0.1:0"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "set()\n"
