"""Shutting down: how a server treats new and running streams between SIGTERM and its end."""

import asyncio
import logging
import time

import pytest

from server.gates import GatedStore
from server.wiretap import data_of, wiretap
from unspool import Client, MemoryStore, Server, ServerOptions, ServiceOptions
from unspool.core.model import ListRequest, ReadRequest
from unspool.errors import InvalidRequestError, UnreachableError
from unspool.rpc.connection import bounded_options
from unspool.server import server as server_module
from unspool.server.report import CallEnd
from unspool.testing import FaultyStore, Recorder

BLOCKS = ServerOptions(grace=30, service=ServiceOptions(block_size=4))

DATA = b"0123456789ab"


async def test_new_streams_are_refused_and_running_ones_finish() -> None:
    """While the server drains, new calls are refused with a wait of a second, and running ones get all their bytes."""
    store = GatedStore({"a": DATA})
    gate = store.close_at(8)
    server = Server(store, options=BLOCKS)
    async with wiretap(await server.start()) as tap:
        running = tap.read(ReadRequest("a"))
        first = await tap.next_frame(running)
        assert first is not None
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        for refused in (tap.read(ReadRequest("a")), tap.listing(ListRequest())):
            with pytest.raises(UnreachableError, match="going away") as caught:
                await tap.next_message(refused)
            assert caught.value.retry_after == 1.0
        assert not stopping.done()
        gate.set()
        frames = [first, *await tap.rest(running)]
        assert data_of(frames) == DATA
        assert frames[-1].summary is not None
        await stopping


@pytest.mark.parametrize("where", ["opening", "header", "block", "checksum", "listing"])
async def test_streams_that_wait_for_the_store_are_told_to_come_back(where: str) -> None:
    """After the grace time a stream that waits for its store, at any point, ends with UNAVAILABLE and RetryInfo."""
    store = GatedStore({"a": DATA, "b": b""})
    faulty = FaultyStore(store)
    ends = Recorder[CallEnd]()
    server = Server(faulty, "127.0.0.1:0", BLOCKS, [ends])
    async with wiretap(await server.start()) as tap:
        match where:
            case "opening":
                store.opening.clear()
                call = tap.read(ReadRequest("a"))
                while not server._service.active:
                    await asyncio.sleep(0.001)
            case "listing":
                store.listing.clear()
                call = tap.listing(ListRequest(page_size=1))
                await tap.next_message(call)
            case _:
                store.close_at({"header": 8, "block": 4, "checksum": 0}[where])
                call = tap.read(ReadRequest("a", start=0 if where == "block" else 8))
                if where == "header":
                    await faulty_read_began(faulty)
                else:
                    await tap.next_message(call)
        await server.stop(grace=0.01)
        with pytest.raises(UnreachableError, match="going away") as caught:
            await tap.next_message(call)
        assert caught.value.retry_after == 1.0
    assert faulty.open_files == 0
    assert [end.outcome for end in ends] == ["UNAVAILABLE"]


async def faulty_read_began(store: FaultyStore) -> None:
    """Wait until a client reads."""
    while not store.reads:
        await asyncio.sleep(0.001)


async def test_a_slow_reader_is_told_to_come_back() -> None:
    """After the grace time a slow reader gets the bytes that were sent, then UNAVAILABLE and RetryInfo."""
    ends = Recorder[CallEnd]()
    server = Server(MemoryStore({"a": bytes(64 << 20)}), observers=[ends])
    async with wiretap(await server.start()) as tap:
        call = tap.read(ReadRequest("a"))
        await tap.next_frame(call)
        stopping = asyncio.create_task(server.stop(grace=0.01))
        while not ends:
            await asyncio.sleep(0.001)
        with pytest.raises(UnreachableError, match="going away") as caught:
            await tap.rest(call)
        assert caught.value.retry_after == 1.0
        await stopping
    (end,) = ends
    assert end.outcome == "UNAVAILABLE"
    assert 0 < end.bytes < 64 << 20


