"""A gate between client and server, so that a test can act in the middle of a transfer without racing it."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

_PIECE = 1 << 16


class Gate:
    """A relay on loopback that lets through only so many bytes of what the server says, until it is opened.

    Args:
        target: `HOST:PORT` of the server, in IPv4; it need not be there yet.
        limit: bytes of the server's that pass, over all connections.

    Attributes:
        address: `HOST:PORT` for clients.
        passed: bytes of the server's that passed so far.
        connections: how many there were.
        ports: from which the server was connected to, for each: its log knows connections by them.
    """

    def __init__(self, target: str, limit: int) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._limit: float = limit
        self.passed = self.connections = self._taken = 0
        self.ports: list[int] = []
        self._closed = False
        self._changed = threading.Condition()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listener.getsockname())

    def open(self) -> None:
        """Let everything through from now on."""
        with self._changed:
            self._limit = float("inf")
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for each in (self._listener, *self._sockets):
            _shut(each)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def _begin(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            server = socket.socket()
            self._sockets.append(server)
            # Little room on the way, so that a server soon feels a closed gate.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * _PIECE)
            try:
                server.connect(self._target)
            except OSError:
                _shut(client)
                continue
            self.ports.append(server.getsockname()[1])
            self.connections += 1
            self._begin(partial(_pass_on, client, server, partial(client.recv, _PIECE), lambda _: None))
            self._begin(partial(_pass_on, server, client, partial(self._receive, server), self._count))

    def _receive(self, server: socket.socket) -> bytes:
        """Wait until something may pass, and receive no more than that."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._taken < self._limit)
            room = int(min(_PIECE, max(self._limit - self._taken, 1)))
            self._taken += room  # so that no other connection takes it too
        data = b""
        try:
            data = server.recv(room)
        finally:
            with self._changed:
                self._taken -= room - len(data)
                self._changed.notify_all()
        return data

    def _count(self, size: int) -> None:
        with self._changed:
            self.passed += size


def _pass_on(source: socket.socket, sink: socket.socket, receive: Callable[[], bytes], count: Callable[[int], None]) -> None:
    with suppress(OSError):
        while data := receive():
            sink.sendall(data)
            count(len(data))
    _shut(source)
    _shut(sink)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):  # the other side may have been first
        one.shutdown(socket.SHUT_RDWR)
