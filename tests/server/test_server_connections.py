"""Idle connections: they are counted, closed when there are too many, and do not keep other clients out."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from processes import serving, unspool
from server.gates import GatedStore
from unspool import Client, LimitOptions, MemoryStore, Server, ServerOptions
from unspool.core.address import HostPort, parse_listen
from unspool.server import connections

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextmanager
def idle(address: str, count: int, said: bytes = PREFACE) -> Iterator[list[socket.socket]]:
    """Open a number of connections that make no call."""
    host = parse_listen(address)
    assert isinstance(host, HostPort)
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            held.append(socket.create_connection((host.host, host.port)))
            held[-1].sendall(said)
        yield held
    finally:
        for each in held:
            each.close()


async def closed(sockets: list[socket.socket]) -> int:
    """Return how many of these connections the server has closed."""

    def is_closed(each: socket.socket) -> bool:
        each.setblocking(False)  # noqa: FBT003 - it takes no keywords
        try:
            while each.recv(1 << 16):
                pass
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    return sum(map(is_closed, sockets))


async def until_closed(sockets: list[socket.socket], count: int) -> None:
    """Wait until at least this many of them are closed."""
    async with asyncio.timeout(30):
        while await closed(sockets) < count:
            await asyncio.sleep(0.02)


def limited(most: int) -> ServerOptions:
    """Return the options of a server with a limit on open connections."""
    return ServerOptions(limits=LimitOptions(open_connections=most))


@pytest.mark.parametrize("said", [PREFACE, b""], ids=["HTTP/2", "silent"])
async def test_idle_connections_make_room(said: bytes) -> None:
    """Above three quarters of forty, all but twenty idle ones are closed, and a new client is served; below, none is."""
    async with Server(MemoryStore({"a": b"1"}), options=limited(40)) as server:
        with idle(server.address, 29, said) as few:
            await asyncio.sleep(3 * connections.LOOK)
            assert await closed(few) == 0
            with idle(server.address, 6, said) as more:
                await until_closed([*few, *more], 15)
                async with Client(server.address) as client:
                    assert (await client.stat("a")).size == 1
                assert await closed([*few, *more]) == 15


async def test_no_more_than_the_limit_are_let_in(caplog: pytest.LogCaptureFixture) -> None:
    """Connections over the limit are closed at once, and the log says that idle ones were closed, and how many may be open."""
    async with Server(MemoryStore({"a": b"1"}), options=limited(40)) as server:
        with idle(server.address, 100) as held:
            await until_closed(held, 60)
            await until_closed(held, 80)
    assert "nearly as many are open as there is room for (40)" in caplog.text


async def test_who_has_a_call_keeps_the_connection_and_who_had_one_goes_last() -> None:
    """Forty connections without a call are closed; a client that is reading, and one that has read, keep theirs."""
    store = GatedStore({"a": b"0123", "b": b"1"})
    gate = store.close_at(0)
    async with (
        Server(store, options=limited(40)) as server,
        Client(server.address) as reader,
        Client(server.address) as earlier,
    ):
        assert (await earlier.stat("b")).size == 1
        reading = asyncio.create_task(reader.read("a"))
        while not server._service.active:
            await asyncio.sleep(0.001)
        kept = set(server._service.connections._called)
        with idle(server.address, 38) as held:
            await until_closed(held, 20)
            gate.set()
            assert await reading == b"0123"
            assert (await earlier.stat("b")).size == 1
        assert set(server._service.connections._called) == kept


def test_a_thousand_that_say_nothing_lock_nobody_out(tmp_path: Path) -> None:
    """With 1,024 descriptors and 1,100 idle connections from one address, a command is answered within about a second."""
    root = tmp_path / "served"
    root.mkdir()
    (root / "a").write_bytes(b"1")
    with serving(root, tmp_path / "log", descriptors=1024) as server, idle(server.address, 1100):
        time.sleep(1)
        assert unspool("stat", f"{server.address}/a").code == 0
        assert "idle connections were closed" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("written", "peer"),
    [
        ("ipv4:127.0.0.1:50000", ("127.0.0.1", 50000)),
        ("ipv6:%5B::1%5D:50000", ("::1", 50000)),
        ("ipv6:[fe80::1]:1", ("fe80::1", 1)),
        ("unix:", ("", 0)),
    ],
)
def test_peers_are_read_as_grpc_writes_them(written: str, peer: tuple[str, int]) -> None:
    """Host and port, in the kernel's notation."""
    assert connections._peer(written) == peer
