"""What serves a store's files from a gRPC server, whoever's it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import grpc

from unspool.errors import InvalidRequestError
from unspool.options import LimitOptions, ServiceOptions
from unspool.server import dialects
from unspool.server.admission import Admission
from unspool.server.entry import Entry
from unspool.server.report import CallObserver, Reports
from unspool.server.streams import Streams
from unspool.stores.base import Store

log = logging.getLogger("unspool.server")


class FileService:
    """A store's files, to be added to a `grpc.aio` server of yours; `unspool.Server` is one that does it.

        service = unspool.FileService(store)
        server = grpc.aio.server()
        service.add_to(server)
        ...
        await service.drain(10)
        await server.stop(2)

    Args:
        store: where the bytes come from; not closed here.
        options: how it answers, and in which dialects.
        limits: how much it gives to whom; kept for what comes in here, not for your other services.
        observers: are told how each call ended. It is logged in any case (`logging`, logger `unspool.server`).

    Attributes:
        services: the full names of the services it answers, for health and reflection.
    """

    def __init__(
        self,
        store: Store,
        options: ServiceOptions | None = None,
        limits: LimitOptions | None = None,
        observers: Sequence[CallObserver] = (),
    ) -> None:
        options, limits = options or ServiceOptions(), limits or LimitOptions()
        self._streams = Streams(limits)
        self._entry = Entry(Reports(observers).reported, Admission(limits).admitted, self._streams.running)
        self._dialects = [dialects.make(name, store, self._streams, options) for name in options.dialects]
        self.services = tuple(dialect.service for dialect in self._dialects)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have a server answer for the files, before it is started.

        Raises:
            InvalidRequestError: it is no `grpc.aio` server.
        """
        if not isinstance(server, grpc.aio.Server):
            raise InvalidRequestError(f"{type(server).__name__}: not a server made by grpc.aio.server()")
        server.add_generic_rpc_handlers([self._entry.handlers(dialect) for dialect in self._dialects])

    @property
    def active(self) -> int:
        """How many streams are running."""
        return self._streams.active

    async def drain(self, grace: float) -> None:
        """Take no new streams, and have the running ones end: by themselves within `grace` seconds, then by our asking.

        Clients of ours come back by themselves, here or at another replica. Nothing is awaited of a client that takes nothing.
        """
        self._streams.drain()
        try:
            async with asyncio.timeout(grace):
                await self._streams.wait_idle()
        except TimeoutError:
            log.info("%d streams did not end in time: their clients are asked to come back", self.active)
            self._streams.cut()
