"""A silent connection is replaced by one new connection, and closed when no call uses it any more."""

from __future__ import annotations

import asyncio

import pytest

from client.lab import BLOCK, DATA, NAME
from contract.transport_contract import frames_of, until
from unspool.client.client import Client
from unspool.core.model import ReadRequest
from unspool.core.windows import FEW
from unspool.errors import InvalidRequestError
from unspool.options import TransferOptions
from unspool.rpc.transport import GrpcTransport
from unspool.stores import MemoryStore
from unspool.testing import FaultyStore, serve
from unspool.testing.proxy import Proxy

REQUEST = ReadRequest(NAME, block_size=BLOCK)


async def given_up(transport: GrpcTransport) -> None:
    """Begin a read on a paused store, and stop waiting for it."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await frames_of(transport, REQUEST)


@pytest.mark.parametrize("streams", [1, FEW])
async def test_a_stall_is_followed_by_another_connection(streams: int) -> None:
    """However many transfers find the connection silent, there is one new connection, and all transfers succeed on it."""
    async with serve(MemoryStore({NAME: DATA})) as address, Proxy(address) as proxy:
        async with Client(proxy.address, options=TransferOptions(idle_timeout=0.3)) as client:
            await client.stat(NAME)
            proxy.stall()
            reads = [asyncio.create_task(client.read(NAME)) for _ in range(streams)]
            await until(lambda: proxy.stats.connections == 2)
            proxy.resume()
            assert await asyncio.gather(*reads) == [DATA] * streams
            await client.stat(NAME)
        assert proxy.stats.connections == 2


async def test_calls_that_run_keep_their_connection() -> None:
    """Replacing a connection does not end calls that run on it; later calls use the new one."""
    store = FaultyStore(MemoryStore({NAME: DATA}))
    async with serve(store) as address, Proxy(address) as proxy:
        transport = GrpcTransport(proxy.address)
        store.pause()
        running = asyncio.create_task(frames_of(transport, REQUEST))
        await store.until_paused()
        await given_up(transport)
        transport.renew()
        store.resume()
        assert len(await running) == 11
        assert proxy.stats.connections == 1
        assert len(await frames_of(transport, REQUEST)) == 11
        assert proxy.stats.connections == 2
        await transport.aclose()


async def test_only_what_was_given_up_is_replaced() -> None:
    """A connection is not replaced if no caller stopped waiting for a call on it."""
    async with serve(MemoryStore({NAME: DATA})) as address, Proxy(address) as proxy:
        transport = GrpcTransport(proxy.address)
        for _ in range(3):
            assert len(await frames_of(transport, REQUEST)) == 11
            transport.renew()
        assert proxy.stats.connections == 1
        await transport.aclose()


async def test_closing_ends_calls_on_a_connection_that_was_replaced() -> None:
    """Closing a client also fails calls that run on a replaced connection."""
    store = FaultyStore(MemoryStore({NAME: DATA}))
    async with serve(store) as address:
        transport = GrpcTransport(address)
        store.pause()
        running = asyncio.create_task(frames_of(transport, REQUEST))
        await store.until_paused()
        await given_up(transport)
        transport.renew()
        await transport.aclose()
        with pytest.raises(InvalidRequestError, match="closed"):
            await running
        transport.renew()
        with pytest.raises(InvalidRequestError, match="closed"):
            await frames_of(transport, REQUEST)
        await until(lambda: store.open_files == 0)
