"""Heartbeats: a server sends them while it waits for its store, and only then."""

import asyncio
import gc

import grpc

from server.gates import GatedStore
from server.wiretap import data_of, is_heartbeat, wiretap
from unspool import ServerOptions, ServiceOptions
from unspool.core.model import Frame, ListRequest, ReadRequest
from unspool.rpc import wire
from unspool.server.outlet import Outlet
from unspool.testing import FaultyStore, serve

OFTEN = ServerOptions(service=ServiceOptions(heartbeat=0.002, block_size=4))

DATA = b"0123456789ab"


async def test_they_come_while_the_file_is_being_opened() -> None:
    """While the store opens a file slowly, heartbeats arrive before the header, and the read is complete."""
    store = GatedStore({"a": DATA})
    store.opening.clear()
    async with serve(store, OFTEN) as address, wiretap(address) as tap:
        call = tap.read(ReadRequest("a"))
        for _ in range(3):
            assert is_heartbeat(await tap.next_frame(call))
        store.opening.set()
        frames = [frame for frame in await tap.rest(call) if not is_heartbeat(frame)]
    assert frames[0].header is not None
    assert data_of(frames) == DATA


async def test_they_come_between_blocks() -> None:
    """While the store stalls in the middle, heartbeats arrive between the blocks, and no block is lost or doubled."""
    store = GatedStore({"a": DATA})
    gate = store.close_at(8)
    async with serve(store, OFTEN) as address, wiretap(address) as tap:
        call = tap.read(ReadRequest("a"))
        frames: list[Frame] = []
        while len(data_of(frames)) < 8:
            frame = await tap.next_frame(call)
            assert frame is not None
            frames.append(frame)
        for _ in range(3):
            assert is_heartbeat(await tap.next_frame(call))
        gate.set()
        frames += await tap.rest(call)
    assert data_of(frames) == DATA
    assert frames[-1].summary is not None


async def test_they_come_while_the_checksum_is_learned() -> None:
    """A resumed read reads the parts that are missing for the checksum at its end, and heartbeats arrive meanwhile."""
    store = GatedStore({"a": DATA})
    gate = store.close_at(0)
    async with serve(store, OFTEN) as address, wiretap(address) as tap:
        call = tap.read(ReadRequest("a", start=8))
        while is_heartbeat(frame := await tap.next_frame(call)):
            pass
        assert frame is not None
        assert frame.block is not None
        assert bytes(frame.block.data) == DATA[8:]
        assert frame.summary is None
        for _ in range(3):
            assert is_heartbeat(await tap.next_frame(call))
        gate.set()
        *_, last = await tap.rest(call)
    assert last.summary is not None
    assert last.summary.crc32c is not None


async def test_they_come_while_a_listing_waits() -> None:
    """While the store is slow to list, pages without entries arrive."""
    store = GatedStore({"a": b"", "b": b""})
    store.listing.clear()
    async with serve(store, OFTEN) as address, wiretap(address) as tap:
        call = tap.listing(ListRequest(page_size=1))
        seen: list[list[str]] = []
        while len(seen) < 4:
            message = await tap.next_message(call)
            assert message is not None
            seen.append([info.name for info in wire.decode_page(message).files])
        store.listing.set()
        while (message := await tap.next_message(call)) is not None:
            seen += [[info.name for info in wire.decode_page(message).files]]
    assert seen[0] == ["a"]
    assert seen[1:4] == [[], [], []]
    assert [names for names in seen if names] == [["a"], ["b"]]


async def test_none_come_while_the_reader_is_slow() -> None:
    """A server that waits for its reader sends no heartbeats, which would only accumulate."""
    store = GatedStore({"big": bytes(16 << 20), "waits": DATA})
    store.close_at(4, "waits")
    options = ServerOptions(service=ServiceOptions(heartbeat=0.002))
    async with serve(store, options) as address, wiretap(address) as tap, wiretap(address) as other:
        slow = tap.read(ReadRequest("big"))
        frames = [await tap.next_frame(slow)]
        # The heartbeats of another stream are the clock: long enough for the slow one to have had some too.
        waits = other.read(ReadRequest("waits", block_size=4))
        heard = 0
        while heard < 20:
            heard += is_heartbeat(await other.next_frame(waits))
        waits.cancel()
        frames += await tap.rest(slow)
    assert not any(is_heartbeat(frame) for frame in frames)
    assert len(data_of([frame for frame in frames if frame is not None])) == 16 << 20


async def test_a_heartbeat_to_nobody_is_no_complaint() -> None:
    """Heartbeats after the client has disconnected, before the handler knows it, cause no warning of asyncio."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    sent = 0
    enough = asyncio.Event()

    async def to_nobody(_: bytes) -> None:
        nonlocal sent
        sent += 1
        if sent == 3:
            enough.set()
        raise grpc.aio.InternalError

    async with Outlet(to_nobody, b"heartbeat", 0.001) as outlet:
        await outlet.patiently(enough.wait())
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_clients_that_leave_between_heartbeats_leave_no_trace() -> None:
    """Clients that disconnect while their streams send heartbeats end them: nothing stays open, and asyncio warns of none."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    store = FaultyStore(GatedStore({"a": DATA}))
    store.pause()
    async with serve(store, OFTEN) as address:
        for _ in range(20):
            async with wiretap(address) as tap:
                assert is_heartbeat(await tap.next_frame(tap.read(ReadRequest("a"))))
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
    assert store.open_files == 0
    assert len(store.reads) == 20
