"""The clients of a file system: one for each server, in each event loop that uses it.

Rule 1: calls at the same time have a limit, however many coroutines fsspec starts. A file that is being written does not count:
        it lasts as long as the program likes, and the program may open others meanwhile.
Rule 2: before a fork, calls may end and others wait, and then the clients are closed, because gRPC does not survive a fork
        while it is in use. They are made again at the next call, in the parent and in the child.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from weakref import WeakSet

from unspool.client.client import Client
from unspool.rpc import forks

_PATIENCE = 1.0
"""Seconds that calls may take to end before a fork. Most read some MB; a download of minutes does not hold up the program."""

_CLOSING = 2.0
"""Seconds that all of it may take, before a fork and at the end of the interpreter."""


class Hosts:
    """The clients of one file system.

    Args:
        connect: makes the client of a server.
        streams: most calls at the same time, in each event loop.
    """

    def __init__(self, connect: Callable[[str], Client], streams: int) -> None:
        self._connect = connect
        self._streams = streams
        self._pid = os.getpid()
        self._loops: dict[asyncio.AbstractEventLoop, _LoopClients] = {}
        _all.add(self)

    @asynccontextmanager
    async def call(self, host: str) -> AsyncGenerator[Client, None]:
        """Give the client of a server for one call, when there is room for one more.

        Raises:
            InvalidRequestError: `host` does not name a server, or this process was forked while gRPC was in use.
        """
        clients = self._of_this_loop()
        async with clients.room:
            yield clients.client(host, self._connect)

    @asynccontextmanager
    async def hold(self, host: str) -> AsyncGenerator[Client, None]:
        """Give the client of a server for as long as it takes, however many calls there are. Raises as `call`."""
        clients = self._of_this_loop()
        clients.held += 1
        try:
            yield clients.client(host, self._connect)
        finally:
            clients.held -= 1

    async def aclose(self) -> None:
        """Close the clients of this event loop. They are made again when they are needed."""
        if (clients := self._loops.get(asyncio.get_running_loop())) is not None:
            await clients.close()

    def pause(self) -> None:
        """Wait for calls to end, and close the clients, from any thread. What takes too long is left open."""
        for loop, clients in self._others():
            with suppress(Exception):  # what cannot be closed is in use, and a fork says so
                asyncio.run_coroutine_threadsafe(clients.pause(), loop).result(_CLOSING)

    def resume(self) -> None:
        """Let calls begin again, after `pause`."""
        for loop, clients in self._others():
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(clients.resume)

    def _others(self) -> list[tuple[asyncio.AbstractEventLoop, _LoopClients]]:
        """Return the loops that run in other threads of this process."""
        if self._pid != os.getpid():
            return []
        this = asyncio._get_running_loop()
        return [(loop, clients) for loop, clients in list(self._loops.items()) if loop.is_running() and loop is not this]

    def close_soon(self) -> None:
        """Have all clients closed soon: nobody uses this any more."""
        if self._pid != os.getpid():
            return
        for loop, clients in list(self._loops.items()):
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(clients.close_soon)

    def _of_this_loop(self) -> _LoopClients:
        """Return the clients of the event loop that runs."""
        if self._pid != os.getpid():
            forks.check()
            _parents.append(self._loops)
            self._pid, self._loops = os.getpid(), {}
        loop = asyncio.get_running_loop()
        if (clients := self._loops.get(loop)) is None:
            for one in list(self._loops):
                if one.is_closed():
                    self._loops.pop(one, None)
            clients = self._loops[loop] = _LoopClients(self._streams)
        return clients


class _LoopClients:
    """The clients in one event loop, and the room for calls. Used only in the loop."""

    def __init__(self, streams: int) -> None:
        self.clients: dict[str, Client] = {}
        self.room = asyncio.Semaphore(streams)
        self._streams = streams
        self._taken = 0
        self.held = 0  # clients that are used without taking room
        self._closing: asyncio.Task[None] | None = None

    def client(self, host: str, connect: Callable[[str], Client]) -> Client:
        """Return the client of a server, which is made if there is none."""
        if (client := self.clients.get(host)) is None:
            client = self.clients[host] = connect(host)
        return client

    async def pause(self) -> None:
        """Take all the room as calls end, and close the clients when there are none. Those that wait go on after `resume`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while self._taken < self._streams:
                    await self.room.acquire()
                    self._taken += 1
        if self._taken == self._streams and not self.held:
            await self.close()

    def resume(self) -> None:
        """Give back the room."""
        for _ in range(self._taken):
            self.room.release()
        self._taken = 0

    async def close(self) -> None:
        """Close the clients."""
        clients, self.clients = self.clients, {}
        for client in clients.values():
            await client.aclose()

    def close_soon(self) -> None:
        """Begin to close the clients."""
        self._closing = asyncio.get_running_loop().create_task(self.close())


_all: WeakSet[Hosts] = WeakSet()
_parents: list[object] = []
"""What was inherited through forks. It is kept, because a child cannot close its parent's connections."""


def _pause_all() -> None:
    for hosts in list(_all):
        hosts.pause()


def _resume_all() -> None:
    for hosts in list(_all):
        hosts.resume()


def _at_exit() -> None:
    _pause_all()
    _resume_all()  # a thread that calls now is told so by gRPC, and does not wait for ever


forks.before_fork(_pause_all)
os.register_at_fork(after_in_parent=_resume_all)
atexit.register(_at_exit)
