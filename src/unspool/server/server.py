"""The server's process: listen, health, reflection, drain."""

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
from unspool.server.ports import claim
from unspool.server.report import CallObserver
from unspool.server.service import FileService
from unspool.stores.base import Store

log = logging.getLogger("unspool.server")

EXPOSED = "%s is open to other machines: there is no TLS and no authentication, so whoever reaches it can read all files"
"""The warning about an address that is not of loopback."""

_CLOSING = 2.0
"""Seconds that streams which were told to end have to say so to their clients, before connections are closed."""


class Server:
    """Serves a store, as an async context manager: listening inside, drained and closed after.

    It answers in the dialects of its options, and grpc.health.v1 and server reflection.

    Args:
        store: where the bytes come from. Not closed by the server.
        listen: `HOST:PORT` is a port on every address of the host, or an error if one of them is in use; `PORT` and `:PORT`
            are a port on all interfaces; `unix:PATH` is a Unix socket. Port 0 picks a free one, see `address`. If other
            machines can reach it, a warning is logged when it starts.
        options: limits and intervals.
        observers: are told how each call ended; see `FileService`.
        share_port: other servers of this user that say the same may listen on the port too, and the kernel gives each of
            them some of the connections (SO_REUSEPORT). Without it a port in use is an error. The warning above is then for
            whoever starts the servers to give, once.

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
            InvalidRequestError: the address cannot be listened on, one of several is in use, or the server was started before.
        """
        if self._state != "new":
            raise InvalidRequestError(f"{self.address}: this server was {self._state} already: make another one")
        forks.check()
        options = self.options
        listen = parse_listen(self._listen)
        # In a thread: the host may have to be asked for at a name server.
        claimed = await asyncio.to_thread(claim, listen, shared=self._share_port)
        self._server = grpc.aio.server(
            options=[
                # Unless it is meant: two servers on one port would share its connections without a word.
                ("grpc.so_reuseport", int(self._share_port)),
                # See CHANNEL_OPTIONS of the client.
                ("grpc.http2.max_frame_size", 4 << 20),
                ("grpc.keepalive_time_ms", int(options.keepalive * 1000)),
                ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout * 1000)),
                # What an unanswered ping really waits for; gRPC's own is 60 s, whatever the option above says.
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
        await self._bind(listen, claimed.names)
        if claimed.exposed and not self._share_port:
            log.warning(EXPOSED, self.address)
        await self._server.start()
        for service in ("", *services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._state = "started"
        return self.address

    async def _bind(self, listen: Listen, names: Sequence[str]) -> None:
        for name in names:
            try:
                port = self._server.add_insecure_port(name)
            except RuntimeError as error:  # somebody was faster
                # gRPC lets go of the addresses it has when it stops, and it stops only what was started.
                await self._server.start()
                await self._server.stop(None)
                raise InvalidRequestError(f"cannot listen on {listen}: {name} is in use") from error
        self.address = str(HostPort(listen.host, port) if isinstance(listen, HostPort) else listen)

    async def stop(self, grace: float | None = None) -> None:
        """Drain and close: no new streams, then up to `grace` seconds for the running ones, then they are told to come back.

        Closing takes two seconds more at the most; only a connection whose other end takes nothing at all holds it up for
        longer, until TCP gives it up (`keepalive_timeout`). A server that is not listening is left as it is.
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
