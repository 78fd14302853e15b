"""Proxies that lose the trailers of a stream, or turn them into headers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from unspool import Client, MemoryStore, RetryPolicy, ServiceOptions, TransferOptions
from unspool.client.events import Advanced, Event, Retrying
from unspool.errors import NotFoundError, OverloadedError, ServerError, UnspoolError
from unspool.rpc import status, wire
from unspool.testing import Recorder
from unspool.testing.faults import StoreTransport
from unspool.testing.http2 import Http2Connection

Answer = Callable[[Http2Connection, int, bytes], object]

DATA = bytes(range(256)) * 64
PATIENT = TransferOptions(retry=RetryPolicy(first_wait=0.001))


@asynccontextmanager
async def answering(answer: Answer) -> AsyncGenerator[str, None]:
    """Run an HTTP/2 server that answers every call like this; yields `HOST:PORT`."""
    connections: set[Http2Connection] = set()

    async def call(connection: Http2Connection, stream: int, headers: dict[str, str], request: bytes) -> None:
        going = answer(connection, stream, request)
        if asyncio.iscoroutine(going):
            await going

    server = await asyncio.get_running_loop().create_server(lambda: Http2Connection(call, connections), "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        for connection in list(connections):
            await connection.aclose()


def _as_headers(error: UnspoolError) -> Answer:
    """Answer with this error as headers and then end the stream, as a proxy does that sends trailers as headers."""
    code, message, ((key, details),) = status.encode_error(error)

    def answer(connection: Http2Connection, stream: int, request: bytes) -> None:
        headers = [
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", str(code.value[0])),
            ("grpc-message", message),
            (key, base64.b64encode(details).decode().rstrip("=")),
        ]
        connection.http.send_headers(stream, headers)
        connection.flush()
        connection.http.end_stream(stream)
        connection.flush()

    return answer


ERRORS: list[tuple[UnspoolError, type[UnspoolError]]] = [
    (NotFoundError("a.bin: no such file", name="a.bin"), NotFoundError),
    (OverloadedError("too many streams", retry_after=0.25), OverloadedError),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=lambda it: it.__name__ if isinstance(it, type) else "")
async def test_an_error_whose_trailers_became_headers_is_still_that_error(
    error: UnspoolError, kind: type[UnspoolError]
) -> None:
    """Reason, message, name and wait of an error survive a proxy that sends trailers as headers."""
    once = TransferOptions(retry=RetryPolicy(budget=1))
    async with answering(_as_headers(error)) as address, Client(address, options=once) as client:
        with pytest.raises(kind) as caught:
            await client.stat("a.bin")
    assert (caught.value.message, caught.value.name, caught.value.retry_after) == (error.message, error.name, error.retry_after)


class Watching(Recorder[Event]):
    """Sets an event when a block has arrived."""

    blocks: asyncio.Semaphore

    def notify(self, event: Event) -> None:
        """See `Recorder.notify`."""
        super().notify(event)
        if isinstance(event, Advanced):
            self.blocks.release()


async def test_a_stream_that_ends_without_trailers_is_broken_and_goes_on(tmp_path: Path) -> None:
    """A stream that a proxy ends without a status costs an attempt and no byte."""
    store = StoreTransport(MemoryStore({"a.bin": DATA}), ServiceOptions(block_size=4096))
    ends_after = iter([1, 1, 1])
    recorder = Watching()

    async def answer(connection: Http2Connection, stream: int, request: bytes) -> None:
        left = next(ends_after, None)
        connection.send_headers(stream)
        async for frame in store.read(wire.decode_read_request(request)):
            recorder.blocks = asyncio.Semaphore(0)
            await connection.send_message(stream, wire.encode_frame(frame))
            left = left - 1 if left is not None else None
            if left == 0:
                await recorder.blocks.acquire()  # gRPC discards bytes that have not been read when a stream breaks
                break
        else:
            connection.send_status(stream, grpc.StatusCode.OK)
            return
        connection.http.end_stream(stream)
        connection.flush()

    async with answering(answer) as address, Client(address, options=PATIENT, observers=[recorder]) as client:
        result = await client.get("a.bin", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA
    assert result.attempts == 4
    assert result.bytes_received == len(DATA)
    broken = [event.error for event in recorder if isinstance(event, Retrying)]
    assert [type(error) for error in broken] == [ServerError] * 3
    assert all("(UNKNOWN)" in error.message for error in broken)
