"""A TCP proxy on loopback that behaves like a bad network: it cuts, stalls and delays, limits the bandwidth and corrupts bytes.

It forwards bytes and does not interpret HTTP/2 or gRPC. Its faults can be changed at any time, and `stats` counts them.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self

_MIB = 1 << 20
_READ_SIZE = 256 * 1024
_SLICE = 0.05
"""Seconds' worth of bandwidth that are forwarded at once, so that bytes trickle as on a slow line."""

_SMALL_BUFFER = 1 << 20
"""Bytes. If `buffer` is smaller, the kernel's own buffers, which grow to several MiB, are kept small as well."""


@dataclass(slots=True)
class ProxyStats:
    """The counts of a proxy so far.

    Attributes:
        connections: connections accepted.
        cut: connections ended by the proxy.
        to_client, to_server: bytes forwarded.
        corrupted: bytes changed.
    """

    connections: int = 0
    cut: int = 0
    to_client: int = 0
    to_server: int = 0
    corrupted: int = 0


class Proxy:
    """Forwards TCP connections to `target`, as an async context manager. Clients connect to `address`.

    Attributes:
        delay: seconds by which every byte is delayed, each way; half of the added round-trip time.
        bandwidth: bytes per second, for each direction and each connection; None is unlimited.
        buffer: least number of bytes in flight to either side; larger if bandwidth times delay requires it.
        shared: whether all connections share `bandwidth`, as on one line.
        cut_after: bytes to the client after which a connection is cut; None for never. With `cut_once` only one connection
            is cut.
        cut_chance: probability that a connection is cut, at a random byte, during each MiB to the client; 0 is never.
        corrupt_after: bytes to the client, from now on, over all connections, after which one bit is flipped; None for never.

    Args:
        target: `HOST:PORT` of the real server.
        random: decides when connections are cut.
    """

    def __init__(self, target: str, random: Random | None = None) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host.strip("[]"), int(port))
        self.stats = ProxyStats()
        self.delay = 0.0
        self.bandwidth: float | None = None
        self.buffer = 4 * _MIB
        self.shared = False
        self.cut_after: int | None = None
        self.cut_once = False
        self.cut_chance = 0.0
        self.corrupt_after: int | None = None
        self._random = random or Random()  # noqa: S311 - bad luck, not a secret
        self._line = {True: _Line(), False: _Line()}
        self._open = asyncio.Event()  # not stalled
        self._open.set()
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_READ_SIZE)
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        self.resume()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut all connections now, with a reset (RST): bytes in flight are lost."""
        for pair in list(self._pairs):
            pair.cut()

    def stall(self) -> None:
        """Forward nothing until `resume`. Connections stay open, and new ones are accepted."""
        self._open.clear()

    def resume(self) -> None:
        """End a stall."""
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # by our own exit; asyncio would report a handler that is cancelled
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.stats.connections += 1
        try:
            there, back = await asyncio.open_connection(*self._target, limit=min(_READ_SIZE, self.buffer))
        except OSError:
            _reset(writer)
            await _closed(writer)
            return
        except asyncio.CancelledError:
            _reset(writer)
            raise
        if self.buffer < _SMALL_BUFFER:
            back.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer // 2)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer // 2)
        pair = _Pair(self, writer, back)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(_Direction(self, pair, reader, back, to_client=False).run())
                directions.create_task(_Direction(self, pair, there, writer, to_client=True).run())
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._pairs.discard(pair)
            writer.close()
            back.close()  # close both before waiting for either, because the wait may be cancelled
            await _closed(writer)
            await _closed(back)


class _Line:
    """A line, in one direction. `free_at` is the time when the next bytes can be sent."""

    free_at = 0.0


class _Pair:
    """The two sockets of one connection."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = (client, server)
        self._fate = proxy._random.expovariate(1)  # the accumulated risk at which the connection is cut
        self.passed = 0

    def end(self) -> int | None:
        """Return the number of bytes to the client after which to cut the connection; None for never."""
        chance, after = self._proxy.cut_chance, self._proxy.cut_after
        if chance <= 0:
            return after
        doomed = 0 if chance >= 1 else int(self._fate * _MIB / -math.log1p(-chance))
        return doomed if after is None else min(doomed, after)

    def cut(self) -> None:
        self._proxy.stats.cut += 1
        self._proxy._pairs.discard(self)
        for writer in self._writers:
            _reset(writer)


class _Direction:
    """The bytes of one connection in one direction: read when they arrive, written when they are due."""

    def __init__(
        self, proxy: Proxy, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_client: bool
    ) -> None:
        self._proxy = proxy
        self._pair = pair
        self._reader = reader
        self._writer = writer
        self._to_client = to_client
        self._own_line = _Line()
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()

    async def run(self) -> None:
        """Forward bytes until both sides have ended."""
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._take())
            ends.create_task(self._give())

    async def _take(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await self._reader.read(_READ_SIZE):
            self._under_way.append((loop.time() + self._proxy.delay, data))
            self._size += len(data)
            self._arrived.set()
            room = max(self._proxy.buffer, int(2 * self._proxy.delay * (self._proxy.bandwidth or 0)))
            while self._size > room:
                self._left.clear()
                await self._left.wait()
        self._under_way.append((loop.time() + self._proxy.delay, b""))
        self._arrived.set()

    async def _give(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._under_way:
                self._arrived.clear()
                await self._arrived.wait()
            due, data = self._next_slice()
            line = self._proxy._line[self._to_client] if self._proxy.shared else self._own_line
            wait = max(due, line.free_at) - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._proxy._open.wait()
            if not data:
                # An end of file cannot be sent on a socket that is closed already (uvloop raises an error then).
                if not self._writer.transport.is_closing() and self._writer.can_write_eof():
                    self._writer.write_eof()
                return
            self._size -= len(data)
            self._left.set()
            if self._proxy.bandwidth:
                line.free_at = max(line.free_at, loop.time() - 0.01) + len(data) / self._proxy.bandwidth
            if not self._pass_on(data):
                return
            await self._writer.drain()

    def _next_slice(self) -> tuple[float, bytes]:
        due, data = self._under_way.popleft()
        most = max(int(self._proxy.bandwidth * _SLICE), 1) if self._proxy.bandwidth else len(data)
        if len(data) > most:
            self._under_way.appendleft((due, data[most:]))
            data = data[:most]
        return due, data

    def _pass_on(self, data: bytes) -> bool:
        """Write the bytes, or those before a cut; return whether the connection is still open."""
        proxy, stats = self._proxy, self._proxy.stats
        if not self._to_client:
            stats.to_server += len(data)
            self._writer.write(data)
            return True
        if proxy.corrupt_after is not None:
            at, proxy.corrupt_after = proxy.corrupt_after, proxy.corrupt_after - len(data)
            if at < len(data):
                data = data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :]
                stats.corrupted += 1
                proxy.corrupt_after = None
        end = self._pair.end()
        whole = end is None or self._pair.passed + len(data) < end
        if end is not None:
            data = data[: max(end - self._pair.passed, 0)]
        self._pair.passed += len(data)
        stats.to_client += len(data)
        self._writer.write(data)
        if not whole:
            if proxy.cut_once:
                proxy.cut_after = None
            self._pair.cut()
        return whole


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Wait until the socket is closed."""
    with suppress(OSError):
        await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):  # it is closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
