"""The connections to several replicas, and the way that the attempts of one transfer take among them.

`unspool.core.replicas` has the rules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from unspool.client.clock import Clock
from unspool.client.transport import Transport
from unspool.core.replicas import Replicas, Round, helps_elsewhere
from unspool.errors import UnspoolError

Lookup: TypeAlias = Callable[[], Awaitable[Iterable[str]]]
"""Returns the addresses of the replicas now. Raises UnspoolError."""

_LOOK_AGAIN = 5.0
"""Seconds after which replicas are looked up again, at the next failure. (gRPC: at most every 30 s.)"""


class ReplicaConnections:
    """One transport for each replica, made when it is first used.

    Args:
        source: the replicas as the user wrote them, for the journal and for messages.
        replicas: shared by all connections of a client.
        connect: makes the transport to a replica.
        lookup: finds the replicas; None if they are known.
    """

    def __init__(
        self, source: str, replicas: Replicas, connect: Callable[[str], Transport], lookup: Lookup | None = None
    ) -> None:
        self.source = source
        self.replicas = replicas
        self._connect = connect
        self._lookup = lookup
        self._looked: float | None = None
        self._transports: dict[str, Transport] = {}

    def to(self, name: str) -> Transport:
        """Return the transport to a replica."""
        if name not in self._transports:
            self._transports[name] = self._connect(name)
        return self._transports[name]

    async def look(self, now: float) -> None:
        """Look the replicas up if they are not known, or if one has failed and that was some time ago."""
        if self._lookup is None or (self._looked is not None and now - self._looked < _LOOK_AGAIN):
            return
        try:
            found = list(await self._lookup())
        except UnspoolError:
            if not self.replicas.names:
                raise
            return  # those that are known may be well
        self._looked = now
        self.replicas.know(found)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()


class Route:
    """The way of one stream of a transfer: its attempts, one after another, each at one replica.

    With one server it leads there always.

    Args:
        to: the server, or the connections to the replicas.
        clock: says how long replicas have been silent.
        without: see `Round`.
    """

    def __init__(self, to: Transport | ReplicaConnections, clock: Clock, without: set[str]) -> None:
        self._several = to if isinstance(to, ReplicaConnections) else None
        self._only = None if isinstance(to, ReplicaConnections) else to
        self._clock = clock
        self._round = Round(without)
        self._server: str | None = None
        self._running = False

    @property
    def several(self) -> ReplicaConnections | None:
        """The connections to the replicas; None if there is one server."""
        return self._several

    def shares_storage(self) -> None:
        """Note that the replicas share one storage."""
        self._round.shared = True

    @property
    def transport(self) -> Transport:
        """The transport of the attempt that runs, or of the last one."""
        if self._only is not None:
            return self._only
        assert self._several is not None
        assert self._server is not None
        return self._several.to(self._server)

    @property
    def server(self) -> str:
        """The server of the attempt that runs, or of the last one."""
        return self._server if self._server is not None else self.transport.source

    def anew(self) -> None:
        """Forget earlier failures: another round begins."""
        self._round.begin()

    def forget(self) -> None:
        """Forget which replicas did not have the revision: another one will do."""
        self._round.without.clear()

    async def begin(self) -> None:
        """Choose the server of an attempt."""
        if self._several is None:
            return
        now = self._clock.monotonic()
        if not self._several.replicas.names or self._round.failed:
            await self._several.look(now)
        replicas = self._several.replicas
        self._server = replicas.begin(now, self._round.failed, self._round.without, stay=self._server)
        self._running = True

    def end(self, error: BaseException | None) -> None:
        """Note that the attempt has ended, and how. If the caller has left, that says nothing of the server."""
        if self._several is None or self._server is None or not self._running:
            return
        self._running = False
        self._several.replicas.end(self._server)
        if error is None:
            self._several.replicas.answered(self._server)
        elif isinstance(error, UnspoolError):
            self._several.replicas.failed(self._server, error, self._clock.monotonic())

    def may_help(self, error: UnspoolError) -> bool:
        """Return whether another replica may succeed where this one failed with this error."""
        return self._several is not None and len(self._several.replicas.names) > 1 and helps_elsewhere(error)

    def failed(self, error: UnspoolError, *, progressed: bool) -> bool:
        """Note why another attempt is needed; return whether it is made at once, at a replica that has not failed yet."""
        if self._several is None or self._server is None:
            return False
        self._round.add(self._server, _without_frames(error), progressed=progressed)
        return self._round.goes_on(self._several.replicas.names)

    def deciding(self, error: UnspoolError, *, begun: bool) -> UnspoolError:
        """Return the error by which the retry budget decides, after an error of the last server that could be asked."""
        return error if self._several is None else self._round.deciding(begun=begun)

    def final(self, error: UnspoolError) -> UnspoolError:
        """Return the error to raise instead of `error` when there is no other attempt."""
        return error if self._several is None else self._round.final()


def _without_frames(error: UnspoolError) -> UnspoolError:
    """Return the error without its traceback, which refers to frames that hold blocks."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
