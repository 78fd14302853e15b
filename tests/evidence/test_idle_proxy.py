"""A proxy that cuts connections without traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from unspool import Client, MemoryStore, RetryPolicy, ServerOptions, ServiceOptions, TransferOptions
from unspool.testing import FaultyStore, serve
from unspool.testing.proxy import Proxy

PATIENCE = 0.6
"""Seconds without a byte after which the proxy cuts a connection."""

DATA = bytes(range(256)) * 1024


@asynccontextmanager
async def impatient(target: str) -> AsyncGenerator[Proxy, None]:
    """A proxy that cuts a connection when no byte has gone to the client for a while."""
    async with Proxy(target) as proxy:

        async def watch() -> None:
            while True:
                before = proxy.stats.to_client
                await asyncio.sleep(PATIENCE)
                if proxy.stats.to_client == before:
                    proxy.cut()

        watching = asyncio.create_task(watch())
        try:
            yield proxy
        finally:
            watching.cancel()


@pytest.mark.parametrize(("heartbeat", "cuts"), [(0.1, False), (60.0, True)], ids=["with heartbeats", "without"])
async def test_heartbeats_keep_a_proxy_from_cutting(tmp_path: Path, heartbeat: float, cuts: bool) -> None:  # noqa: FBT001
    """With heartbeats, and only with them, a transfer that waits for slow storage survives a proxy's idle timeout."""
    store = FaultyStore(MemoryStore({"a": DATA}))
    options = ServerOptions(service=ServiceOptions(heartbeat=heartbeat, block_size=4096))
    patient = TransferOptions(retry=RetryPolicy(first_wait=0.01))
    async with serve(store, options) as address, impatient(address) as proxy, Client(proxy.address, options=patient) as client:
        store.pause()
        getting = asyncio.create_task(client.get("a", tmp_path / "out"))
        await store.until_paused()
        await asyncio.sleep(3 * PATIENCE)
        assert (proxy.stats.cut > 0) is cuts
        store.resume()
        result = await getting
    assert (result.attempts > 1) is cuts
    assert (tmp_path / "out").read_bytes() == DATA
