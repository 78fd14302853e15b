"""A client that shows the messages of a server unchanged, which unspool's own client would not."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import grpc

from unspool.core.model import BatchRequest, Frame, ListRequest, Piece, ReadRequest, WantedFile
from unspool.errors import UnspoolError
from unspool.rpc import batchwire, status, wire

StreamCall: TypeAlias = "grpc.aio.UnaryStreamCall[bytes, bytes]"
StreamMethod: TypeAlias = "grpc.aio.UnaryStreamMultiCallable[bytes, bytes]"

DEFAULT_LIMIT = 4 << 20
"""gRPC's default limit for a message."""


class Wiretap:
    """A channel to a server, with gRPC's defaults.

    Attributes:
        largest: bytes of the largest message so far.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.largest = 0
        self._read: StreamMethod = channel.unary_stream(f"/{wire.SERVICE}/ReadFile")
        self._read_files: StreamMethod = channel.unary_stream(f"/{wire.SERVICE}/ReadFiles")
        self._list: StreamMethod = channel.unary_stream(f"/{wire.SERVICE}/ListFiles")

    def read(self, request: ReadRequest) -> StreamCall:
        """Begin a read."""
        return self._read(wire.encode_read_request(request))

    def batch(self, *files: WantedFile | str, block_size: int | None = None) -> StreamCall:
        """Begin a batch."""
        wanted = tuple(WantedFile(file) if isinstance(file, str) else file for file in files)
        return self._read_files(batchwire.encode_batch_request(BatchRequest(wanted, block_size, "t", 7)))

    async def next_pieces(self, call: StreamCall) -> Sequence[Piece] | None:
        """As `next_message`, decoded; () is a heartbeat."""
        message = await self.next_message(call)
        return None if message is None else batchwire.decode_pieces(message)

    async def all_pieces(self, call: StreamCall) -> list[Piece]:
        """Return all remaining pieces."""
        pieces: list[Piece] = []
        while (more := await self.next_pieces(call)) is not None:
            pieces += more
        return pieces

    def listing(self, request: ListRequest) -> StreamCall:
        """Begin a listing."""
        return self._list(wire.encode_list_request(request))

    async def next_message(self, call: StreamCall) -> bytes | None:
        """Return a call's next message, or None at the end; raise the error of its status."""
        try:
            message = await call.read()
        except grpc.aio.AioRpcError as error:
            raise meaning(error) from None
        if not isinstance(message, bytes):  # grpc.aio.EOF
            return None
        self.largest = max(self.largest, len(message))
        return message

    async def next_frame(self, call: StreamCall) -> Frame | None:
        """As `next_message`, decoded."""
        message = await self.next_message(call)
        return None if message is None else wire.decode_frame(message)

    async def rest(self, call: StreamCall) -> list[Frame]:
        """Return all remaining frames."""
        frames = []
        while (frame := await self.next_frame(call)) is not None:
            frames.append(frame)
        return frames

    async def frames(self, request: ReadRequest) -> list[Frame]:
        """Return all frames of a read."""
        return await self.rest(self.read(request))


@asynccontextmanager
async def wiretap(address: str, options: Sequence[tuple[str, int]] = ()) -> AsyncGenerator[Wiretap, None]:
    """Connect to a server."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0), *options]) as channel:
        yield Wiretap(channel)


def meaning(error: grpc.aio.AioRpcError) -> UnspoolError:
    """Return the error that unspool's client raises for a status."""
    return status.decode_error(error.code(), error.details(), error.trailing_metadata() or (), server="the server")


def data_of(frames: list[Frame]) -> bytes:
    """Return the bytes of the blocks."""
    return b"".join(frame.block.data for frame in frames if frame.block is not None)


def is_heartbeat(frame: Frame | None) -> bool:
    """Return whether a frame is a heartbeat."""
    return frame == Frame()
