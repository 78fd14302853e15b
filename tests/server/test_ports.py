"""The addresses that a server listens on: all of them or none, and none of another program's."""

import asyncio
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from unspool import Client, MemoryStore, Server
from unspool.core.address import HostPort, UnixSocket, parse_listen
from unspool.errors import InvalidRequestError
from unspool.server import ports
from unspool.server.ports import claim, held

LOOPBACK = HostPort("127.0.0.1", 0)
LOCALHOST = HostPort("localhost", 0)


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Bind a socket, as another program would."""
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if ":" in host:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        one.bind((host, port))
    except OSError:
        one.close()
        raise
    return one


def can_bind(host: str, port: int, *, shared: bool = False) -> bool:
    """Return whether one more socket can be bound there, alone or shared."""
    try:
        bind(host, port, shared=shared).close()
    except OSError:
        return False
    return True


HAS_IPV6 = can_bind("::1", 0)
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6 loopback")


@contextmanager
def somebody_listens(host: str) -> Iterator[int]:
    """Let another program listen on a free port of an address, which is yielded."""
    with bind(host, 0) as other:
        other.listen()
        yield int(other.getsockname()[1])


def can_connect(host: str, port: int) -> bool:
    """Return whether a server listens there."""
    try:
        socket.create_connection((host, port)).close()
    except OSError:
        return False
    return True


def port_of(address: str) -> int:
    """The port of `HOST:PORT`."""
    return int(address.rpartition(":")[2])


# Whole or not at all


@needs_ipv6
@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
async def test_a_name_is_had_on_all_its_addresses_or_refused(taken: str) -> None:
    """If another program listens on one of localhost's two addresses, the error names it, and the other address stays free."""
    with somebody_listens(taken) as port:
        shown = f"[{taken}]:{port}" if ":" in taken else f"{taken}:{port}"
        server = Server(MemoryStore(), f"localhost:{port}")
        with pytest.raises(InvalidRequestError) as caught:
            await server.start()
        assert caught.value.message.startswith(f"cannot listen on localhost:{port}: {shown} is in use")
        (other,) = {"127.0.0.1", "::1"} - {taken}
        assert can_bind(other, port)


@needs_ipv6
async def test_all_addresses_of_a_name_get_one_port() -> None:
    """With port 0, localhost is served on both of its addresses, at the port that the server reports."""
    async with Server(MemoryStore({"a": b"a"}), "localhost:0") as server:
        port = port_of(server.address)
        assert server.address == f"localhost:{port}"
        for host in ("127.0.0.1", "[::1]"):
            async with Client(f"{host}:{port}") as client:
                assert await client.read("a") == b"a"


@needs_ipv6
def test_a_free_port_that_is_taken_on_another_address_is_not_insisted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a port is free on one address of a name and taken on the other, the server tries another port, and keeps neither."""
    real, tried = ports._bind, list[int]()

    def bind_unluckily(address: tuple[str | int, ...], *, shared: bool) -> socket.socket:
        if address[0] == "127.0.0.1":
            tried.append(int(address[1]))
            if len(tried) < 3:
                raise OSError(errno.EADDRINUSE, "in use")
        return real(address, shared=shared)

    monkeypatch.setattr(ports, "_bind", bind_unluckily)
    with held(LOCALHOST) as port:
        assert port_of(port.address) == tried[-1]
        assert len(tried) == 3
        assert not can_bind("::1", tried[-1])
        assert all(can_bind("::1", number) for number in set(tried) - {tried[-1]})


@needs_ipv6
def test_a_chosen_port_is_not_looked_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no port is free on both addresses, it is an error after some attempts."""
    real = ports._bind

    def bind_never(address: tuple[str | int, ...], *, shared: bool) -> socket.socket:
        if address[0] == "127.0.0.1":
            raise OSError(errno.EADDRINUSE, "in use")
        return real(address, shared=shared)

    monkeypatch.setattr(ports, "_bind", bind_never)
    with pytest.raises(InvalidRequestError, match=r"cannot listen on localhost:0: 127\.0\.0\.1:[0-9]+ is in use"):
        claim(LOCALHOST)


