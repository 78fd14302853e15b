"""A real server on loopback, which runs inside a `with`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from unspool.ingest.base import Ingester
from unspool.options import ServerOptions
from unspool.server.report import CallObserver
from unspool.server.server import Server
from unspool.stores.base import Store


@asynccontextmanager
async def serve(
    store: Store,
    options: ServerOptions | None = None,
    observers: Sequence[CallObserver] = (),
    ingester: Ingester | None = None,
) -> AsyncGenerator[str, None]:
    """Serve a store on a free port of 127.0.0.1; yields `HOST:PORT`. On exit, running streams are ended at once.

    With an `ingester`, clients may write.
    """
    server = Server(store, "127.0.0.1:0", options, observers, ingester=ingester)
    await server.start()
    try:
        yield server.address
    finally:
        await server.stop(grace=0)
