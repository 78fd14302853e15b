"""The service that answers for a store's files. It can be added to any `grpc.aio` server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import grpc

from unspool.answers.kept import KeptChecksums
from unspool.core.access import Audit, Authenticate, Authorize
from unspool.core.counted import counted
from unspool.core.running import Running
from unspool.errors import InvalidRequestError
from unspool.ingest.base import Ingester
from unspool.options import LimitOptions, ServiceOptions
from unspool.rpc.adminwire import WATCH_CALLS
from unspool.server import dialects
from unspool.server.admission import Admission
from unspool.server.audit import Decisions
from unspool.server.connections import Connections
from unspool.server.descriptorpools import HasPool
from unspool.server.entry import Concern, Entry
from unspool.server.guard import Guard
from unspool.server.report import CallFollower, Reports
from unspool.server.requests import Requests
from unspool.server.running import RunningCalls
from unspool.server.siblings import Siblings
from unspool.server.streams import Streams
from unspool.stores.base import Store

log = logging.getLogger("unspool.server")


class FileService:
    """Serves a store's files from your own `grpc.aio` server. `unspool.Server` uses it too.

        service = unspool.FileService(store)
        server = grpc.aio.server()
        service.add_to(server)
        ...
        await service.drain(10)
        await server.stop(2)

    Args:
        store: where the bytes come from. The service does not close it.
        options: sizes, intervals and dialects.
        limits: limits on the calls of this service. They do not cover the other services of your server.
        observers: notified when a call ends (`CallObserver`), or told when it begins too (`CallWatcher`). Each call is logged
            in any case (`logging`, logger `unspool.server`).
        authenticate: identifies the caller of every call, as `unspool.access.TokenFile` does. None takes no tokens.
        authorize: decides what each caller may do, as `unspool.access.RulesFile` does. None lets everybody do everything, or,
            with `authenticate`, everybody who was identified.
        tokens_in_clear: whether tokens are accepted over connections on which others can read them.
        audit: told what was decided about each call, as `unspool.access.AuditFile`.
        checksums: the open file that keeps the checksums that the service learns. The service does not close it.
        siblings: the other processes that serve the same port, for the dialect `admin`; None if there are none.
        ingester: gets the files that clients write, as `unspool.ingest.local.LocalIngester`; None refuses them. The service
            does not close it.

    Attributes:
        services: the full names of the gRPC services it implements, for health and reflection.
        pools: the descriptor pools, besides the default one, that describe them. Reflection looks into the default one only.
        connections: the connections that its calls use.
    """

    def __init__(
        self,
        store: Store,
        options: ServiceOptions | None = None,
        limits: LimitOptions | None = None,
        observers: Sequence[CallFollower] = (),
        *,
        authenticate: Authenticate | None = None,
        authorize: Authorize | None = None,
        tokens_in_clear: bool = False,
        audit: Audit | None = None,
        checksums: KeptChecksums | None = None,
        siblings: Siblings | None = None,
        ingester: Ingester | None = None,
    ) -> None:
        options, limits = options or ServiceOptions(), limits or LimitOptions()
        self._streams = Streams(limits)
        self.connections = Connections()
        concerns: list[Concern] = [self.connections.calling, Admission(limits).admitted, self._streams.running]
        guard = None
        if authenticate is not None or authorize is not None or audit is not None:
            guard = Guard(authenticate, authorize, in_clear=tokens_in_clear)
        if audit is not None:
            concerns.append(Decisions(audit).audited)  # the last one: calls over a limit do not fill the disk
        requests = Requests(limits.request_timeout, limits.streams)
        everywhere: Callable[[], Awaitable[Running]] = dialects.nowhere
        if "admin" in options.dialects:
            running = RunningCalls(omitted=frozenset({WATCH_CALLS}), worker=1 if siblings is None else siblings.number)
            observers = [*observers, running]
            everywhere = running.everywhere if siblings is None else siblings.with_mine(running.now)
        self._entry = Entry(Reports(observers).reported, *concerns, requests=requests, access=guard)
        self._dialects = [
            dialects.make(name, store, self._streams, options, kept=checksums, ingester=ingester, everywhere=everywhere)
            for name in options.dialects
        ]
        self.services = tuple(dialect.service for dialect in self._dialects)
        self.pools = tuple(dialect.pool for dialect in self._dialects if isinstance(dialect, HasPool))

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service with a server that has not been started.

        Raises:
            InvalidRequestError: it is not a `grpc.aio` server.
        """
        if not isinstance(server, grpc.aio.Server):
            raise InvalidRequestError(
                f"{type(server).__name__}: not a server made by grpc.aio.server(). One with threads would need one for each "
                "stream, for as long as it runs: serve files on another port, with unspool.Server in a thread of its own"
            )
        logging.getLogger("grpc._cython.cygrpc").addFilter(_is_worth_a_line)
        server.add_generic_rpc_handlers([self._entry.handlers(dialect) for dialect in self._dialects])

    @property
    def active(self) -> int:
        """How many streams are running."""
        return self._streams.active

    async def drain(self, grace: float) -> None:
        """Refuse new streams, give the running ones `grace` seconds to finish, then end them.

        An ended stream asks its client to retry; unspool's clients do, here or at another replica. A client that does not read
        does not delay the drain.
        """
        self._streams.drain()
        try:
            async with asyncio.timeout(grace):
                await self._streams.wait_idle()
        except TimeoutError:
            log.info("%s still running after the grace time: the clients are asked to retry", counted(self.active, "stream"))
            self._streams.cut()


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether to log a record of gRPC's. It logs a traceback if a client leaves while the last message is on its way.

    Clients often leave, and one that does so on purpose could fill the log.
    """
    return not (record.exc_info and str(record.exc_info[1]).startswith('Failed "execute_batch"'))
