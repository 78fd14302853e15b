"""The gRPC server: listening, health, reflection, drain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

import grpc

from unspool.answers.kept import KeptChecksums
from unspool.core.access import Audit, Authenticate, Authorize
from unspool.core.address import HostPort
from unspool.core.counted import counted
from unspool.core.tls import Listener, parse_listeners
from unspool.errors import InvalidRequestError, UnspoolError
from unspool.ingest.base import Ingester
from unspool.options import ServerOptions
from unspool.rpc import forks
from unspool.rpc.certificates import Certificates, FilePath
from unspool.rpc.connection import bounded_options
from unspool.rpc.tls import server_credentials
from unspool.server.connections import room
from unspool.server.exposure import check_certificates, check_exposure, exposure_warning
from unspool.server.guard import everybody
from unspool.server.ports import Claim, claim
from unspool.server.probes import Probes
from unspool.server.report import CallFollower
from unspool.server.service import FileService
from unspool.server.siblings import Siblings
from unspool.server.socketlock import lock_socket_directories
from unspool.stores.base import Store

log = logging.getLogger("unspool.server")

_SWEEPS = 3600.0
"""Seconds between two sweeps of uploads that expired."""

_CLOSING = 2.0
"""Seconds that cut streams have to send their status to the client before connections are closed."""


_UNCOMPRESSED = 1
"""The set of gRPC's compression algorithms of which "identity" is the only member: decision 0079."""


