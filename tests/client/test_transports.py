"""Every transport follows the contract, however it gets the bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import pytest

from contract.batch_contract import BatchContract
from contract.transport_contract import DATA, ReadContract, TransportContract, until
from unspool.client.transport import Transport
from unspool.core.model import BatchRequest, ReadRequest, WantedFile
from unspool.errors import UnsupportedError
from unspool.rpc.demotransport import DemoTransport
from unspool.rpc.transport import GrpcTransport
from unspool.server.report import CallEnd
from unspool.stores import MemoryStore
from unspool.stores.base import Store
from unspool.testing import FaultyTransport, Recorder, StoreTransport, serve


class TestStoreTransport(TransportContract, BatchContract):
    """The contract."""

    @asynccontextmanager
    async def connected(self, store: Store) -> AsyncGenerator[Transport, None]:
        """No network at all."""
        yield StoreTransport(store)


class TestFaultyTransport(TransportContract, BatchContract):
    """The contract: without faults, no fault happens."""

    @asynccontextmanager
    async def connected(self, store: Store) -> AsyncGenerator[Transport, None]:
        """An empty script."""
        yield FaultyTransport(StoreTransport(store))


class TestGrpcTransport(TransportContract, BatchContract):
    """The contract."""

    @asynccontextmanager
    async def connected(self, store: Store) -> AsyncGenerator[Transport, None]:
        """A real server on loopback."""
        async with serve(store) as address:
            transport = GrpcTransport(address)
            yield transport
            await transport.aclose()


class TestDemoTransport(ReadContract):
    """The part of the contract that the tutorial's dialect supports."""

    @asynccontextmanager
    async def connected(self, store: Store) -> AsyncGenerator[Transport, None]:
        """The same server, in the other dialect."""
        async with serve(store) as address:
            transport = DemoTransport(address)
            yield transport
            await transport.aclose()


async def test_the_demo_dialect_has_no_batches() -> None:
    """A batch in the tutorial's dialect is refused before anything is sent."""
    transport = DemoTransport("127.0.0.1:1")
    with pytest.raises(UnsupportedError, match="cannot read 2 files at once"):
        await anext(transport.read_files(BatchRequest((WantedFile("a"), WantedFile("b")))))
    await transport.aclose()


async def test_the_server_learns_that_a_stream_was_left() -> None:
    """A stream that is closed early is cancelled at the server, in both dialects."""
    ends = Recorder[CallEnd]()
    async with serve(MemoryStore({"a.bin": DATA * 1000}), observers=[ends]) as address:
        for transport in (GrpcTransport(address), DemoTransport(address)):
            async with aclosing(transport.read(ReadRequest("a.bin"))) as frames:
                await anext(frames)
            await until(lambda: bool(ends))
            assert [end.outcome for end in ends] == ["CANCELLED"]
            ends.clear()
            await transport.aclose()
