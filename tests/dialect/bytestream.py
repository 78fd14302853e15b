"""A client of `google.bytestream.ByteStream` that is gRPC and the generated messages, and nothing of unspool's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import grpc

from unspool import ServerOptions, ServiceOptions
from unspool.rpc.bytestream import bytestream_pb2 as pb

PATH = "/google.bytestream.ByteStream"

ON = ServerOptions(service=ServiceOptions(dialects=("unspool", "bytestream")))
"""A server that speaks it."""

ReadCall: TypeAlias = "grpc.aio.UnaryStreamCall[pb.ReadRequest, pb.ReadResponse]"


class Peer:
    """A client with gRPC's defaults, among them that no message is larger than 4 MiB."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._read: grpc.aio.UnaryStreamMultiCallable[pb.ReadRequest, pb.ReadResponse] = channel.unary_stream(
            f"{PATH}/Read",
            request_serializer=pb.ReadRequest.SerializeToString,
            response_deserializer=pb.ReadResponse.FromString,
        )
        self._status: grpc.aio.UnaryUnaryMultiCallable[pb.QueryWriteStatusRequest, pb.QueryWriteStatusResponse] = (
            channel.unary_unary(
                f"{PATH}/QueryWriteStatus",
                request_serializer=pb.QueryWriteStatusRequest.SerializeToString,
                response_deserializer=pb.QueryWriteStatusResponse.FromString,
            )
        )

    def begin(self, name: str, offset: int = 0, limit: int = 0) -> ReadCall:
        """Begin a read."""
        return self._read(pb.ReadRequest(resource_name=name, read_offset=offset, read_limit=limit))

    async def messages(self, name: str, offset: int = 0, limit: int = 0) -> list[bytes]:
        """Return the data of each message of a read."""
        return [message.data async for message in self.begin(name, offset, limit)]

    async def read(self, name: str, offset: int = 0, limit: int = 0) -> bytes:
        """Return what a read brings."""
        return b"".join(await self.messages(name, offset, limit))

    async def refused(self, name: str, offset: int = 0, limit: int = 0) -> tuple[grpc.StatusCode, str]:
        """Return the status of a read that fails before its first byte."""
        return await failed(self.begin(name, offset, limit))

    async def status(self, name: str) -> pb.QueryWriteStatusResponse:
        """Ask how much was written."""
        return await self._status(pb.QueryWriteStatusRequest(resource_name=name))


async def failed(call: ReadCall) -> tuple[grpc.StatusCode, str]:
    """Return the status of a read that fails before its first byte."""
    try:
        data = [message.data async for message in call]
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError(f"it brought {len(data)} messages")


async def status_refused(client: Peer, name: str) -> tuple[grpc.StatusCode, str]:
    """Ask how much was written; return the status of the failure."""
    try:
        await client.status(name)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError("it was answered")


def write(address: str, requests: Iterator[pb.WriteRequest]) -> int:
    """Write; return how much was committed. Raises grpc.RpcError.

    By gRPC without asyncio: that of asyncio tells a client INTERNAL if the answer comes while it sends.
    """
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        write: grpc.StreamUnaryMultiCallable[pb.WriteRequest, pb.WriteResponse] = channel.stream_unary(
            f"{PATH}/Write",
            request_serializer=pb.WriteRequest.SerializeToString,
            response_deserializer=pb.WriteResponse.FromString,
        )
        return write(requests).committed_size


def write_refused(address: str, requests: Iterator[pb.WriteRequest]) -> tuple[grpc.StatusCode, str]:
    """Write; return the status of the failure."""
    try:
        size = write(address, requests)
    except grpc.RpcError as refused:
        error = refused
    else:
        raise AssertionError(f"it wrote {size} bytes")
    assert isinstance(error, grpc.Call)
    return error.code(), error.details() or ""


@asynccontextmanager
async def peer(address: str) -> AsyncGenerator[Peer, None]:
    """Connect to a server."""
    async with grpc.aio.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        yield Peer(channel)
