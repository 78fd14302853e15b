"""unspool behind the proxies that people have: real ones, with the files that we recommend, and with their defaults.

In the normal form short time-outs stand for the proxies' own. The long form waits for the real ones.
"""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import grpc
import pytest

from authority import Authority
from processes import eventually, outcome_of, running, serving, size_of, unspool
from proxies.proxy import KINDS, THEIR_PORT, Change, behind
from unspool import Client, MemoryStore, RetryPolicy, ServerOptions, ServiceOptions, TransferOptions
from unspool.client.events import Event, Retrying
from unspool.core.model import BatchRequest, ReadRequest, WantedFile
from unspool.errors import TransferError, UnspoolError
from unspool.rpc.transport import GrpcTransport
from unspool.rpc.wire import encode_read_request
from unspool.testing import FaultyStore, Recorder, serve

DATA = Random(44).randbytes(12 << 20)
RATE = 4 << 20
"""Bytes a second of a stream: the file takes three seconds, more than the short time-outs."""

SHORT, SHORT_SECONDS = "2s", 2.0
SILENT = [name for name, kind in KINDS.items() if kind.silence]
"""The proxies with a limit for silence."""


@dataclass(frozen=True)
class Site:
    """A served directory with `a.bin`."""

    root: Path
    home: Path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A directory to serve, and one for a proxy."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.bin").write_bytes(DATA)
    (root / "small.bin").write_bytes(DATA[:100_000])
    return Site(root, tmp_path / "proxy")


def got(address: str, site: Site, seconds: float = 60) -> dict[str, int]:
    """Download `a.bin` with a real `unspool get`, in one stream, and return its result."""
    out = site.home / "out"
    done = unspool("get", f"{address}/a.bin", out, "--jobs", "1", "--json", seconds=seconds)
    assert done.code == 0, done.err
    assert out.read_bytes() == (site.root / "a.bin").read_bytes()
    result: dict[str, int] = json.loads(done.out)
    return result


@pytest.mark.parametrize("name", KINDS)
def test_the_protocol_holds_and_long_streams_are_not_cut(name: str, site: Site) -> None:
    """Behind a proxy with our file, a download longer than the time-outs is one stream, and `unspool conformance` passes."""
    change = Change(silence=SHORT if KINDS[name].silence else None)
    with (
        serving(site.root, site.home.with_name("server.log"), "--max-stream-bandwidth", str(RATE)) as server,
        behind(name, server.address, site.home, change) as address,
    ):
        result = got(address, site)
        checked = unspool("conformance", address, "--name", "small.bin")
    assert result["attempts"] == 1
    assert result["bytes_received"] == len(DATA)
    assert checked.code == 0, checked.out.decode()


@pytest.mark.parametrize("name", KINDS)
def test_a_proxy_may_end_tls(name: str, site: Site) -> None:
    """With the lines for TLS in our file in use, clients reach the proxy as `unspools://`, and trust its certificate."""
    tls = site.home.with_name("tls")
    authority = Authority(tls)
    pair = authority.issue("server")
    (tls / "both.pem").write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
    with (
        serving(site.root, site.home.with_name("server.log")) as server,
        behind(name, server.address, site.home, Change(tls=tls)) as address,
    ):
        done = unspool("get", "--ca", authority.file, f"unspools://{address}/a.bin", site.home / "out")
    assert done.code == 0, done.err
    assert (site.home / "out").read_bytes() == DATA


def test_a_proxy_that_ends_every_stream_after_a_while_costs_attempts_and_no_byte(site: Site) -> None:
    """With Envoy's limit on whole requests a download is cut again and again, and each byte still comes once."""
    with (
        serving(site.root, site.home.with_name("server.log"), "--max-stream-bandwidth", str(RATE)) as server,
        behind("envoy", server.address, site.home, Change(whole="1s")) as address,
    ):
        result = got(address, site)
    assert result["attempts"] >= 3
    assert result["bytes_received"] == len(DATA)


async def broken(name: str, home: Path, *, heartbeat: float, idle_timeout: float, silence: float, change: Change) -> list[str]:
    """Download from a store that is silent in the middle; return what broke streams, and check the file."""
    data = DATA[: 1 << 20]
    store = FaultyStore(MemoryStore({"a": data}))
    options = ServerOptions(service=ServiceOptions(heartbeat=heartbeat, block_size=1 << 16))
    recorder = Recorder[Event]()
    patient = TransferOptions(retry=RetryPolicy(first_wait=0.01), idle_timeout=idle_timeout)
    with ExitStack() as stack:
        async with serve(store, options) as server:
            address = await asyncio.to_thread(stack.enter_context, behind(name, server, home, change))
            async with Client(address, options=patient, observers=[recorder]) as client:
                await client.stat("a")
                store.pause()
                getting = asyncio.create_task(client.get("a", home / "out"))
                await store.until_paused()
                await asyncio.sleep(silence)
                store.resume()
                await getting
    assert (home / "out").read_bytes() == data
    errors = [event.error for event in recorder if isinstance(event, Retrying)]
    assert all(isinstance(error, TransferError) for error in errors)
    return [error.reason for error in errors]