@needs_ipv6
@pytest.mark.parametrize("host", ["[::]", "0.0.0.0"])
@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
async def test_all_interfaces_are_had_or_refused(host: str, taken: str) -> None:
    """If another program listens on one address of the machine, a server on all interfaces at that port is refused."""
    with somebody_listens(taken) as port:
        with pytest.raises(InvalidRequestError, match=f"cannot listen on .*:{port}: .* is in use"):
            await Server(MemoryStore(), f"{host}:{port}").start()
        (other,) = {"127.0.0.1", "::1"} - {taken}
        assert not can_connect(other, port)


@pytest.mark.parametrize("listen", [":0", "0", "[::]:0", "0.0.0.0:0"])
async def test_a_port_alone_is_on_all_interfaces(listen: str) -> None:
    """`:PORT`, `PORT`, `[::]` and `0.0.0.0` are served on IPv4 and, if there is one, on IPv6."""
    async with Server(MemoryStore({"a": b"a"}), listen, insecure=True) as server:
        port = port_of(server.address)
        for host in ("127.0.0.1", "[::1]") if HAS_IPV6 else ("127.0.0.1",):
            async with Client(f"{host}:{port}") as client:
                assert await client.read("a") == b"a"


def test_a_machine_without_ipv6_is_served_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without IPv6, localhost is 127.0.0.1, and all interfaces are those of IPv4; an IPv6 address is an error."""
    real = ports._bind

    def bind_without_ipv6(address: tuple[str | int, ...], *, shared: bool) -> socket.socket:
        if ":" in str(address[0]):
            raise OSError(errno.EADDRNOTAVAIL, "not available")
        return real(address, shared=shared)

    monkeypatch.setattr(ports, "_bind", bind_without_ipv6)
    assert claim(LOCALHOST).names == ("127.0.0.1:0",)
    assert claim(HostPort("[::]", 0)).names == ("0.0.0.0:0",)
    with pytest.raises(InvalidRequestError, match=r"cannot listen on \[::1\]:0: it is not an address of this machine"):
        claim(HostPort("[::1]", 0))


async def test_who_is_faster_wins_and_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is taken between the check and gRPC's bind is an error that names it, and the others are released."""
    with somebody_listens("127.0.0.1") as taken, bind("127.0.0.1", 0) as free:
        port = int(free.getsockname()[1])
        free.close()
        names = (f"127.0.0.1:{port}", f"127.0.0.1:{taken}")
        monkeypatch.setattr("unspool.server.server.claim", lambda listen, shared: ports.Claim(names, exposed=False))
        with pytest.raises(InvalidRequestError, match=f"cannot listen on localhost:{taken}: 127.0.0.1:{taken} is in use"):
            await Server(MemoryStore(), f"localhost:{taken}").start()
        assert can_bind("127.0.0.1", port)


# Errors


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        ("192.0.2.1:0", "it is not an address of this machine"),
        ("no-such-host.invalid:0", "the host 'no-such-host.invalid' is not known"),
        (f"{'a' * 64}.invalid:0", "is not known"),
    ],
)
async def test_an_address_of_somebody_else_is_refused(listen: str, says: str) -> None:
    """An address that is invalid, or not of this machine, is an error that names it, with one server or several."""
    parsed = parse_listen(listen)
    assert isinstance(parsed, HostPort)
    for message in (await refusal_of(listen), refusal_to_hold(parsed)):
        assert message.startswith(f"cannot listen on {listen}: ")
        assert says in message


async def refusal_of(listen: str) -> str:
    """Return the error of a server that cannot listen there."""
    with pytest.raises(InvalidRequestError) as caught:
        await Server(MemoryStore(), listen).start()
    return caught.value.message


def refusal_to_hold(listen: HostPort) -> str:
    """Return the error of a port that cannot be reserved."""
    with pytest.raises(InvalidRequestError) as caught, held(listen):
        pass
    return caught.value.message


# A port that is reserved for workers


