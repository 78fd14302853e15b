"""The client's seam to a server: stat, list, read. Small enough to fake in ten lines.

Rule 1: a transport makes one attempt. It neither retries nor verifies: the drive loop and the receiver do.
Rule 2: it raises errors of unspool only. The caller's own cancellation passes through untouched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol, TypeAlias

import grpc

from unspool.core.model import FileInfo, Frame, ListRequest, Page, ReadRequest
from unspool.errors import UnspoolError
from unspool.rpc import wire

StreamMethod: TypeAlias = "grpc.aio.UnaryStreamMultiCallable[bytes, bytes]"


class Transport(Protocol):
    """One server, as the client sees it."""

    @property
    def source(self) -> str:
        """Which server and dialect, for the journal and for messages."""
        ...

    async def stat(self, name: str) -> FileInfo:
        """Return what the file is now. Raises any error a server may answer, and UnsupportedError if it cannot say."""
        ...

    def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Yield pages as they arrive. A page with no entries is a heartbeat."""
        ...

    def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """Yield the frames of one attempt, as they arrive. Closing the iterator ends the stream."""
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...


# What a client may rely on: nothing here needs a server's consent.
CHANNEL_OPTIONS: list[tuple[str, int]] = [
    # Our own budget decides when to try again; gRPC's (1 s growing to 120 s) would only make an attempt fail unmade.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 10_000),  # this one is how long connecting may take
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # What gRPC would try again behind our back would not be counted.
    ("grpc.enable_retries", 0),
    # Largest HTTP/2 frame: a block in one frame instead of 64. Measured: +13 % (docs/benchmarks.md).
    ("grpc.http2.max_frame_size", 4 << 20),
]


class GrpcTransport:
    """Speaks unspool.v1 over a channel that it owns.

    Args:
        target: `HOST:PORT`, or anything gRPC can resolve.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        # Without (de)serialisers: bytes in, bytes out, so that what does not parse is our error and not gRPC's log line.
        self._stat: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(f"/{wire.SERVICE}/StatFile")
        self._list: StreamMethod = self._channel.unary_stream(f"/{wire.SERVICE}/ListFiles")
        self._read: StreamMethod = self._channel.unary_stream(f"/{wire.SERVICE}/ReadFile")

    @property
    def source(self) -> str:
        """See `Transport.source`."""
        return self._target

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        call = self._stat(wire.encode_stat_request(name))
        try:
            return wire.decode_stat_response(await call)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raise await meaning_of(error, call, self._target) from error
        finally:
            call.cancel()

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        async with aclosing(messages(self._list(wire.encode_list_request(request)), self._target)) as incoming:
            async for message in incoming:
                yield wire.decode_page(message)

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        async with aclosing(messages(self._read(wire.encode_read_request(request)), self._target)) as incoming:
            async for message in incoming:
                yield wire.decode_frame(message)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._channel.close()


async def messages(call: grpc.aio.UnaryStreamCall[bytes, bytes], server: str) -> AsyncGenerator[bytes, None]:
    """Yield a stream's messages; raise what its status means; end it when nobody listens any more."""
    try:
        while isinstance(message := await call.read(), bytes):  # anything else is grpc.aio.EOF
            yield message
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        raise await meaning_of(error, call, server) from error
    finally:
        call.cancel()


async def meaning_of(
    error: grpc.aio.AioRpcError | asyncio.CancelledError, call: grpc.aio.Call, server: str
) -> UnspoolError | asyncio.CancelledError:
    """Return what the end of a call means.

    grpc.aio raises CancelledError for a stream that the other side reset with CANCEL, as proxies and dying servers do, just as
    for a task of ours that was cancelled. Only the latter is the caller's.
    """
    if isinstance(error, grpc.aio.AioRpcError):
        return wire.decode_error(error.code(), error.details(), error.trailing_metadata() or (), server=server)
    task = asyncio.current_task()
    if (task is not None and task.cancelling()) or not call.done():
        return error
    metadata = await call.trailing_metadata()
    return wire.decode_error(grpc.StatusCode.CANCELLED, await call.details(), metadata or (), server=server)