class Server:
    """Serves a store. As an async context manager it listens inside the block, and drains and closes at the end.

    It speaks the dialects of its options, grpc.health.v1 and server reflection.

    Args:
        store: where the bytes come from. The server does not close it.
        listen: `HOST:PORT` is a port on every address of the host, or an error if one of them is in use; `PORT` and `:PORT`
            are a port on all interfaces; `unix:PATH` is a Unix socket. Port 0 picks a free one, see `address`. There may be
            several addresses. `tls:`, `mtls:` or `plain:` before one says what secures it; without these, a port has TLS if
            there is a `cert`, and asks for client certificates if there is a `client_ca`.
        options: limits and intervals.
        observers: notified when a call ends, or begins and ends; see `FileService`.
        share_port: whether other servers of this user may listen on the same port, if they set this too. The kernel then
            distributes the connections among them (SO_REUSEPORT). Without it a port in use is an error. With it the server
            does not log the warning below; the program that starts the servers should, once.
        cert: a file with the server's certificate (PEM), followed by those of intermediate authorities.
        key: a file with its private key (PEM), without a passphrase; None if it is in the file `cert`.
        client_ca: a file with the certificates of the authorities that sign those of clients (PEM).
        ingester: gets the files that clients write, below the same directory as the store's; None makes the server read-only.
            The server does not close it, but has it sweep at the start and every hour.
        checksums: a file (SQLite) that keeps the checksums that the server learns, for its next start. It is created if it does
            not exist. Several servers may use one file.
        insecure: whether it may listen in clear on an address that other machines reach, and take tokens there. It logs a
            warning then.
        authenticate, authorize, audit: who may do what, and who is told; see `FileService`.
        siblings: the other processes that share the port; see `FileService`.

    The files are read again when they change, for the connections that are made from then on. If they are bad then, what was
    there before stays in use; that is logged.

    Attributes:
        address: where it listens, as clients write it: `HOST:PORT`, `unspools://HOST:PORT` with TLS, or `unix:PATH`. The first
            of `addresses`.
        addresses: all of them, in the order of `listen`.
        certificates: the files, and how often they were bad when they changed (`refused`); None without TLS.
    """

    def __init__(
        self,
        store: Store,
        listen: str | Sequence[str] = "127.0.0.1:0",
        options: ServerOptions | None = None,
        observers: Sequence[CallFollower] = (),
        *,
        share_port: bool = False,
        cert: FilePath | None = None,
        key: FilePath | None = None,
        client_ca: FilePath | None = None,
        insecure: bool = False,
        authenticate: Authenticate | None = None,
        authorize: Authorize | None = None,
        audit: Audit | None = None,
        checksums: FilePath | None = None,
        siblings: Siblings | None = None,
        ingester: Ingester | None = None,
    ) -> None:
        self.options = options or ServerOptions()
        self.addresses = (listen,) if isinstance(listen, str) else tuple(listen)
        self.certificates = None if cert is None and key is None else Certificates(client_ca, cert, key)
        self._listeners = parse_listeners(self.addresses, cert=cert is not None, client_ca=client_ca is not None)
        self._insecure = insecure
        self._share_port = share_port
        self._guarded = authenticate is not None or authorize is not None
        if client_ca is not None and authenticate is None and authorize is None:
            authorize = everybody  # and find out who they are, for the log and the limits
        self._kept = None if checksums is None else KeptChecksums(checksums)
        self._service = FileService(
            store,
            self.options.service,
            self.options.limits,
            observers,
            authenticate=authenticate,
            authorize=authorize,
            tokens_in_clear=insecure,
            audit=audit,
            checksums=self._kept,
            siblings=siblings,
            ingester=ingester,
        )
        self._ingester = ingester
        self._watch: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._state: Literal["new", "started", "stopped"] = "new"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self.addresses)} ({self._state})>"

    @property
    def address(self) -> str:
        """The first of `addresses`."""
        return self.addresses[0]

    async def start(self) -> str:
        """Begin to listen; return `address`.

        Raises:
            InvalidRequestError: the server cannot listen on an address, or was started before; a file has not what it should
                have; or an address would be open to other machines in clear.
            LocalFileError: a file of the certificate cannot be read.
        """
        if self._state != "new":
            raise InvalidRequestError(f"{self.address}: this server was {self._state} already: make another one")
        forks.check()
        async with lock_socket_directories([listener.where for listener in self._listeners]):
            # In a thread, because resolving a host may block on a name server, and reading a file on a disk.
            claims = await asyncio.to_thread(self._claim)
            self._make()
            await self._bind(claims)
        for listener, address, claimed in zip(self._listeners, self.addresses, claims, strict=True):
            if claimed.exposed and not self._share_port:
                said = exposure_warning(listener.mode, address, guarded=self._guarded, writes=self._ingester is not None)
                if said is not None:
                    log.warning("%s", said)
        await self._server.start()
        self._probes.serving(yes=True)
        if self._ports:
            self._watch = asyncio.create_task(self._service.connections.watch(self._ports, room(self.options.limits).wanted))
        if self._ingester is not None:
            self._sweeping = asyncio.create_task(_sweep(self._ingester))
        self._state = "started"
        return self.address

    def _make(self) -> None:
        """Make the gRPC server, which does not listen yet."""
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
                ("grpc.max_concurrent_streams", 2 * options.limits.streams_per_peer),
                ("grpc.max_allowed_incoming_connections", room(options.limits).most),
                ("grpc.max_connection_idle_ms", int(options.connection_idle * 1000)),
                ("grpc.server_handshake_timeout_ms", int(options.handshake_timeout * 1000)),
                ("grpc.compression_enabled_algorithms_bitset", _UNCOMPRESSED),
                *(() if options.upload_window is None else bounded_options(options.upload_window)),
            ]
        )
        forks.note(self._server)
        self._service.add_to(self._server)
        self._probes = Probes(self._service.services, options.limits, self._service.connections, self._service.pools)
        self._probes.add_to(self._server)

    def _claim(self) -> list[Claim]:
        """Check the files and the addresses."""
        if self.certificates is not None:
            if self._share_port:
                self.certificates.current()
            else:
                check_certificates(self.certificates)
        claims = []
        for listener in self._listeners:
            claimed = claim(listener.where, shared=self._share_port)
            check_exposure(listener, exposed=claimed.exposed, insecure=self._insecure)
            claims.append(claimed)
        return claims

    async def _bind(self, claims: Sequence[Claim]) -> None:
        addresses = []
        self._ports: set[int] = set()  # without those of Unix sockets, whose ends do not tell who is who
        for listener, claimed in zip(self._listeners, claims, strict=True):
            for name in claimed.names:
                try:
                    port = self._add(name, listener)
                except RuntimeError as error:  # another process took the port meanwhile, or another address is the same
                    # gRPC releases the addresses that are bound already only in stop(), which needs a started server.
                    await self._server.start()
                    await self._server.stop(None)
                    raise InvalidRequestError(f"cannot listen on {listener.where}: {name} is in use") from error
            addresses.append(listener.address(port))
            if isinstance(listener.where, HostPort):
                self._ports.add(port)
        self.addresses = tuple(addresses)

    def _add(self, name: str, listener: Listener) -> int:
        if listener.mode == "plain":
            return self._server.add_insecure_port(name)
        assert self.certificates is not None
        return self._server.add_secure_port(name, server_credentials(self.certificates, listener.mode))

    async def stop(self, grace: float | None = None) -> None:
        """Drain and close: refuse new streams, wait up to `grace` seconds for the running ones, then ask clients to retry.

        Closing takes at most two seconds more. The exception is a connection whose peer reads nothing: it is closed when TCP
        gives up (`keepalive_timeout`). On a server that is not listening, this does nothing.
        """
        if self._state != "started":
            return
        self._state = "stopped"
        self._probes.serving(yes=False)
        await self._service.drain(self.options.grace if grace is None else grace)
        await self._server.stop(_CLOSING)
        for task in (self._watch, self._sweeping):
            if task is not None:
                task.cancel()
        if self._kept is not None:
            await asyncio.to_thread(self._kept.close)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(0 if error is not None else None)


async def _sweep(ingester: Ingester) -> None:
    """Have an ingester remove what expired, now and then."""
    while True:
        try:
            count = await ingester.sweep()
        except UnspoolError as error:
            log.warning("uploads that expired could not be removed: %s", error.message)
        else:
            if count:
                log.info("%s expired", counted(count, "upload"))
        await asyncio.sleep(_SWEEPS)
