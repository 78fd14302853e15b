"""How streams and connections can end: each end has its own error, and only the caller's cancellation is a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from random import Random

import grpc
import pytest

from client.handmade import Context, handmade, nobody, resetting, talking
from client.lab import JOURNAL, PART, names_in
from contract.transport_contract import DATA, frames_of, until
from unspool.client.client import Client
from unspool.client.events import Advanced, Event, Retrying
from unspool.core.model import Block, FileInfo, Frame, Header, ListRequest, Page, ReadRequest
from unspool.core.retry import RetryPolicy
from unspool.errors import (
    ConnectError,
    InvalidRequestError,
    OverloadedError,
    ProtocolError,
    StalledError,
    TransferError,
    UnreachableError,
    UnspoolError,
    UnsupportedError,
)
from unspool.options import ServerOptions, TransferOptions
from unspool.rpc import status, wire
from unspool.rpc.transport import GrpcTransport
from unspool.server.server import Server
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, FaultyStore, serve

NAME = "a.bin"
INFO = FileInfo(NAME, 1000, "r1")
FIRST = Frame(Header(INFO, 0, 1000), Block(0, b"data", 0x6087809A))

CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


async def ended(transport: GrpcTransport) -> tuple[int, UnspoolError]:
    """Read until the error; return the number of frames before it."""
    count = 0
    try:
        async with aclosing(transport.read(ReadRequest(NAME))) as frames:
            async for _ in frames:
                count += 1
    except UnspoolError as error:
        return count, error
    raise AssertionError("no error")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("after", [0, 1, 3])
async def test_every_status_has_its_error(code: grpc.StatusCode, after: int) -> None:
    """Every status that ends a read, before its header or in its middle, becomes the error of the table, CANCELLED included."""

    async def read_file(request: bytes, context: Context) -> None:
        for _ in range(after):
            await context.write(wire.encode_frame(FIRST))
        await context.abort(code, "as told")

    async with handmade(ReadFile=read_file) as address:
        transport = GrpcTransport(address)
        count, error = await ended(transport)
        await transport.aclose()
    assert count == after
    assert type(error) is status.FROM_STATUS[code]
    assert "as told" in error.message
    assert isinstance(error.__cause__, grpc.aio.AioRpcError)


@pytest.mark.parametrize("code", CODES)
async def test_every_status_of_stat_and_list(code: grpc.StatusCode) -> None:
    """Every status that ends a stat or a listing becomes the error of the table."""

    async def stat(request: bytes, context: Context) -> bytes:
        await context.abort(code, "as told")
        raise AssertionError

    async def list_files(request: bytes, context: Context) -> None:
        await context.write(wire.encode_page(Page()))
        await context.abort(code, "as told")

    async with handmade(stat=stat, ListFiles=list_files) as address:
        transport = GrpcTransport(address)
        with pytest.raises(UnspoolError) as of_stat:
            await transport.stat(NAME)
        async with aclosing(transport.list(ListRequest())) as pages:
            assert await anext(pages) == Page()
            with pytest.raises(UnspoolError) as of_list:
                await anext(pages)
        await transport.aclose()
    assert type(of_stat.value) is type(of_list.value) is status.FROM_STATUS[code]


async def test_another_method_is_not_there() -> None:
    """A server that does not speak the protocol has its own error, which says what to do."""
    async with handmade("demo.Files") as address:
        transport = GrpcTransport(address)
        with pytest.raises(UnsupportedError, match="dialect"):
            await transport.stat(NAME)
        await transport.aclose()


@pytest.mark.parametrize("code", [0, 2, 3, 7, 8, 11], ids=["none", "internal", "flow", "refused", "cancel", "calm"])
async def test_a_reset_stream_is_a_broken_transfer(code: int) -> None:
    """A stream that is reset, also with CANCEL, is a retryable error and not a cancellation by the caller."""
    async with talking(resetting(code)) as address:
        transport = GrpcTransport(address)
        for call in (frames_of(transport, ReadRequest(NAME)), transport.stat(NAME)):
            with pytest.raises(TransferError) as caught:
                await call
            assert caught.value.retryable
        await transport.aclose()


async def test_a_cancel_by_the_server_is_tried_again(tmp_path: Path) -> None:
    """A download that the server cancels is retried like any broken one, until the budget is spent."""
    attempts = 0

    async def read_file(request: bytes, context: Context) -> None:
        nonlocal attempts
        attempts += 1
        await context.abort(grpc.StatusCode.CANCELLED, "by a proxy")

    clock = FakeClock()
    options = TransferOptions(retry=RetryPolicy(budget=3))
    async with (
        handmade(ReadFile=read_file) as address,
        Client(address, options=options, clock=clock, random=Random(0)) as client,
    ):
        with pytest.raises(UnreachableError, match="by a proxy"):
            await client.get(NAME, tmp_path / "b.bin")
    assert attempts == 3
    assert len(clock.slept) == 2


@pytest.mark.parametrize("garbage", [b"\xff\xff", b"\x0a\x05ab", b"\x12\x02\x18"])
async def test_messages_that_are_none(garbage: bytes) -> None:
    """A malformed message is a protocol error, wherever it comes."""

    async def answer(request: bytes, context: Context) -> bytes:
        return garbage

    async def stream(request: bytes, context: Context) -> None:
        await context.write(garbage)

    async with handmade(stat=answer, ReadFile=stream, ListFiles=stream) as address:
        transport = GrpcTransport(address)
        with pytest.raises(ProtocolError):
            await transport.stat(NAME)
        with pytest.raises(ProtocolError):
            await frames_of(transport, ReadRequest(NAME))
        with pytest.raises(ProtocolError):
            await anext(transport.list(ListRequest()))
        await transport.aclose()


async def test_a_message_that_is_too_large_is_no_overload() -> None:
    """A message above gRPC's limit is a protocol error: it is reported at once and not retried."""

    async def read_file(request: bytes, context: Context) -> None:
        await context.write(bytes(5 << 20))

    async with handmade(ReadFile=read_file) as address:
        transport = GrpcTransport(address)
        came, error = await ended(transport)
        await transport.aclose()
    assert (came, type(error), error.retryable) == (0, ProtocolError, False)
    assert "larger than max" in error.message


