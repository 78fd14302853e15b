"""A minimal HTTP/2 and gRPC server connection, on the h2 package, that does not prevent misbehaviour."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Awaitable, Callable

import grpc

from unspool.core.extras import extra
from unspool.rpc.status import DETAILS_KEY

with extra("testing"):
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import (
        ConnectionTerminated,
        DataReceived,
        Event,
        RemoteSettingsChanged,
        RequestReceived,
        StreamEnded,
        StreamReset,
        WindowUpdated,
    )
    from h2.exceptions import H2Error

_HEADERS = [(":status", "200"), ("content-type", "application/grpc")]

_PREFIX = 5
"""Bytes before a gRPC message: whether it is compressed, and its length."""


Answer = Callable[["Http2Connection", int, dict[str, str], bytes], Awaitable[None]]


class Http2Connection(asyncio.Protocol):
    """One HTTP/2 connection, on the server's side.

    Attributes:
        http, transport: the layers below, for tests that break them.

    Args:
        answer: called for each request with the connection, the stream's number, the headers and the message.
        connections: the set that contains this connection while it is open.
    """

    def __init__(self, answer: Answer, connections: set[Http2Connection]) -> None:
        self._answer = answer
        self._connections = connections
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._bodies: dict[int, bytearray] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._headers: dict[int, dict[str, str]] = {}
        self._begun: set[int] = set()  # the streams whose answer has begun
        self._room = asyncio.Event()
        self._lost = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)  # writable means that all bytes have left this process
        self._connections.add(self)
        self.http.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio: the connection was closed."""
        self._connections.discard(self)
        self._lost.set()
        for call in self._calls.values():
            call.cancel()

    def pause_writing(self) -> None:
        """asyncio: bytes are waiting to be sent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """asyncio: all bytes have been sent."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have arrived."""
        try:
            events = self.http.receive_data(data)
        except H2Error:
            self.transport.abort()
            return
        for event in events:
            self._take(event)
        self.flush()

    async def aclose(self) -> None:
        """Close the connection at once, and wait for its calls to end."""
        self.transport.abort()
        calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._lost.wait()

    # HTTP/2

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived():
                assert event.stream_id is not None
                assert event.headers is not None
                self._headers[event.stream_id] = {str(key): str(value) for key, value in event.headers}
                self._bodies[event.stream_id] = bytearray()
            case DataReceived():
                assert event.stream_id is not None
                self._bodies[event.stream_id] += event.data or b""
                self.http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            case StreamEnded():
                assert event.stream_id is not None
                self._calls[event.stream_id] = asyncio.ensure_future(self._call(event.stream_id))
            case StreamReset():
                call = self._calls.get(event.stream_id or 0)
                if call is not None:
                    call.cancel()
            case WindowUpdated() | RemoteSettingsChanged():
                self._room.set()
            case ConnectionTerminated():
                self.transport.close()
            case _:
                pass

    def flush(self) -> None:
        """Send the bytes that h2 has ready."""
        if not self.transport.is_closing():
            self.transport.write(self.http.data_to_send())

    async def send_data(self, stream: int, data: bytes) -> None:
        """Send bytes as flow control allows, and wait until they have left this process."""
        rest = memoryview(data)
        while rest:
            room = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size)
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            self.http.send_data(stream, rest[:room].tobytes())
            rest = rest[room:]
            self.flush()
            await self.drained()

    async def drained(self) -> None:
        """Wait until all sent bytes have left this process."""
        await self._writable.wait()

    async def send_message(self, stream: int, message: bytes) -> None:
        """Send one gRPC message."""
        await self.send_data(stream, framed(message))

    def send_headers(self, stream: int) -> None:
        """Begin the answer."""
        self.http.send_headers(stream, _HEADERS)
        self._begun.add(stream)
        self.flush()

    def send_status(self, stream: int, code: grpc.StatusCode, message: str = "", details: bytes = b"") -> None:
        """End the answer."""
        trailers = [] if stream in self._begun else list(_HEADERS)  # an answer that is only a status
        trailers.append(("grpc-status", str(code.value[0])))
        if message:
            trailers.append(("grpc-message", message.encode("ascii", "replace").decode()))
        if details:
            trailers.append((DETAILS_KEY, base64.b64encode(details).decode().rstrip("=")))
        self.http.send_headers(stream, trailers, end_stream=True)
        self.flush()

    async def _call(self, stream: int) -> None:
        headers, body = self._headers.pop(stream), self._bodies.pop(stream)
        try:
            await self._answer(self, stream, headers, bytes(body[_PREFIX:]))
        except (H2Error, ConnectionError):
            pass  # the stream or the connection was closed meanwhile
        finally:
            self._calls.pop(stream, None)
            self._begun.discard(stream)


def framed(message: bytes) -> bytes:
    """Return a message with gRPC's prefix, as it is sent in the stream."""
    return struct.pack(">BI", 0, len(message)) + message
