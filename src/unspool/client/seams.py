"""The outside world of a transfer: the servers, time, chance, and what is known of the servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random

from unspool.client.clock import Clock
from unspool.client.ratelimit import RateLimit
from unspool.client.replicas import ReplicaConnections
from unspool.client.transport import Transport
from unspool.core.value import value
from unspool.errors import ConnectError, StalledError, UnreachableError, UnspoolError


@dataclass(slots=True)
class Contact:
    """Whether the server has answered any transfer of this client.

    If it never has, the address is probably wrong or the server is not running: the client gives up soon. If it has, it is
    probably away for a while: the client retries.
    """

    made: bool = False

    def judge(self, error: UnspoolError) -> UnspoolError:
        """Return the error to report: UnreachableError instead of ConnectError if the server has answered before."""
        if isinstance(error, ConnectError):
            return UnreachableError(error.message) if self.made else error
        if not isinstance(error, StalledError):
            self.made = True  # the server sent the error, or a connection to it broke
        return error


@value
class Seams:
    """The outside world of a transfer: network, time and chance.

    Attributes:
        transport: to the server, or the connections to its replicas.
        contact: shared by all transfers to the server.
        connect: creates another transport to the same server, or more connections to its replicas; None if there can be only
            one.
        limit: the rate limit; None if there is none.
    """

    transport: Transport | ReplicaConnections
    clock: Clock
    random: Random
    connect: Callable[[], Transport | ReplicaConnections] | None = None
    contact: Contact = field(default_factory=Contact)
    limit: RateLimit | None = None

    @asynccontextmanager
    async def another(self) -> AsyncGenerator[Seams, None]:
        """Yield the same seams with a separate connection, if there can be more than one."""
        if self.connect is None:
            yield self
            return
        transport = self.connect()
        try:
            yield replace(self, transport=transport)
        finally:
            await transport.aclose()