async def test_a_wait_asked_for_is_waited(tmp_path: Path) -> None:
    """The client waits at least as long as the server's RetryInfo says."""
    store = FaultyStore(MemoryStore({NAME: DATA}))
    store.fail(OverloadedError("later", retry_after=7.25), at=len(DATA) - 1)
    clock = FakeClock()
    async with serve(store) as address, Client(address, clock=clock, random=Random(0)) as client:
        result = await client.get(NAME, tmp_path / "b.bin")
    assert result.attempts == 2
    assert len(clock.slept) == 1
    assert 7.25 <= clock.slept[0] <= 7.5
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_a_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """If the server is stopped in the middle of a stream and started again, the download resumes where it was."""
    data = DATA * 200
    store = FaultyStore(MemoryStore({NAME: data}))
    paused = False

    class Pausing:
        """Pauses the store at the first block, so that the server cannot be finished by then."""

        def notify(self, event: Event) -> None:
            nonlocal paused
            if isinstance(event, Advanced) and not paused:
                paused = True
                store.pause()

    async with Client((address := nobody()), random=Random(0)) as client:
        async with Server(store, address, ServerOptions(grace=0)):
            download = asyncio.create_task(client.get(NAME, tmp_path / "b.bin", observers=[Pausing()]))
            await store.until_paused()
        assert not download.done()
        store.resume()
        async with Server(store, address):
            result = await download
    assert result.attempts > 1
    assert store.reads[-1][1].start > 0
    assert (result.restarts, result.bytes_received, result.verified) == (0, len(data), "file")
    assert (tmp_path / "b.bin").read_bytes() == data


async def test_nobody_listens(tmp_path: Path) -> None:
    """If no server listens, the first attempt is the last, and the error names the server."""
    clock = FakeClock()
    address = nobody()
    async with Client(address, options=TransferOptions(retry=RetryPolicy(budget=3)), clock=clock) as client:
        with pytest.raises(ConnectError, match=f"{address}: nobody listens there"):
            await client.get(NAME, tmp_path / "b.bin")
        with pytest.raises(ConnectError, match=address):
            await client.stat(NAME)
    assert clock.slept == []
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("words", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100)])
async def test_another_kind_of_server(words: bytes) -> None:
    """A server of another kind leads to an error of unspool."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()

    async with talking(talk) as address:
        transport = GrpcTransport(address)
        with pytest.raises(TransferError):
            await frames_of(transport, ReadRequest(NAME))
        with pytest.raises(TransferError):
            await transport.stat(NAME)
        await transport.aclose()


async def test_a_server_that_says_nothing() -> None:
    """If a server accepts the connection and never answers, the idle timeout ends the call."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    options = TransferOptions(idle_timeout=0.1, retry=RetryPolicy(budget=0))
    async with talking(talk) as address, Client(address, options=options) as client:
        with pytest.raises(StalledError):
            await client.stat(NAME)
        with pytest.raises(StalledError):
            await client.read(NAME)
        with pytest.raises(StalledError):
            await anext(client.list())


async def test_a_caller_with_a_deadline_of_its_own() -> None:
    """A caller's timeout around a call is raised as such: it is not a stall, and nothing is retried."""
    store = FaultyStore(MemoryStore({NAME: DATA}))
    store.pause()
    async with serve(store) as address, Client(address) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.read(NAME)
        await until(lambda: store.open_files == 0)
        assert len(store.reads) == 1


async def test_a_client_that_is_closed_ends_its_transfers(tmp_path: Path) -> None:
    """Closing a client fails its running calls at once with an error of unspool; bytes that arrived are kept."""
    data = DATA * 200
    store = FaultyStore(MemoryStore({NAME: data}))
    async with serve(store) as address:
        client = Client(address)

        events: list[Event] = []

        class Closing:
            def notify(self, event: Event) -> None:
                events.append(event)
                if isinstance(event, Advanced):
                    store.pause()

        download = asyncio.create_task(client.get(NAME, tmp_path / "b.bin", observers=[Closing()]))
        await store.until_paused()
        await client.aclose()
        with pytest.raises(InvalidRequestError, match="closed"):
            await download
        assert not [event for event in events if isinstance(event, Retrying)]
        assert names_in(tmp_path) == [JOURNAL, PART]
        store.resume()
        async with Client(address) as another:
            result = await another.get(NAME, tmp_path / "b.bin")
        assert result.resumed_from > 0
        assert (tmp_path / "b.bin").read_bytes() == data


async def test_a_client_that_is_closed_does_nothing_more(tmp_path: Path) -> None:
    """Every call of a closed client raises InvalidRequestError."""
    async with serve(MemoryStore({NAME: DATA})) as address:
        async with Client(address) as client:
            await client.stat(NAME)
        with pytest.raises(InvalidRequestError, match="closed"):
            await client.stat(NAME)
        with pytest.raises(InvalidRequestError, match="closed"):
            await client.read(NAME)
        with pytest.raises(InvalidRequestError, match="closed"):
            await client.get(NAME, tmp_path / "b.bin")
        with pytest.raises(InvalidRequestError, match="closed"):
            await anext(client.list())
