"""The faulty store: without faults it follows the contract, over any store; its faults happen as requested."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.disk import overwrite
from unspool.core.model import Span
from unspool.errors import DataLossError, PermissionDeniedError
from unspool.stores import LocalStore, MemoryStore
from unspool.testing import FaultyStore
from unspool.testing.stock import BYTES, Stock, block_sizes, read, read_file, spans
from unspool.testing.storecontract import StoreContract

LOST = DataLossError("a.bin: lost")


class TestFaultyStoreOverMemory(StoreContract):
    """The contract, without faults."""

    @asynccontextmanager
    async def stocked(self, directory: Path) -> AsyncIterator[Stock]:
        """See `StoreContract.stocked`."""
        inner = MemoryStore()
        store = FaultyStore(inner)
        yield Stock(store, put=inner.put, remove=inner.remove)
        await store.aclose()


class TestFaultyStoreOverADirectory(StoreContract):
    """The contract, without faults, over a slow store."""

    @asynccontextmanager
    async def stocked(self, directory: Path) -> AsyncIterator[Stock]:
        """See `StoreContract.stocked`."""
        store = FaultyStore(LocalStore(directory, hidden=True))
        yield Stock(
            store,
            put=lambda name, data: overwrite(directory / name, data),
            remove=lambda name: (directory / name).unlink(),
        )
        await store.aclose()


def faulty() -> FaultyStore:
    """Make a store with one file."""
    return FaultyStore(MemoryStore({"a.bin": BYTES}))


@given(span=spans, block_size=block_sizes, at=st.integers(0, len(BYTES) - 1), silently=st.booleans())
async def test_a_fault_comes_at_its_byte(*, span: Span, block_size: int, at: int, silently: bool) -> None:
    """A read of the faulty byte gets every byte before it, then the error or a silent end; other reads get all bytes."""
    store = faulty()
    if silently:
        store.cut_short(at=at)
    else:
        store.fail(LOST, at=at)
    got = bytearray()
    caught = None
    async with aclosing(await store.open("a.bin")) as file:
        try:
            async for run in file.read(span, lambda _: block_size):
                assert run
                got += run
        except DataLossError as error:
            caught = error
    met = span.start <= at < span.stop
    assert got == BYTES[span.start : at if met else span.stop]
    assert caught is (LOST if met and not silently else None)
    assert store.bytes_read == len(got)
    assert store.reads == [("a.bin", span)]


async def test_a_fault_is_used_up() -> None:
    """A fault happens as often as requested, the one at the nearest byte first; after that there are no faults."""
    store = faulty()
    store.fail(LOST, at=700, times=2)
    store.fail(PermissionDeniedError("a.bin: not now"), at=300)
    lengths = []
    async with aclosing(await store.open("a.bin")) as file:
        for kind in (PermissionDeniedError, DataLossError, DataLossError):
            before = store.bytes_read
            with pytest.raises(kind):
                await read(file)
            lengths.append(store.bytes_read - before)
        assert await read(file) == BYTES
    assert lengths == [300, 700, 700]


async def test_opening_can_fail() -> None:
    """A fault without a byte is raised by `stat` and `open`, as often as requested."""
    store = faulty()
    store.fail(LOST, times=2)
    with pytest.raises(DataLossError):
        await store.stat("a.bin")
    with pytest.raises(DataLossError):
        await store.open("a.bin")
    assert (await read_file(store, "a.bin"))[1] == BYTES


async def test_a_pause_keeps_reads_waiting() -> None:
    """While the store is paused no read gets a byte; then all reads continue."""
    store = faulty()
    async with aclosing(await store.open("a.bin")) as file, aclosing(file.read(Span(0, 2000), lambda _: 500)) as runs:
        assert await anext(runs) == BYTES[:500]
        store.pause()
        readers = [asyncio.ensure_future(anext(runs)), asyncio.ensure_future(read_file(store, "a.bin"))]
        await store.until_paused()
        assert store.bytes_read == 500
        assert not any(reader.done() for reader in readers)
        store.resume()
        assert (await readers[0], (await readers[1])) == (BYTES[500:1000], (file.info, BYTES))


async def test_a_paused_read_can_be_cancelled() -> None:
    """A reader that is cancelled in the pause leaves a file that can be read again."""
    store = faulty()
    store.pause()
    async with aclosing(await store.open("a.bin")) as file:
        reader = asyncio.ensure_future(read(file))
        await store.until_paused()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        store.resume()
        assert await read(file) == BYTES


async def test_open_files_are_counted() -> None:
    """The store counts its open files; closing a file twice counts once."""
    store = faulty()
    first, second = await store.open("a.bin"), await store.open("a.bin")
    assert store.open_files == 2
    await first.aclose()
    await first.aclose()
    assert store.open_files == 1
    await second.aclose()
    assert store.open_files == 0
