"""The tutorial's dialect, `demo.Files/GetFile`, both ways.

It has a name, the number of the chunk to start with, and numbered chunks of 32 KiB: no size, revision, checksum or end
marker. The server's side closes the tutorial's holes without changing a message. The client's side downloads with the
same care as ever, checks what can be checked (numbers follow each other, only the last chunk is short), and claims no more.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
from google.protobuf.message import DecodeError

from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Frame, Header, ListRequest, Page, ReadRequest, Summary
from unspool.demo import files_pb2 as pb
from unspool.errors import (
    FileChangedError,
    InvalidRangeError,
    InvalidRequestError,
    ProtocolError,
    SequenceError,
    StartIgnoredError,
    UnsupportedError,
)
from unspool.options import ServiceOptions
from unspool.rpc.calls import Calls, Context, Outlet, answering, span_of
from unspool.rpc.transport import CHANNEL_OPTIONS, StreamMethod, messages
from unspool.stores.base import Store

SERVICE = pb.DESCRIPTOR.services_by_name["Files"].full_name

CHUNK_SIZE = 32 * 1024
"""Bytes per chunk: the tutorial's. Both sides must mean the same, for a start is a number of chunks."""


class DemoService:
    """Answers `demo.Files` out of a store, as an unmodified client of the tutorial expects.

    Where the tutorial answers UNKNOWN or nothing, it answers NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (negative start)
    and OUT_OF_RANGE (a start beyond the end). As in the tutorial, a stream ends with a chunk shorter than 32 KiB, empty if
    need be.
    """

    def __init__(self, store: Store, calls: Calls, options: ServiceOptions) -> None:
        self._store = store
        self._calls = calls
        self._options = options

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what to hand to `server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(SERVICE, {"GetFile": grpc.unary_stream_rpc_method_handler(self._get_file)})

    async def _get_file(self, request: bytes, context: Context) -> None:
        async with answering(context):
            try:
                message = pb.Request.FromString(request)
            except DecodeError as error:
                raise InvalidRequestError("the message received is not a Request") from error
            if message.start_at < 0:
                raise InvalidRangeError(f"{message.name}: start_at {message.start_at} must not be negative", name=message.name)
            wanted = ReadRequest(message.name, start=message.start_at * CHUNK_SIZE)
            outlet = Outlet(context.write, None, self._options.heartbeat)
            with self._calls.reading("GetFile", wanted, context) as report:
                async with outlet, aclosing(await self._store.open(wanted.name)) as file:
                    span = span_of(wanted, file.info)
                    number = message.start_at
                    async with aclosing(file.read(span, self._options.block_size // CHUNK_SIZE * CHUNK_SIZE)) as runs:
                        async for run in runs:
                            for at in range(0, len(run), CHUNK_SIZE):
                                self._calls.check_not_cut()
                                chunk = run[at : at + CHUNK_SIZE]
                                await outlet.send(pb.Response(chunk=chunk, chunk_number=number).SerializeToString())
                                number += 1
                                report.bytes += len(chunk)
                    if span.length % CHUNK_SIZE == 0:
                        await outlet.send(pb.Response(chunk_number=number).SerializeToString())


class DemoTransport:
    """Speaks `demo.Files` to any server of the tutorial's protocol. It can read; it cannot stat or list.

    Frames carry no file description, and checksums that were computed here: they guard against nothing before this machine.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        self._get: StreamMethod = self._channel.unary_stream(f"/{SERVICE}/GetFile")

    @property
    def source(self) -> str:
        """See `Transport.source`."""
        return f"demo:{self._target}"

    async def stat(self, name: str) -> FileInfo:
        """Raise UnsupportedError: the dialect has no such call."""
        raise UnsupportedError(f"{name}: the demo dialect cannot say anything about a file but its bytes", name=name)

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Raise UnsupportedError: the dialect has no such call."""
        raise UnsupportedError(f"{request.prefix}: the demo dialect cannot list files")
        yield Page()  # makes this a generator, as the protocol says

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`. A start inside a chunk fetches the chunk and drops what comes before the start."""
        number, surplus = divmod(request.start, CHUNK_SIZE)
        position = request.start
        header: Header | None = Header(None, request.start, None)
        short = False
        call = self._get(pb.Request(name=request.name, start_at=number).SerializeToString())
        async with aclosing(messages(call, self._target)) as incoming:
            async for data in incoming:
                try:
                    message = pb.Response.FromString(data)
                except DecodeError as error:
                    raise ProtocolError(f"{request.name}: the message received is not a chunk", name=request.name) from error
                if header is not None and message.chunk_number != number:
                    raise StartIgnoredError(
                        f"{request.name}: asked for the chunks from {number}, but the first is {message.chunk_number}",
                        name=request.name,
                        offset=position,
                    )
                if message.chunk_number != number or short:
                    raise SequenceError(
                        f"{request.name}: chunk {message.chunk_number} of {len(message.chunk)} bytes arrived where "
                        f"{'the file had ended' if short else f'chunk {number} was expected'}",
                        name=request.name,
                        offset=position,
                    )
                if len(message.chunk) > CHUNK_SIZE:
                    raise ProtocolError(
                        f"{request.name}: the server sends chunks of {len(message.chunk)} bytes, not {CHUNK_SIZE}",
                        name=request.name,
                    )
                if len(message.chunk) < surplus:
                    raise FileChangedError(
                        f"{request.name}: the server's file ends before byte {position}, up to which it was downloaded before",
                        name=request.name,
                        offset=position,
                    )
                short = len(message.chunk) < CHUNK_SIZE
                number += 1
                chunk = message.chunk[surplus:]
                surplus = 0
                if chunk:
                    yield Frame(header, Block(position, chunk, crc32c(chunk)))
                    header = None
                    position += len(chunk)
        yield Frame(header, summary=Summary(position, at_end=True))

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._channel.close()