async def test_a_reader_that_lacks_only_the_last_message_gets_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After the grace time the last message, which waits for its reader, is not taken back."""
    monkeypatch.setattr(server_module, "_CLOSING", 60)
    caplog.set_level(logging.INFO)
    ends = Recorder[CallEnd]()
    server = Server(MemoryStore({"a": bytes(1 << 20)}), observers=[ends])
    async with wiretap(await server.start(), bounded_options(1 << 16)) as tap:
        call = tap.read(ReadRequest("a"))
        while not ends:
            await asyncio.sleep(0.001)
        stopping = asyncio.create_task(server.stop(grace=0.0))
        while "still running after the grace time" not in caplog.text:
            await asyncio.sleep(0.001)
        (frame,) = await tap.rest(call)
        await stopping
    assert frame.block is not None
    assert frame.block.data == bytes(1 << 20)


async def test_a_reader_that_reads_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that does not read at all cannot delay the end of the server, and its connection is closed."""
    monkeypatch.setattr(server_module, "_CLOSING", 0.05)
    server = Server(MemoryStore({"a": bytes(64 << 20)}))
    async with wiretap(await server.start()) as tap:
        call = tap.read(ReadRequest("a"))
        await tap.next_frame(call)
        began = time.monotonic()
        await server.stop(grace=0.01)
        assert time.monotonic() - began < 5
        with pytest.raises(UnreachableError):
            await tap.rest(call)


async def test_an_idle_server_stops_at_once() -> None:
    """Open connections without streams do not make the server wait for its grace time."""
    server = Server(MemoryStore({"a": DATA}), options=ServerOptions(grace=60))
    async with Client(await server.start()) as client:
        assert await client.read("a") == DATA
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 5


async def test_a_client_that_left_while_draining_ends_the_wait() -> None:
    """The drain does not wait for clients that have disconnected."""
    store = GatedStore({"a": DATA})
    store.close_at(4)
    ends = Recorder[CallEnd]()
    server = Server(store, "127.0.0.1:0", BLOCKS, [ends])
    async with wiretap(await server.start()) as tap:
        call = tap.read(ReadRequest("a"))
        await tap.next_frame(call)
        stopping = asyncio.create_task(server.stop(grace=60))
        await asyncio.sleep(0)
        call.cancel()
        await stopping
    assert [end.outcome for end in ends] == ["CANCELLED"]


async def test_a_client_that_is_cut_off_finds_its_next_server() -> None:
    """A client whose server shuts down waits as long as it is told, and continues with the next server by itself."""
    store = GatedStore({"a": DATA})
    gate = store.close_at(8)
    ends = Recorder[CallEnd]()
    server = Server(store, "127.0.0.1:0", BLOCKS, [ends])
    address = await server.start()
    async with Client(address) as client:
        reading = asyncio.create_task(client.read("a"))
        await store.waited_for.wait()
        await server.stop(grace=0.01)
        gate.set()
        async with Server(store, address, BLOCKS, [ends]):
            assert await reading == DATA
    first, second = ends
    assert (first.outcome, first.attempt, second.outcome) == ("UNAVAILABLE", 1, "OK")
    assert second.start == first.bytes
    assert second.transfer_id == first.transfer_id


async def test_leaving_with_an_error_does_not_wait() -> None:
    """If `async with Server` is left by an error, running streams get no grace time."""
    store = GatedStore({"a": DATA})
    store.close_at(4)
    began = time.monotonic()

    async def fail() -> None:
        async with Server(store, options=ServerOptions(grace=60)) as server, wiretap(server.address) as tap:
            await tap.next_frame(tap.read(ReadRequest("a", block_size=4)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert time.monotonic() - began < 5


async def test_two_servers_cannot_share_an_address() -> None:
    """A second server on the same port is refused; gRPC's default would divide the clients between both."""
    async with Server(MemoryStore()) as server:
        other = Server(MemoryStore(), server.address)
        with pytest.raises(InvalidRequestError, match="cannot listen on"):
            await other.start()