@pytest.mark.parametrize("name", KINDS)
async def test_heartbeats_come_through_and_keep_silence_short(name: str, tmp_path: Path) -> None:
    """While a store is slow, heartbeats reach the client through the proxy, and the proxy does not give up the stream."""
    limited = name in SILENT
    assert not await broken(
        name,
        tmp_path / "proxy",
        heartbeat=0.3,
        idle_timeout=30.0 if limited else SHORT_SECONDS,  # who is impatient: the proxy, or else the client
        silence=1.5 * SHORT_SECONDS,
        change=Change(silence=SHORT if limited else None),
    )


@pytest.mark.parametrize("name", SILENT)
async def test_without_heartbeats_a_silent_stream_is_cut_and_goes_on(name: str, tmp_path: Path) -> None:
    """A proxy that gives up a silent stream, each in its own way, costs attempts and no download."""
    assert await broken(name, tmp_path / "proxy", heartbeat=60.0, idle_timeout=60.0, silence=2.5, change=Change(silence="1s"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in SILENT else pytest.mark.deep) for name in KINDS])
def test_a_server_that_dies_behind_a_proxy_is_waited_for(name: str, site: Site) -> None:
    """SIGKILL of the server in the middle, and a new one at its port: the download goes on, whatever the proxy says."""
    log, out = site.home.with_name("server.log"), site.home / "out"
    options = ("--max-stream-bandwidth", str(2 * RATE))
    with (
        serving(site.root, log, *options) as server,
        behind(name, server.address, site.home) as address,
        running("get", f"{address}/a.bin", out, "--jobs", "1", "--json") as getting,
    ):
        eventually(lambda: size_of(site.home / "out.unspool-part") > len(DATA) // 4)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(30)
        with serving(site.root, log, *options, listen=server.address):
            done = outcome_of(getting)
    assert done.code == 0, done.err
    assert out.read_bytes() == DATA
    result = json.loads(done.out)
    assert result["attempts"] > 1
    assert result["bytes_received"] == len(DATA)


async def answered(name: str, home: Path, change: Change) -> int:
    """Ask through a proxy for a batch whose request takes two MiB; return how many of its files were answered."""
    files = tuple(WantedFile(f"{number:04}{'x' * 2000}") for number in range(1000))
    with ExitStack() as stack:
        async with serve(MemoryStore({"a": b""})) as server:
            address = await asyncio.to_thread(stack.enter_context, behind(name, server, home, change))
            async with aclosing(GrpcTransport(address)) as transport:
                return len([piece async for pieces in transport.read_files(BatchRequest(files)) for piece in pieces])


async def test_a_large_request_needs_our_file_in_nginx(tmp_path: Path) -> None:
    """A batch of 1000 long names passes with our file, and is refused by nginx as it is by default."""
    assert await answered("nginx", tmp_path / "ours", Change()) == 1000
    with pytest.raises(UnspoolError):
        await answered("nginx", tmp_path / "default", Change(defaults=True))


def test_a_server_that_drains_gets_no_new_requests_from_envoy(site: Site) -> None:
    """With our file Envoy asks servers for their health: while one drains, all requests are answered by the other."""
    logs = [site.home.with_name(f"server-{number}.log") for number in range(2)]
    with (
        serving(site.root, logs[0], "--max-stream-bandwidth", "256K", "--grace", "60") as first,
        serving(site.root, logs[1]) as second,
        running("get", f"{first.address}/a.bin", site.home.with_name("out"), "--jobs", "1"),  # it drains while this runs
        behind("envoy", first.address, site.home, two_endpoints(second.address)) as address,
        grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel,
    ):
        read: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/unspool.v1.FileService/ReadFile")

        def answered_each_time() -> bool:
            try:
                return all(list(read(encode_read_request(ReadRequest("small.bin")), timeout=5)) for _ in range(20))
            except grpc.RpcError:
                return False

        eventually(lambda: size_of(site.home.with_name("out.unspool-part")) > 0)
        first.process.send_signal(signal.SIGTERM)
        eventually(lambda: "draining" in logs[0].read_text())
        eventually(answered_each_time, 15)
        assert first.process.poll() is None


def two_endpoints(second: str) -> Change:
    """Return what gives Envoy a second server, and has it ask more often for their health."""
    endpoint = """              - endpoint:
                  address:
                    socket_address: {address: 127.0.0.1, port_value: %s}
"""
    first = endpoint % THEIR_PORT
    return Change(
        more={
            first: first + endpoint % second.rpartition(":")[2],
            " interval: 10s": " interval: 0.1s",
            "no_traffic_interval: 10s": "no_traffic_interval: 0.1s",
        }
    )


# The long form.


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", KINDS)
def test_a_long_stream_with_the_proxys_own_time_outs(name: str, site: Site) -> None:
    """Behind a proxy as it is by default a download of 75 s completes; only Envoy cuts its stream, every 15 s."""
    (site.root / "a.bin").write_bytes(Random(45).randbytes(75 << 20))
    with (
        serving(site.root, site.home.with_name("server.log"), "--max-stream-bandwidth", "1M") as server,
        behind(name, server.address, site.home, Change(defaults=True)) as address,
    ):
        result = got(address, site, 240)
    assert (result["attempts"] > 4) if name == "envoy" else (result["attempts"] == 1)
    assert result["bytes_received"] == 75 << 20


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", KINDS)
async def test_the_default_heartbeat_is_often_enough_for_our_files(name: str, tmp_path: Path) -> None:
    """A store that is silent for 75 s, longer than nginx and HAProxy allow, breaks no stream with the default options."""
    assert not await broken(name, tmp_path / "proxy", heartbeat=10.0, idle_timeout=30.0, silence=75.0, change=Change())
