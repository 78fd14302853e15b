"""The bad network: its effect on a real transfer, which completes all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from unspool import Client, MemoryStore, RetryPolicy, TransferOptions
from unspool.client.events import Event, Retrying
from unspool.errors import StalledError
from unspool.testing import serve
from unspool.testing.proxy import Proxy

DATA = Random(0).randbytes(3 << 20)
OPTIONS = TransferOptions(idle_timeout=0.5, retry=RetryPolicy(first_wait=0.001))


async def test_a_transfer_gets_through_connections_that_are_cut_again_and_again(tmp_path: Path) -> None:
    """A connection that is cut after every megabyte costs only attempts."""
    async with serve(MemoryStore({"f": DATA})) as server, Proxy(server) as proxy:
        proxy.cut_after = 1 << 20
        options = TransferOptions(idle_timeout=5, retry=OPTIONS.retry, block_size=65536)
        async with Client(proxy.address, options=options) as client:
            result = await client.get("f", tmp_path / "out")
        assert proxy.stats.cut >= 3
        assert result.attempts == proxy.stats.cut + 1
    assert (tmp_path / "out").read_bytes() == DATA
    assert result.bytes_received == len(DATA)


async def test_bytes_that_are_corrupted_on_the_way_never_arrive(tmp_path: Path) -> None:
    """A bit that is flipped on the network is detected, and the file is correct."""
    for after in (10_000, 1_000_000, 2_000_000):
        async with serve(MemoryStore({"f": DATA})) as server, Proxy(server) as proxy:
            proxy.corrupt_after = after
            async with Client(proxy.address, options=OPTIONS) as client:
                await client.get("f", tmp_path / str(after))
            assert proxy.stats.corrupted == 1
        assert (tmp_path / str(after)).read_bytes() == DATA


async def test_a_stall_is_noticed_and_gone_on_from(tmp_path: Path) -> None:
    """A silent connection is given up after the idle timeout, and the download continues on another."""
    async with serve(MemoryStore({"f": DATA})) as server, Proxy(server) as proxy:
        proxy.bandwidth = 4e6
        retried = asyncio.Event()

        class Watch:
            def notify(self, event: Event) -> None:
                if isinstance(event, Retrying):
                    assert isinstance(event.error, StalledError)
                    retried.set()

        async with Client(proxy.address, options=OPTIONS) as client:
            getting = asyncio.ensure_future(client.get("f", tmp_path / "out", observers=[Watch()]))
            while proxy.stats.to_client < 500_000:
                await asyncio.sleep(0.001)
            proxy.stall()
            passed = proxy.stats.to_client
            while not retried.is_set():
                await asyncio.sleep(0.01)
            assert proxy.stats.to_client == passed
            proxy.resume()
            result = await getting
    assert (tmp_path / "out").read_bytes() == DATA
    assert result.bytes_received == len(DATA)


async def test_delay_and_bandwidth_are_what_they_say() -> None:
    """Bytes take at least as long as the delay and the bandwidth require."""
    loop = asyncio.get_running_loop()
    async with serve(MemoryStore({"f": DATA})) as server, Proxy(server) as proxy:
        proxy.delay = 0.05
        async with Client(proxy.address) as client:
            started = loop.time()
            await client.stat("f")
            assert loop.time() - started >= 0.1
        proxy.delay, proxy.bandwidth = 0.0, 10e6
        async with Client(proxy.address) as client:
            started = loop.time()
            assert await client.read("f") == DATA
            assert loop.time() - started >= len(DATA) / 10e6 * 0.9


async def test_leaving_leaves_nothing_behind() -> None:
    """A proxy that is closed during transfers leaves no task."""
    before = asyncio.all_tasks()
    async with serve(MemoryStore({"f": DATA})) as server, Proxy(server) as proxy:
        proxy.stall()
        async with Client(proxy.address, options=TransferOptions(retry=RetryPolicy(budget=0))) as client:
            getting = asyncio.ensure_future(client.read("f"))
            while not proxy.stats.connections:
                await asyncio.sleep(0.001)
            getting.cancel()
            await asyncio.gather(getting, return_exceptions=True)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


async def test_connections_are_cut_at_random(tmp_path: Path) -> None:
    """With a chance per MiB, connections are cut at random bytes, and the file arrives completely."""
    async with serve(MemoryStore({"f": DATA})) as server, Proxy(server, Random(5)) as proxy:
        proxy.cut_chance = 0.6
        options = TransferOptions(idle_timeout=5, retry=OPTIONS.retry, block_size=65536)
        async with Client(proxy.address, options=options) as client:
            for number in range(3):
                before = proxy.stats.cut
                result = await client.get("f", tmp_path / str(number))
                assert result.attempts == proxy.stats.cut - before + 1
                assert (tmp_path / str(number)).read_bytes() == DATA
        assert proxy.stats.cut > 0


async def test_connections_may_share_one_line(tmp_path: Path) -> None:
    """Two downloads over a shared line take at least as long as its bandwidth requires for both together."""
    async with serve(MemoryStore({"f": DATA})) as server, Proxy(server) as proxy:
        proxy.bandwidth, proxy.shared = 20e6, True
        async with Client(proxy.address) as one, Client(proxy.address) as other:
            began = asyncio.get_running_loop().time()
            await asyncio.gather(one.get("f", tmp_path / "one"), other.get("f", tmp_path / "other"))
            seconds = asyncio.get_running_loop().time() - began
    assert seconds >= 2 * len(DATA) / 20e6 * 0.8
