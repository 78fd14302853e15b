"""A server whose faults follow a script, and which reports the faults that happened.

It serves a store with unspool.v1 over its own HTTP/2 (the h2 package), so that it can do what a correct gRPC server never does:
break the stream, the connection, a message in the middle, the checksums, the order, the protocol.

A test registers a script, sends the script's key as metadata with its calls, and at the end checks which faults fired, so that
it cannot pass without them.

    server = FaultServer(store)
    key = server.script("cut@1048576", "status:UNAVAILABLE,retry=0.1@end")
    async with server, Client(server.address, metadata=[(SCRIPT_KEY, key)]) as client:
        await client.get("a.bin", path)
    assert server.fired(key) == ["cut@1048576", "status:UNAVAILABLE,retry=0.1@end"]

The n-th ReadFile or ReadFiles of a script gets the n-th fault of the script; later ones get none. An empty string means no
fault. In a batch the fault happens to the first file; a fault that ends the stream ends it for the others too.

See `unspool.testing.faultscript` for the syntax of faults.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

import grpc

from unspool.answers.batch import check_numbers
from unspool.answers.frames import unchanged
from unspool.core.checksum import crc32c
from unspool.core.extras import extra
from unspool.core.model import Block, Frame, Piece, ReadRequest, WantedFile
from unspool.errors import UnspoolError, UnsupportedError
from unspool.rpc import batchwire, status, wire
from unspool.stores.base import Store
from unspool.testing.faults import StoreTransport
from unspool.testing.faultscript import BEFORE_ANYTHING, ON_BLOCKS, Fault
from unspool.testing.http2 import Http2Connection, framed

with extra("testing"):
    from h2.errors import ErrorCodes
    from h2.exceptions import H2Error

SCRIPT_KEY = "unspool-test-script"
"""The metadata key that selects a script."""


class FaultServer:
    """Serves a store on loopback, with faults; an async context manager.

    Attributes:
        address: `HOST:PORT`, once started.
        default: the key of the script for calls without a key; None means no faults.

    Args:
        store: where the bytes come from.
        block_size: bytes per block, so that tests know where blocks begin.
    """

    def __init__(self, store: Store, *, block_size: int = 1 << 20) -> None:
        self.default: str | None = None
        self.block_size = block_size
        self.transport = StoreTransport(store)
        self._scripts: dict[str, list[Fault | None]] = {}
        self._next: dict[str, int] = defaultdict(int)
        self._fired: dict[str, list[str]] = defaultdict(list)
        self._connections: set[Http2Connection] = set()

    def script(self, *faults: str) -> str:
        """Register a script; return its key. Raises ValueError if a fault is invalid."""
        key = f"script-{len(self._scripts) + 1}"
        self._scripts[key] = [Fault.parse(text) if text else None for text in faults]
        return key

    def fired(self, key: str) -> list[str]:
        """Return the faults of a script that have happened, in order."""
        return list(self._fired[key])

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Http2Connection(self._answer, self._connections), "127.0.0.1", 0)
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in list(self._connections):
            await connection.aclose()
        await self._server.wait_closed()

    def _next_fault(self, key: str | None) -> tuple[Fault | None, Callable[[Fault], None]]:
        """Return the fault for the next read of a script, and the function to call when it has happened."""
        key = key or self.default
        if key is None:
            return None, lambda _: None
        at = self._next[key]
        self._next[key] += 1
        script = self._scripts.get(key, [])
        return script[at] if at < len(script) else None, lambda fault: self._fired[key].append(fault.text)

    async def _answer(self, connection: Http2Connection, stream: int, headers: dict[str, str], body: bytes) -> None:
        method = headers[":path"].rpartition("/")[2]
        try:
            match method:
                case "ReadFile":
                    fault, fired = self._next_fault(headers.get(SCRIPT_KEY))
                    await _Read(self, connection, stream, fault, fired).answer(body)
                case "ReadFiles":
                    fault, fired = self._next_fault(headers.get(SCRIPT_KEY))
                    await _Batch(self, connection, stream, fault, fired).answer(body)
                case "StatFile":
                    connection.send_headers(stream)
                    info = await self.transport.stat(wire.decode_stat_request(body))
                    await connection.send_message(stream, wire.encode_stat_response(info))
                case "ListFiles":
                    connection.send_headers(stream)
                    async with aclosing(self.transport.list(wire.decode_list_request(body))) as pages:
                        async for page in pages:
                            await connection.send_message(stream, wire.encode_page(page))
                case _:
                    raise UnsupportedError(f"{method}: no such method")
            connection.send_status(stream, grpc.StatusCode.OK)
        except _StopError:
            pass
        except UnspoolError as error:
            code, message, metadata = status.encode_error(error)
            connection.send_status(stream, code, message, metadata[0][1])


class _StopError(Exception):
    """The call's fault has ended the call."""