def test_a_held_port_is_for_those_who_share_it() -> None:
    """While a port is reserved, a server that wants it alone cannot have it, and one that shares it can."""
    with held(LOOPBACK) as port:
        number = port_of(port.address)
        assert number > 0
        assert not can_bind("127.0.0.1", number)
        assert can_bind("127.0.0.1", number, shared=True)
    assert can_bind("127.0.0.1", number)


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_in_use_is_not_shared(*, shared: bool) -> None:
    """A port on which another program listens cannot be reserved, even if that program would share it."""
    with bind("127.0.0.1", 0, shared=shared) as other:
        other.listen()
        port = int(other.getsockname()[1])
        with pytest.raises(InvalidRequestError, match=f"127.0.0.1:{port}: it is in use"), held(HostPort("127.0.0.1", port)):
            pass


def test_a_port_that_is_held_is_not_held_twice() -> None:
    """Of two parents on one port the second gets an error, even while the first has no workers yet."""
    with held(LOOPBACK) as first:
        again = HostPort("127.0.0.1", port_of(first.address))
        with pytest.raises(InvalidRequestError, match="in use"), held(again):
            pass


def test_connections_of_the_past_do_not_keep_a_port() -> None:
    """A server can be started again at once, although the kernel remembers the connections of the last one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = int(listener.getsockname()[1])
        with closing(socket.create_connection(("127.0.0.1", number))):
            listener.accept()[0].close()
    with held(HostPort("127.0.0.1", number)) as port:
        assert port.address == f"127.0.0.1:{number}"


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "[::]"])
def test_all_addresses_of_a_host_are_held(host: str) -> None:
    """A host with several addresses is reserved on each of them, at one port."""
    with held(HostPort(host, 0)) as port:
        assert port.address.startswith(f"{host}:")
        assert not can_bind("127.0.0.1", port_of(port.address))
        assert not can_bind("::1", port_of(port.address))


async def test_servers_share_a_port_only_if_they_say_so() -> None:
    """With `Server(share_port=True)` two may listen on one port; without it, on either side, the second is refused."""
    store = MemoryStore({"a": b"a"})
    async with Server(store, share_port=True) as first:
        async with Server(store, first.address, share_port=True) as second, Client(second.address) as client:
            assert second.address == first.address
            assert await client.read("a") == b"a"
        with pytest.raises(InvalidRequestError, match="in use"):
            await Server(store, first.address).start()


# The warning


@pytest.mark.parametrize(
    ("listen", "exposed"),
    [
        ("127.0.0.1:0", False),
        ("127.0.0.2:0", False),
        ("localhost:0", False),
        pytest.param("[::1]:0", False, marks=needs_ipv6),
        ("0.0.0.0:0", True),
        ("0", True),
        ("unix:SOCKET", False),
    ],
)
async def test_an_address_that_others_reach_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, listen: str, *, exposed: bool
) -> None:
    """A server that other machines can reach logs one warning, with its address and the reason; one on loopback logs none."""
    listen = listen.replace("SOCKET", str(tmp_path / "s"))
    async with Server(MemoryStore(), listen, insecure=True) as server:
        found = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(found) == exposed
    for record in found:
        assert record.getMessage().startswith(f"{server.address} is open to other machines: there is no TLS")


def test_a_name_that_stands_for_an_address_of_the_network_is_exposed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If one address behind a name is not loopback, the server counts as reachable by other machines."""
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.1", "0.0.0.0")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    assert claim(HostPort("name.example", 0)).exposed
    with held(HostPort("name.example", 0)) as port:
        assert port.exposed
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers[:1] * 2)
    assert claim(HostPort("name.example", 0)) == ports.Claim(("127.0.0.1:0",), exposed=False)


