"""The gRPC server: listening, health, reflection, drain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from unspool.core.address import HostPort, Listen, parse_listen
from unspool.errors import InvalidRequestError
from unspool.options import ServerOptions
from unspool.rpc import forks
from unspool.server.beginning import one_at_a_time
from unspool.server.ports import claim
from unspool.server.report import CallObserver
from unspool.server.service import FileService
from unspool.stores.base import Store

log = logging.getLogger("unspool.server")

EXPOSED = "%s is open to other machines: there is no TLS and no authentication, so whoever reaches it can read all files"
"""The warning about an address that is not a loopback address."""

_CLOSING = 2.0
"""Seconds that cut streams have to send their status to the client before connections are closed."""


class Server:
    """Serves a store. As an async context manager it listens inside the block, and drains and closes at the end.

    It speaks the dialects of its options, grpc.health.v1 and server reflection.

    Args:
        store: where the bytes come from. The server does not close it.
        listen: `HOST:PORT` is a port on every address of the host, or an error if one of them is in use; `PORT` and `:PORT`
            are a port on all interfaces; `unix:PATH` is a Unix socket. Port 0 picks a free one, see `address`. If other
            machines can reach the address, the server logs a warning when it starts.
        options: limits and intervals.
        observers: notified when a call ends; see `FileService`.
        share_port: whether other servers of this user may listen on the same port, if they set this too. The kernel then
            distributes the connections among them (SO_REUSEPORT). Without it a port in use is an error. With it the server
            does not log the warning above; the program that starts the servers should, once.

    Attributes:
        address: where it listens: `HOST:PORT`, or `unix:PATH`.
    """

    def __init__(
        self,
        store: Store,
        listen: str = "127.0.0.1:0",
        options: ServerOptions | None = None,
        observers: Sequence[CallObserver] = (),
        *,
        share_port: bool = False,
    ) -> None:
        self.options = options or ServerOptions()
        self.address = listen
        self._listen = listen
        self._store = store
        self._observers = observers
        self._share_port = share_port
        self._state: Literal["new", "started", "stopped"] = "new"

    async def start(self) -> str:
        """Begin to listen; return `address`.

        Raises:
            InvalidRequestError: the server cannot listen on the address, one of several is in use, or it was started before.
        """
        if self._state != "new":
            raise InvalidRequestError(f"{self.address}: this server was {self._state} already: make another one")
        forks.check()
        listen = parse_listen(self._listen)
        async with one_at_a_time(listen):
            # In a thread, because resolving the host may block on a name server.
            claimed = await asyncio.to_thread(claim, listen, shared=self._share_port)
            services = self._make()
            await self._bind(listen, claimed.names)
        if claimed.exposed and not self._share_port:
            log.warning(EXPOSED, self.address)
        await self._server.start()
        for service in ("", *services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._state = "started"
        return self.address

    def _make(self) -> tuple[str, ...]:
        """Make the gRPC server, which does not listen yet; return the names of its dialects' services."""
        options = self.options
        self._server = grpc.aio.server(
            options=[
                # Off unless asked for: gRPC's default is on, and two servers would silently share the port's connections.
                ("grpc.so_reuseport", int(self._share_port)),
                # See CHANNEL_OPTIONS of the client.
                ("grpc.http2.max_frame_size", 4 << 20),
                ("grpc.keepalive_time_ms", int(options.keepalive * 1000)),
                ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout * 1000)),
                # The timeout that gRPC really applies to a ping. Its default is 60 s, whatever the option above says.
                ("grpc.http2.ping_timeout_ms", int(options.keepalive_timeout * 1000)),
                ("grpc.max_connection_idle_ms", int(options.connection_idle * 1000)),
            ]
        )
        forks.note(self._server)
        self._service = FileService(self._store, options.service, options.limits, self._observers)
        self._service.add_to(self._server)
        services = self._service.services
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        return services

    async def _bind(self, listen: Listen, names: Sequence[str]) -> None:
        for name in names:
            try:
                port = self._server.add_insecure_port(name)
            except RuntimeError as error:  # another process took the port meanwhile
                # gRPC releases the addresses that are bound already only in stop(), which needs a started server.
                await self._server.start()
                await self._server.stop(None)
                raise InvalidRequestError(f"cannot listen on {listen}: {name} is in use") from error
        self.address = str(HostPort(listen.host, port) if isinstance(listen, HostPort) else listen)

    async def stop(self, grace: float | None = None) -> None:
        """Drain and close: refuse new streams, wait up to `grace` seconds for the running ones, then ask clients to retry.

        Closing takes at most two seconds more. The exception is a connection whose peer reads nothing: it is closed when TCP
        gives up (`keepalive_timeout`). On a server that is not listening, this does nothing.
        """
        if self._state != "started":
            return
        self._state = "stopped"
        await self._health.enter_graceful_shutdown()
        await self._service.drain(self.options.grace if grace is None else grace)
        await self._server.stop(_CLOSING)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(0 if error is not None else None)
