"""How many connections may be open, with calls or without, and which are closed when they are too many.

A process that runs out of file descriptors serves nobody, and a connection costs whoever opens it nothing. gRPC closes what
comes over the limit, which alone would let a thousand connections that say nothing lock everybody out. So idle ones are closed
before the limit is reached. gRPC has no call for that: they are found among the process's descriptors, and shut down.

Rule 1: a connection with a running call is never closed here.
Rule 2: the host with the most connections loses first, and of its connections those that never made a call.
Rule 3: a connection has at least `LOOK` seconds to make its first call.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import unquote

from unspool.core.value import value
from unspool.options import LimitOptions
from unspool.server.entry import Call

log = logging.getLogger("unspool.server")

LOOK = 0.1
"""Seconds between two looks at the open connections. A look costs 0.1 ms; with many descriptors, 10 us for each."""

RESERVE = 128
"""Descriptors that a server reserves for gRPC, the event loop, and the directories that its 64 threads have open."""

LEAST = 32
"""Of these, descriptors that connections never get. gRPC and the event loop take 24 (measured)."""

_REMEMBERED = 10_000
"""Addresses that are remembered as having made a call."""

_LOUD = 60.0
"""Seconds between two lines of the log about closed connections."""

Peer: TypeAlias = tuple[str, int]
"""The host and the port that a connection comes from."""


@value
class Room:
    """How many connections may be open.

    Attributes:
        most: as many as are let in. What comes over it is closed before it can say a word, which a client takes for a server
            that does not work; so it is as many as possible.
        wanted: while more than three quarters of this are open, idle ones are closed.
    """

    most: int
    wanted: int


def room(limits: LimitOptions) -> Room:
    """Return how many connections may be open: what is asked for, or what the descriptors allow besides the streams' files."""
    if limits.open_connections is not None:
        return Room(limits.open_connections, limits.open_connections)
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        allowed = 1 << 20
    left = allowed - min(limits.streams, allowed // 2)
    return Room(max(left - LEAST, 1), max(left - RESERVE, 1))


class Connections:
    """The open connections of a server."""

    def __init__(self) -> None:
        self._calling: Counter[Peer] = Counter()
        self._called: OrderedDict[Peer, None] = OrderedDict()
        self._seen: dict[Peer, float] = {}  # when a look first found it
        self._said = float("-inf")

    @contextmanager
    def calling(self, call: Call) -> Iterator[None]:
        """Note which connection a call uses, while it runs."""
        peer = _peer(call.caller.address)
        self._called[peer] = None
        self._called.move_to_end(peer)
        if len(self._called) > _REMEMBERED:
            self._called.popitem(last=False)
        self._calling[peer] += 1
        try:
            yield
        finally:
            self._calling[peer] -= 1
            if not self._calling[peer]:
                del self._calling[peer]

    async def watch(self, ports: Collection[int], wanted: int) -> None:
        """Close idle connections to these ports while more than three quarters of `wanted` are open, until half are."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(LOOK)
            if len(_descriptors()) <= wanted * 3 // 4:
                self._seen.clear()
            elif closed := self._look(ports, wanted, clock()):
                self._say(closed, wanted, clock())

    def _look(self, ports: Collection[int], wanted: int, now: float) -> int:
        """Look at all connections once, and close as many as are too many. Return how many were closed."""
        found = dict(_connections(ports))
        self._seen = {peer: self._seen.get(peer, now) for peer in found}
        if len(found) <= wanted * 3 // 4:
            return 0
        hosts = Counter(host for host, _ in found)
        idle = [peer for peer in found if peer not in self._calling and self._seen[peer] < now]
        idle.sort(key=lambda peer: (-hosts[peer[0]], peer in self._called, self._seen[peer]))
        return sum(_shut(found[peer], peer) for peer in idle[: len(found) - wanted // 2])

    def _say(self, closed: int, wanted: int, now: float) -> None:
        if now - self._said >= _LOUD:
            self._said = now
            log.warning("%d idle connections were closed: nearly as many are open as there is room for (%d)", closed, wanted)


@lru_cache(maxsize=1000)
def _peer(address: str) -> Peer:
    """Return the peer that gRPC writes as `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    host, _, port = unquote(address).partition(":")[2].rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else 0


def _descriptors() -> list[str]:
    try:
        return os.listdir("/dev/fd")  # noqa: PTH208 - names are enough
    except OSError:
        return []


def _connections(ports: Collection[int]) -> Iterator[tuple[Peer, int]]:
    """Yield the connections that were accepted on these ports: who it is, and the descriptor."""
    for name in _descriptors():
        with suppress(OSError), closing(_socket(int(name))) as connection:  # OSError: not a socket, not connected, or gone
            if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.getsockname()[1] in ports:
                host, port = connection.getpeername()[:2]
                yield (host.removeprefix("::ffff:"), port), int(name)


def _shut(descriptor: int, peer: Peer) -> bool:
    """Shut a connection down, if the descriptor is still the one of this peer. gRPC then closes it."""
    with suppress(OSError), closing(_socket(descriptor)) as connection:
        host, port = connection.getpeername()[:2]
        if (host.removeprefix("::ffff:"), port) == peer:
            connection.shutdown(socket.SHUT_RDWR)
            return True
    return False


def _socket(descriptor: int) -> socket.socket:
    """Return a socket on a copy of a descriptor: closing it leaves the connection open."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
