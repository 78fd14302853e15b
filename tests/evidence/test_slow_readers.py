"""Readers that are slow, stop or disappear: the server's memory stays small, and others are served as usual."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from crash.roomy import roomy
from processes import Serving, serving, unspool
from server.wiretap import wiretap
from unspool import Client, MemoryStore, ServerOptions
from unspool.core.model import ReadRequest
from unspool.testing import FaultyStore, serve
from unspool.testing.proxy import Proxy

MIB = 1 << 20

SIZE = 256 * MIB

READERS = 8

MOST_PER_READER = 24 * MIB
"""Most bytes that a server reads from its store for a reader that reads none: gRPC, the kernels' buffers, the proxy."""


def memory(server: Serving) -> int:
    """Return how many bytes of memory a server uses now."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * 4096


def read_by(server: Serving) -> int:
    """Return how many bytes a server has read so far, from files and sockets."""
    (line,) = [line for line in Path(f"/proc/{server.process.pid}/io").read_text().splitlines() if line.startswith("rchar")]
    return int(line.split()[1])


async def until_still(server: Serving) -> int:
    """Wait until a server reads nearly nothing for a second, and return how much it has read."""
    deadline = time.monotonic() + 60
    before = -MIB
    while (now := read_by(server)) - before > 64 * 1024:
        assert time.monotonic() < deadline, "it reads on and on"
        before = now
        await asyncio.sleep(1)
    return now


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not say how much a process has read")
@pytest.mark.parametrize("bandwidth", [1024.0, None], ids=["1 KiB/s", "stopped"])
async def test_readers_that_take_next_to_nothing_cost_next_to_nothing(bandwidth: float | None) -> None:
    """For readers of 1 KiB/s, and for those that stop, the server stops reading, stays small, and serves others as usual."""
    with roomy(2 * SIZE) as directory:
        root = directory / "root"
        root.mkdir()
        with (root / "big.bin").open("wb") as file:
            file.truncate(SIZE)
        (root / "small").write_bytes(b"small")
        async with AsyncExitStack() as stack:
            server = stack.enter_context(serving(root, directory / "log", "--grace", "0"))
            assert unspool("cat", f"{server.address}/small").out == b"small"
            base_memory, base_read = memory(server), read_by(server)
            proxy = await stack.enter_async_context(Proxy(server.address))
            proxy.bandwidth = bandwidth
            for _ in range(READERS):
                tap = await stack.enter_async_context(wiretap(proxy.address))
                call = tap.read(ReadRequest("big.bin"))
                stack.callback(call.cancel)
                if bandwidth is None:
                    await tap.next_frame(call)
            if bandwidth is None:
                proxy.stall()
            read = await until_still(server) - base_read
            assert read < READERS * MOST_PER_READER
            assert memory(server) - base_memory < READERS * MOST_PER_READER
            assert proxy.stats.to_client < READERS * (MOST_PER_READER if bandwidth is None else 4 * MIB)
            assert unspool("cat", f"{server.address}/small").out == b"small"


async def test_a_client_that_vanishes_gives_its_slot_back() -> None:
    """A client that disappears is detected by keepalive: its stream ends, its file is closed, reading stops."""
    store = FaultyStore(MemoryStore({"a": bytes(64 * MIB)}))
    options = ServerOptions(keepalive=0.5, keepalive_timeout=0.5)
    async with serve(store, options) as address, Proxy(address) as proxy, wiretap(proxy.address) as tap:
        call = tap.read(ReadRequest("a"))
        await tap.next_frame(call)
        assert store.open_files == 1
        proxy.stall()  # nothing passes any more, and the connection stays open
        async with asyncio.timeout(10):
            while store.open_files:
                await asyncio.sleep(0.01)
        read = store.bytes_read
        assert read < 64 * MIB
        async with Client(address) as other:
            assert await other.read("a", length=1) == b"\0"
        assert store.bytes_read == read + 1
        call.cancel()