class _Read:
    """One ReadFile, with at most one fault."""

    def __init__(
        self,
        server: FaultServer,
        connection: Http2Connection,
        stream: int,
        fault: Fault | None,
        fired: Callable[[Fault], None],
    ) -> None:
        self._server = server
        self._connection = connection
        self._stream = stream
        self._fault = fault
        self._fired = fired

    async def answer(self, body: bytes) -> None:
        """Send the frames that answer the request, changed by the fault."""
        request = wire.decode_read_request(body)
        self._begin()
        await self._read(request)

    def _begin(self) -> None:
        """Begin the answer."""
        fault = self._fault
        if fault is not None and fault.kind == "http":
            self._fired(fault)
            self._connection.http.send_headers(self._stream, [(":status", fault.argument)], end_stream=True)
            self._connection.flush()
            raise _StopError
        self._connection.send_headers(self._stream)

    async def _read(self, request: ReadRequest) -> None:
        server = self._server
        fault = self._fault
        request = replace(request, block_size=min(request.block_size or server.block_size, server.block_size))
        if fault is not None and fault.kind == "ignore":
            request = replace(request, start=0, length=None)
            self._fired(fault)
        if fault is not None and fault.where == "start":
            await self._break()
        async with aclosing(server.transport.read(request)) as frames:
            await self._send_all(frames)
        if fault is not None and fault.where == "status":
            await self._break()

    async def _send_all(self, frames: AsyncGenerator[Frame, None]) -> None:
        fault = self._fault
        sent = 0
        at: int | None = None
        held: Block | None = None
        async for frame in frames:
            if frame.header is not None:
                header = frame.header
                length = header.length or 0
                if fault is not None and isinstance(fault.where, int):
                    at = fault.where if fault.where >= 0 else max(length + fault.where, 0)
                if fault is not None and fault.kind == "revision":
                    assert header.info is not None
                    header = replace(header, info=replace(header.info, revision=header.info.revision + "-other"))
                    self._fired(fault)
                await self._send(Frame(header=header))
                if at == 0 and length == 0:
                    await self._break()
            for block in _split(frame.block, at, sent):
                here, sent = sent == at, sent + len(block.data)
                for out in await self._on_block(block) if here else (block,):
                    if out is None:
                        held = block
                        continue
                    await self._send(Frame(block=out))
                    if held is not None:
                        await self._send(Frame(block=held))
                        held = None
            if frame.summary is not None:
                if held is not None:  # no block followed to swap it with
                    await self._send(Frame(block=held))
                if fault is not None and (fault.where == "end" or (at is not None and at >= sent and sent)):
                    await self._break()
                await self._send(Frame(summary=frame.summary))

    async def _on_block(self, block: Block) -> Sequence[Block | None]:
        """Return the blocks to send instead of the block at which the fault happens. None holds the block back."""
        fault = self._fault
        assert fault is not None
        data = bytes(block.data)
        wrong: dict[str, Callable[[], Sequence[Block | None]]] = {
            "flip": lambda: [replace(block, data=bytes([data[0] ^ 0x10]) + data[1:])],
            "flipsum": lambda: [replace(block, crc32c=block.crc32c ^ 1)],
            "offset": lambda: [replace(block, offset=block.offset + 1)],
            "short": lambda: [Block(block.offset, data[:-1], crc32c(data[:-1]))],
            "long": lambda: [Block(block.offset, data + b"!", crc32c(data + b"!"))],
            "duplicate": lambda: [block, block],
            "swap": lambda: [None],
        }
        if fault.kind in wrong:
            self._fired(fault)
            return wrong[fault.kind]()
        await self._break(block)
        return [block]

    async def _send(self, frame: Frame) -> None:
        await self._connection.send_message(self._stream, wire.encode_frame(frame))

    async def _break(self, block: Block | None = None) -> None:
        """Carry out a fault that ends or stalls the stream."""
        fault, connection, stream = self._fault, self._connection, self._stream
        assert fault is not None
        if fault.kind in (*BEFORE_ANYTHING, *ON_BLOCKS):
            return  # it has happened already, or there is no block for it
        self._fired(fault)
        match fault.kind:
            case "cut":
                await connection.drained()
                sock = connection.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.transport.abort()
            case "close":
                connection.transport.close()
            case "reset":
                connection.http.reset_stream(stream, ErrorCodes[fault.argument])
                connection.flush()
            case "goaway":
                connection.http.close_connection()
                connection.flush()
                connection.transport.close()
            case "tear":
                message = wire.encode_frame(Frame(block=block)) if block is not None else b"\x0a\x02\x10\x01"
                whole = framed(message)
                with suppress(H2Error):
                    await connection.send_data(stream, whole[: len(whole) // 2])
                connection.transport.close()
            case "end":
                connection.send_status(stream, grpc.StatusCode.OK)
            case "status":
                self._send_error(fault)
            case "stall":
                await asyncio.Event().wait()
            case "garbage":
                await connection.send_message(stream, b"\xff\xff\xff\xff")
                return
            case _:
                raise AssertionError(fault.kind)
        raise _StopError

    def _send_error(self, fault: Fault) -> None:
        code = grpc.StatusCode[fault.argument]
        details = b""
        if fault.retry is not None:
            error = UnspoolError(f"scripted: {fault.text}", retry_after=fault.retry)
            details = status.encode_error(error)[2][0][1]
        self._connection.send_status(self._stream, code, f"scripted: {fault.text}", details)


class _Batch(_Read):
    """One ReadFiles: one read for each file, identified by its index."""

    _index = 0

    async def answer(self, body: bytes) -> None:
        """Send the pieces that answer the request, changed by the fault."""
        request = batchwire.decode_batch_request(body)
        self._begin()
        for index, file in enumerate(request.files):
            self._index = index
            try:
                check_numbers(file)
                if (frame := await self._unchanged(file)) is not None:
                    await self._send(frame)
                else:
                    wanted = ReadRequest(file.name, file.start, file.length, file.revision, request.block_size)
                    await self._read(wanted)
            except UnspoolError as error:
                await self._send_pieces(Piece(index, error=error))
            self._fault = None

    async def _unchanged(self, file: WantedFile) -> Frame | None:
        """Return the frame for a file that is still at `unless_revision`; None if it is not, or if the fault ignores that."""
        ignores = self._fault is not None and self._fault.kind == "ignore"
        if ignores or file.unless_revision is None or file.revision not in (None, file.unless_revision):
            return None
        info = await self._server.transport.stat(file.name)
        return unchanged(info) if info.revision == file.unless_revision else None

    async def _send(self, frame: Frame) -> None:
        await self._send_pieces(Piece(self._index, frame))

    async def _send_pieces(self, *pieces: Piece) -> None:
        await self._connection.send_message(self._stream, batchwire.encode_pieces(pieces))


def _split(block: Block | None, at: int | None, sent: int) -> Sequence[Block]:
    """Split a block at the position of the fault, so that a block begins there."""
    if block is None:
        return ()
    if at is None or not sent < at < sent + len(block.data):
        return (block,)
    first, second = block.data[: at - sent], block.data[at - sent :]
    return (
        Block(block.offset, first, crc32c(first)),
        Block(block.offset + len(first), second, crc32c(second)),
    )