# Unix sockets


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path for a socket that is short enough."""
    return tmp_path_factory.mktemp("s") / "x.sock"


@pytest.mark.parametrize("scheme", ["unix:", "unix://"])
async def test_a_unix_socket_is_served_and_gone_afterwards(path: Path, scheme: str) -> None:
    """A server on a Unix socket is reached by the address it reports, and leaves nothing behind."""
    async with Server(MemoryStore({"a": b"a"}), f"{scheme}{path}") as server, Client(server.address) as client:
        assert server.address == f"unix:{path}"
        assert await client.read("a") == b"a"
    assert not path.exists()


async def test_a_path_with_odd_characters_is_that_path(path: Path) -> None:
    """A percent sign in a path is not decoded by gRPC, and clients connect to the reported address."""
    odd = path.with_name("a %41\u00fc.sock")
    async with Server(MemoryStore({"a": b"a"}), str(UnixSocket(str(odd)))) as server, Client(server.address) as client:
        assert odd.is_socket()
        assert await client.read("a") == b"a"


async def test_a_stale_unix_socket_is_replaced(path: Path) -> None:
    """A socket that a killed server left behind is replaced."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
    assert path.is_socket()
    async with Server(MemoryStore({"a": b"a"}), f"unix:{path}") as server, Client(server.address) as client:
        assert await client.read("a") == b"a"


@pytest.mark.parametrize("stale", [True, False])
async def test_of_servers_that_start_together_on_a_unix_socket_one_wins(path: Path, *, stale: bool) -> None:
    """Of servers that start at the same time, one serves, and the others report it; none replaces the socket of another."""
    if stale:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    servers = [Server(MemoryStore({"a": b"a"}), f"unix:{path}") for _ in range(4)]
    outcomes = await asyncio.gather(*(server.start() for server in servers), return_exceptions=True)
    refused = [str(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
    assert refused == [f"cannot listen on unix:{path}: another server answers on it"] * 3
    async with Client(f"unix:{path}") as client:
        assert await client.read("a") == b"a"
    for server in servers:
        await server.stop(0)


async def test_a_directory_that_stays_locked_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that keeps the directory of the socket locked does not make a starting server hang."""
    monkeypatch.setattr("unspool.server.socketlock._PATIENCE", 0.02)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert "another program keeps its directory locked" in await refusal_of(f"unix:{path}")
    finally:
        os.close(descriptor)
    async with Server(MemoryStore(), f"unix:{path}"):
        assert path.is_socket()


async def test_a_live_unix_socket_is_refused(path: Path) -> None:
    """A socket on which a server answers is refused, and its server goes on."""
    async with Server(MemoryStore({"a": b"a"}), f"unix:{path}") as server:
        assert await refusal_of(f"unix:{path}") == f"cannot listen on unix:{path}: another server answers on it"
        async with Client(server.address) as client:
            assert await client.read("a") == b"a"


async def test_a_unix_socket_whose_server_is_busy_is_refused(path: Path) -> None:
    """A socket whose queue of connections is full does not count as left behind."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ports, "_ANSWER", 0.01)
            assert "another server answers" in await refusal_of(f"unix:{path}")
    assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
async def test_what_is_not_a_socket_is_left_alone(path: Path, kind: str) -> None:
    """A file, a directory or a link at the path is refused, and stays unchanged."""
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("nowhere")
    else:
        path.write_bytes(b"mine")
    before = os.lstat(path)
    assert await refusal_of(f"unix:{path}") == f"cannot listen on unix:{path}: {path} is there already and is not a socket"
    assert os.lstat(path) == before


async def test_a_unix_socket_that_cannot_be_is_one_clear_error(path: Path) -> None:
    """A missing directory, and a path that is too long, have their own errors."""
    missing = path.parent / "no" / "x.sock"
    assert await refusal_of(f"unix:{missing}") == f"cannot listen on unix:{missing}: no such file or directory"
    long = path.parent / ("x" * 120)
    assert "path too long" in await refusal_of(f"unix:{long}")


async def test_a_unix_socket_is_not_shared(path: Path) -> None:
    """Several servers cannot share a Unix socket: it is an error, and nothing is created."""
    with pytest.raises(InvalidRequestError, match="not a Unix socket"):
        await Server(MemoryStore(), f"unix:{path}", share_port=True).start()
    assert not path.exists()
