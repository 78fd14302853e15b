"""Many clients at once, with real processes: every client is served, and the server's memory stays within its limit."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from crash.roomy import roomy
from processes import eventually, free_port, peak_memory, serving, size_of
from unspool import Client, Reading, RetryPolicy, TransferOptions
from unspool.core.model import BatchRequest, ListRequest, WantedFile
from unspool.rpc.batchwire import encode_batch_request
from unspool.rpc.wire import encode_list_request

MIB = 1 << 20


async def test_fifty_transfers_get_over_a_restart_of_the_server(tmp_path: Path) -> None:
    """After SIGTERM under load, all fifty running transfers complete at the restarted server, without any intervention."""
    root = tmp_path / "root"
    root.mkdir()
    data = Random(0).randbytes(2 * MIB)
    (root / "f").write_bytes(data)
    options = TransferOptions(retry=RetryPolicy(budget=30, longest_wait=1.0))
    with free_port() as port:
        listen = f"127.0.0.1:{port}"
    limits = ("--grace", "0.2", "--max-bandwidth", str(40 * MIB))
    async with Client(listen, options=options) as client:
        with serving(root, tmp_path / "first.log", *limits, listen=listen) as first:
            await client.stat("f")  # the server has answered, so the client keeps retrying
            getting = [asyncio.ensure_future(client.get("f", tmp_path / f"out-{number}")) for number in range(50)]
            while len(list(tmp_path.glob("*.unspool-part"))) < len(getting):
                await asyncio.sleep(0.005)
            assert not any(one.done() for one in getting)
            assert await asyncio.to_thread(first.stop) == 0
        with serving(root, tmp_path / "second.log", listen=listen):
            results = await asyncio.gather(*getting)
    assert all((tmp_path / f"out-{number}").read_bytes() == data for number in range(50))
    assert all(result.verified == "file" for result in results)
    assert sum(result.attempts > 1 for result in results) > 0
    assert sum(result.bytes_received for result in results) == 50 * len(data)


@pytest.mark.timeout(200)
async def test_a_thousand_slow_readers_are_served_within_400_mb(tmp_path: Path) -> None:
    """With a thousand stalled transfers, memory is bounded, a small request is answered, and all transfers complete.

    A server has 256 MiB for blocks, about 50 MiB for itself, and about 30 KiB for each stream.
    """
    streams, connections = 1000, 10
    data = Random(0).randbytes(3 * MIB // 2)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "f").write_bytes(data)
    (tmp_path / "root" / "small").write_bytes(b"hello")
    patient = TransferOptions(idle_timeout=120.0)
    limits = ("--max-streams", "1100", "--max-streams-per-peer", "1100")
    with serving(tmp_path / "root", tmp_path / "log", *limits, anew=True) as server:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client(server.address, options=patient)) for _ in range(connections)]
            opened = [stack.enter_async_context(clients[n % connections].open("f")) for n in range(streams)]
            readings = await asyncio.gather(*opened)  # each has its first block, and reads no more
            async with Client(server.address) as another:
                assert await another.read("small") == b"hello"
            assert peak_memory(f"/proc/{server.process.pid}/status") < 400e6
            limit = asyncio.Semaphore(50)
            lengths = await asyncio.gather(*(_length(reading, limit) for reading in readings))
        assert lengths == [len(data)] * streams
        assert peak_memory(f"/proc/{server.process.pid}/status") < 400e6


FILES = [f"{directory}/{number}" for directory in range(10) for number in range(500)]


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """A directory of many files, and one more."""
    with roomy(50 * MIB) as root:
        for directory in range(10):
            (root / str(directory)).mkdir()
        for name in FILES:
            (root / name).touch()
        (root / "small").write_bytes(b"hello")
        yield root


@pytest.mark.parametrize(
    ("method", "streams", "request_"),
    [
        ("ListFiles", 90, encode_list_request(ListRequest(recursive=True))),
        ("ReadFiles", 270, encode_batch_request(BatchRequest(tuple(map(WantedFile, FILES[:1000]))))),
    ],
    ids=["listings", "batches"],
)
async def test_greedy_clients_do_not_hold_up_a_small_read(
    tree: Path, tmp_path: Path, method: str, streams: int, request_: bytes
) -> None:
    """While 90 listings, or 270 batches, of thousands of files run at full speed, a small read is answered within 250 ms."""
    took: list[float] = []
    with serving(tree, tmp_path / "log", "--max-streams-per-peer", "1000") as server, (tmp_path / "taken").open("wb") as taken:
        command = [
            sys.executable,
            str(Path(__file__).with_name("greedy.py")),
            server.address,
            method,
            str(streams),
            request_.hex(),
        ]
        with subprocess.Popen(command, stdout=taken) as greedy:
            try:
                await asyncio.to_thread(eventually, lambda: size_of(tmp_path / "taken"))
                before = size_of(tmp_path / "taken")
                async with asyncio.timeout(10), Client(server.address) as client:
                    for _ in range(10):
                        asked = time.monotonic()
                        assert await client.read("small") == b"hello"
                        took.append(time.monotonic() - asked)
                await asyncio.to_thread(eventually, lambda: size_of(tmp_path / "taken") > before)
            finally:
                greedy.kill()
    assert statistics.median(took) < 0.25


@pytest.mark.timeout(200)
async def test_stalled_readers_of_the_tutorials_dialect_are_within_400_mb(tmp_path: Path) -> None:
    """900 streams of a file that is much longer than a server reads ahead: the server holds little of it for each."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "f").write_bytes(bytes(16 * MIB))
    (tmp_path / "root" / "small").write_bytes(b"hello")
    patient = TransferOptions(idle_timeout=120.0)
    limits = ("--max-streams", "1000", "--max-streams-per-peer", "1000", "--grace", "0")
    with serving(tmp_path / "root", tmp_path / "log", *limits, anew=True) as server:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(server.address, options=patient, dialect="demo"))
            await asyncio.gather(*(stack.enter_async_context(client.open("f")) for _ in range(900)))
            async with Client(server.address) as another:
                assert await another.read("small") == b"hello"
            assert peak_memory(f"/proc/{server.process.pid}/status") < 400e6


async def _length(reading: Reading, limit: asyncio.Semaphore) -> int:
    """Read the rest, and return the length of the whole file."""
    async with limit:
        return sum([len(data) async for data in reading])
