"""Many streams at once, and streams that end early."""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from server.gates import GatedStore
from server.wiretap import StreamMethod, data_of, wiretap
from unspool import Client, FileService, LimitOptions, LocalStore, MemoryStore, ServerOptions
from unspool.core.model import ReadRequest
from unspool.errors import InvalidRequestError, OverloadedError, ServerError
from unspool.rpc.connection import bounded_options
from unspool.server.report import CallEnd
from unspool.stores import OpenFile
from unspool.testing import FaultyStore, Recorder, serve

MIB = 1 << 20


async def until_closed(store: FaultyStore) -> None:
    """Wait until no file is open."""
    while store.open_files:
        await asyncio.sleep(0.001)


async def test_a_reader_that_is_slow_holds_up_no_other() -> None:
    """While one client does not read, another gets the same file completely, even on the same connection."""
    data = os.urandom(32 * MIB)
    async with serve(MemoryStore({"a": data})) as address, wiretap(address) as tap:
        slow = tap.read(ReadRequest("a"))
        first = await tap.next_frame(slow)
        assert first is not None
        async with Client(address) as client:
            assert await client.read("a") == data
        assert data_of([first, *await tap.rest(slow)]) == data


async def test_a_store_that_is_stuck_on_one_file_holds_up_no_other() -> None:
    """While the store does not answer for one file, other files are served."""
    store = GatedStore({"stuck": b"0123", "fine": b"abcd"})
    gate = store.close_at(0, "stuck")
    async with serve(store) as address, Client(address) as client, asyncio.TaskGroup() as tasks:
        stuck = tasks.create_task(client.read("stuck"))
        await asyncio.sleep(0)
        assert await client.read("fine", start=1) == b"bcd"
        assert not stuck.done()
        gate.set()
        assert await stuck == b"0123"


@pytest.mark.parametrize("waiting", ["for the client", "for the store"])
async def test_when_the_client_has_gone_reading_stops(waiting: str, caplog: pytest.LogCaptureFixture) -> None:
    """If a client disconnects, reading ends and the file is closed; the call is logged as CANCELLED, without a traceback."""
    caplog.set_level(logging.INFO)
    store = FaultyStore(MemoryStore({"a": bytes(64 * MIB)}))
    ends = Recorder[CallEnd]()
    async with serve(store, observers=[ends]) as address, wiretap(address) as tap:
        call = tap.read(ReadRequest("a", attempt=3))
        await tap.next_frame(call)
        if waiting == "for the store":
            store.pause()
            draining = asyncio.create_task(tap.rest(call))
            await store.until_paused()
            draining.cancel()
        call.cancel()
        await until_closed(store)
        read = store.bytes_read
        store.resume()
        await asyncio.sleep(0)
        assert store.bytes_read == read < 64 * MIB
    (end,) = ends
    assert (end.outcome, end.message, end.attempt) == ("CANCELLED", "", 3)
    assert end.peer.startswith("ipv4:127.0.0.1:")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_no_more_is_read_than_the_client_takes() -> None:
    """If a client does not read, the server stops reading: the bytes in flight are bounded, whatever the size of the file."""
    store = FaultyStore(MemoryStore({"a": bytes(256 * MIB), "b": bytes(4 * MIB)}))
    async with serve(store) as address, wiretap(address) as tap, Client(address) as other:
        call = tap.read(ReadRequest("a"))
        await tap.next_frame(call)
        for _ in range(10):  # other work is the clock: ten times as much as the slow one needs to fill its share
            await other.read("b")
        assert store.bytes_read < 10 * 4 * MIB + 64 * MIB
        call.cancel()
        await until_closed(store)


@pytest.mark.parametrize("leaving", ["takes it", "cancels", "closes the connection"])
async def test_a_stream_has_its_place_until_its_last_message_is_taken(leaving: str, caplog: pytest.LogCaptureFixture) -> None:
    """Also the last message, while it waits for its reader, counts as a stream: until the reader has it, or leaves."""
    caplog.set_level(logging.INFO)
    ends = Recorder[CallEnd]()
    served = serve(
        MemoryStore({"a": bytes(MIB), "b": b"0123"}), ServerOptions(limits=LimitOptions(streams=1)), observers=[ends]
    )
    async with served as address, wiretap(address) as other, wiretap(address, bounded_options(MIB // 16)) as tap:
        call = tap.read(ReadRequest("a"))
        while not ends:
            await asyncio.sleep(0.001)
        with pytest.raises(OverloadedError):
            await other.frames(ReadRequest("b"))
        match leaving:
            case "takes it":
                (frame,) = await tap.rest(call)
                assert data_of([frame]) == bytes(MIB)
            case "cancels":
                call.cancel()
            case _:
                await tap.channel.close()
        while len(ends) < 10_000:
            with suppress(OverloadedError):
                assert data_of(await other.frames(ReadRequest("b"))) == b"0123"
                break
    assert ends[0].bytes == MIB
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not list a process's open files")
async def test_no_file_stays_open(tmp_path: Path) -> None:
    """Complete, cancelled and refused reads leave no descriptor open."""
    (tmp_path / "a").write_bytes(bytes(8 * MIB))

    def open_below() -> list[str]:
        links = []
        for link in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                links.append(str(link.readlink()))
        return [link for link in links if link.startswith(f"{tmp_path}/")]

    store = LocalStore(tmp_path)
    async with serve(store) as address, wiretap(address) as tap:
        for _ in range(10):
            call = tap.read(ReadRequest("a"))
            await tap.next_frame(call)
            call.cancel()
            await tap.frames(ReadRequest("a", start=MIB, length=1))
            with pytest.raises(Exception, match="asked for the bytes"):
                await tap.frames(ReadRequest("a", start=9 * MIB))
        while open_below():
            await asyncio.sleep(0.001)
    await store.aclose()


class BrokenStore(MemoryStore):
    """A store with a bug."""

    async def open(self, name: str, revision: str | None = None) -> OpenFile:  # type: ignore[override]  # the real one promises more
        """Raise an unexpected exception."""
        raise ZeroDivisionError("a secret of the server's")


async def test_a_bug_in_a_store_is_told_without_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is INTERNAL for the client, without details; the log has the traceback."""
    ends = Recorder[CallEnd]()
    async with serve(BrokenStore(), observers=[ends]) as address, wiretap(address) as tap:
        with pytest.raises(ServerError) as caught:
            await tap.frames(ReadRequest("a"))
    assert caught.value.message == "internal error: ZeroDivisionError"
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert [end.outcome for end in ends] == ["SERVER_ERROR"]


@pytest.mark.parametrize("method", ["ReadFile", "ListFiles", "StatFile"])
async def test_what_is_no_request_is_refused(method: str) -> None:
    """A malformed request is INVALID_ARGUMENT, and the server goes on."""
    async with serve(MemoryStore({"a": b"a"})) as address, wiretap(address) as tap:
        call: StreamMethod = tap.channel.unary_stream(f"/unspool.v1.FileService/{method}")
        refused = call(b"\xff\xff\xff")
        assert await refused.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(InvalidRequestError):
            await tap.next_message(refused)
        assert data_of(await tap.frames(ReadRequest("a"))) == b"a"


async def test_a_client_that_leaves_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A traceback of gRPC about a message that could not be sent is dropped; all others are logged."""
    FileService(MemoryStore()).add_to(grpc.aio.server())
    log = logging.getLogger("grpc._cython.cygrpc")
    for error in ('Failed "execute_batch": ...', "Failed grpc_call_start_batch: 8"):
        log.error("unexpected", exc_info=RuntimeError(error))
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == ["Failed grpc_call_start_batch: 8"]
