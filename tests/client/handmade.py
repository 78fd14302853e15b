"""Handwritten servers that misbehave as no good server does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import grpc

from unspool.rpc import wire

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = Callable[[bytes, Context], Awaitable[None]]
Answer: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]


@asynccontextmanager
async def handmade(service: str = wire.SERVICE, stat: Answer | None = None, **streams: Handler) -> AsyncGenerator[str, None]:
    """Serve a service with these functions as its methods, bytes in and bytes out; yields `HOST:PORT`."""
    server = grpc.aio.server()
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_stream_rpc_method_handler(handler) for name, handler in streams.items()
    }
    if stat is not None:
        methods["StatFile"] = grpc.unary_unary_rpc_method_handler(stat)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk) -> AsyncGenerator[str, None]:
    """Serve TCP; yields `HOST:PORT`. Connections are closed when `talk` returns, or at the end."""
    running: list[asyncio.Task[None]] = []

    async def talk_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # OSError, IncompleteReadError: the client has disconnected.
        with suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.transport.abort()

    # Not a coroutine, so that every accepted connection is known at once, even if it ends before it begins.
    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(talk_and_close(reader, writer))
        task.add_done_callback(lambda _: writer.transport.abort())
        running.append(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        await asyncio.sleep(0)  # connections that are being accepted reach `accept`
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets


def nobody() -> str:
    """Return an address where no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "{}:{}".format(*listener.getsockname())


_PREFACE = 24
_HEADERS, _RST_STREAM = 1, 3


def resetting(code: int) -> Talk:
    """Return an HTTP/2 server that resets every stream with this error code (RFC 9113, section 7)."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))  # SETTINGS, empty
        await reader.readexactly(_PREFACE)
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == _HEADERS:
                writer.write(bytes([0, 0, 4, _RST_STREAM, 0]) + head[5:9] + code.to_bytes(4, "big"))

    return talk
