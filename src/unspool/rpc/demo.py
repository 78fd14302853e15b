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
from unspool.core.model import (
    BatchRequest,
    Block,
    Bytes,
    FileInfo,
    Frame,
    Header,
    ListRequest,
    Page,
    Piece,
    ReadRequest,
    Span,
    Summary,
)
from unspool.demo import files_pb2 as pb
from unspool.errors import (
    DataLossError,
    InvalidRangeError,
    InvalidRequestError,
    ProtocolError,
    SequenceError,
    StartIgnoredError,
    StartPastEndError,
    UnsupportedError,
)
from unspool.options import ServiceOptions
from unspool.rpc.calls import Calls, Context, answering
from unspool.rpc.frames import span_of
from unspool.rpc.transport import Connection, Metadata
from unspool.rpc.wire import varint
from unspool.stores.base import OpenFile, Store

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
            outlet = self._calls.outlet(context, None, self._options.heartbeat)
            with self._calls.reading("GetFile", wanted, context) as report:
                async with outlet, aclosing(await self._store.open(wanted.name)) as file:
                    span = span_of(wanted, file.info)
                    run_size = max(self._options.block_size // CHUNK_SIZE, 1) * CHUNK_SIZE
                    number = message.start_at
                    async with aclosing(_chunks(file, span, run_size)) as chunks:
                        async for chunk in chunks:
                            await outlet.send(encode_response(chunk, number))
                            number += 1
                            report.bytes += len(chunk)


def encode_response(chunk: Bytes, number: int) -> bytes:
    """Serialise a Response: the same bytes as the generated code makes, with two copies of the chunk fewer."""
    head = b"\x0a" + varint(len(chunk)) if chunk else b""
    tail = b"\x10" + varint(number) if number else b""
    return b"".join((head, chunk, tail))


async def _chunks(file: OpenFile, span: Span, run_size: int) -> AsyncGenerator[Bytes, None]:
    """Yield a span in chunks, all of 32 KiB but the last, which is shorter and perhaps empty.

    Raises:
        DataLossError: the store returned fewer bytes than it said it holds.
    """
    rest, position = b"", span.start
    async with aclosing(file.read(span, run_size)) as runs:
        async for run in runs:
            position += len(run)
            view = memoryview(rest + run if rest else run)  # nearly always there is no rest
            whole = len(view) - len(view) % CHUNK_SIZE
            for at in range(0, whole, CHUNK_SIZE):
                yield view[at : at + CHUNK_SIZE]
            rest = bytes(view[whole:])
    if position != span.stop:
        # A short chunk would say that the file ends here.
        name = file.info.name
        raise DataLossError(f"{name}: the store stopped at byte {position}, before {span.stop}", name=name, offset=position)
    yield rest


class DemoTransport:
    """Speaks `demo.Files` to any server of the tutorial's protocol. It can read; it cannot stat or list.

    Frames carry no file description, and checksums that were computed here: they guard against nothing before this machine.
    """

    def __init__(self, target: str, metadata: Metadata = ()) -> None:
        self._connection = Connection(target, metadata)

    @property
    def source(self) -> str:
        """See `Transport.source`."""
        return f"demo:{self._connection.target}"

    async def stat(self, name: str) -> FileInfo:
        """Raise UnsupportedError: the dialect has no such call."""
        raise UnsupportedError(f"{name}: the demo dialect cannot say anything about a file but its bytes", name=name)

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Raise UnsupportedError: the dialect has no such call."""
        raise UnsupportedError(f"{request.prefix}: the demo dialect cannot list files")
        yield Page()  # makes this a generator, as the protocol says

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[tuple[Piece, ...], None]:
        """Raise UnsupportedError: the dialect has no such call."""
        raise UnsupportedError(f"the demo dialect cannot read {len(request.files)} files at once")
        yield ()  # makes this a generator, as the protocol says

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`.

        The dialect knows chunks and no length: what comes before the start of the span is dropped, and at its end the stream
        is left.
        """
        if request.revision is not None:
            raise UnsupportedError(
                f"{request.name}: the demo dialect has no revisions: what is here of one cannot be gone on with (--no-resume)",
                name=request.name,
            )
        number, surplus = divmod(request.start, CHUNK_SIZE)
        if number and not surplus:
            # From one chunk before: an empty first chunk would be the end of this file, or of a shorter one.
            number, surplus = number - 1, CHUNK_SIZE
        position = request.start
        stop = None if request.length is None else position + request.length
        header: Header | None = Header(None, request.start, None)
        first, short = True, False
        messages = self._connection.stream(
            f"/{SERVICE}/GetFile", pb.Request(name=request.name, start_at=number).SerializeToString()
        )
        async with aclosing(messages):
            async for data in messages:
                try:
                    message = pb.Response.FromString(data)
                except DecodeError as error:
                    raise ProtocolError(f"{request.name}: the message received is not a chunk", name=request.name) from error
                if first and message.chunk_number != number:
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
                    break
                short = len(message.chunk) < CHUNK_SIZE
                number += 1
                chunk = message.chunk[surplus : None if stop is None else surplus + stop - position]
                first, surplus = False, 0
                if chunk:
                    yield Frame(header, Block(position, chunk, crc32c(chunk)))
                    header = None
                    position += len(chunk)
                if position == stop:
                    break
        if surplus:
            raise StartPastEndError(
                f"{request.name}: asked for the bytes from {position}, but the file ends before",
                name=request.name,
                offset=position,
            )
        yield Frame(header, summary=Summary(position, at_end=position != stop))

    def renew(self) -> None:
        """See `Transport.renew`."""
        self._connection.renew()

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._connection.aclose()
