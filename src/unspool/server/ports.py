"""The addresses that a server listens on, checked before gRPC is given them.

gRPC listens on those addresses of a host that are free and says nothing of the others, and it replaces a Unix socket whether
or not a server answers there.

Rule 1: if a host stands for several addresses, the server listens on all of them, at one port, or not at all.
Rule 2: a Unix socket is replaced only if no server answers on it. A file that is not a socket is never removed.
"""

from __future__ import annotations

import errno
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias, cast

from unspool.core.address import HostPort, Listen, UnixSocket
from unspool.core.oserrors import reason_of
from unspool.errors import InvalidRequestError

_SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]  # as the module socket has them, of IPv4 and IPv6

_LOOPBACK: tuple[_SocketAddress, ...] = (("::1", 0, 0, 0), ("127.0.0.1", 0))
_EVERYWHERE: tuple[_SocketAddress, ...] = (("::", 0, 0, 0), ("0.0.0.0", 0))  # noqa: S104 - only if the user asks for it

_TRIES = 16
"""With port 0: how many free ports of the first address are tried on the others. Few ports are in use, so the first one
nearly always works."""

_ANSWER = 1.0
"""Seconds to wait for a connection to a Unix socket. If a server listens there, the kernel connects at once."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Addresses that a server can listen on.

    Attributes:
        names: one for each address, as gRPC takes it. If the port is 0, there is only one, and gRPC chooses the port.
        exposed: whether one of them can be reached from other machines.
    """

    names: tuple[str, ...]
    exposed: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A port that is held.

    Attributes:
        address: `HOST:PORT`, with the port that was chosen if it was 0.
        exposed: whether it can be reached from other machines.
    """

    address: str
    exposed: bool


def claim(listen: Listen, *, shared: bool = False) -> Claim:
    """Check that a server can listen on every address that `listen` stands for. This may wait for a name server.

    A Unix socket that a dead server left behind is removed.

    Args:
        listen: where the server is to listen.
        shared: whether other servers of this user may listen on the same port, if they share it too (SO_REUSEPORT).

    Raises:
        InvalidRequestError: an address is in use, or cannot be listened on.
    """
    if isinstance(listen, UnixSocket):
        if shared:
            raise InvalidRequestError(f"cannot listen on {listen}: servers can share a port, but not a Unix socket")
        _make_way(listen)
        return Claim((str(listen),), exposed=False)
    with _bound(listen, shared=shared) as sockets:
        port = _port_of(sockets[0]) if len(sockets) > 1 else listen.port
        names = tuple(_written(_host_of(one), port) for one in sockets)
        return Claim(names, _are_exposed(sockets))


def is_exposed(listen: Listen) -> bool:
    """Whether an address can be reached from other machines. This may wait for a name server.

    Raises:
        InvalidRequestError: the host is not known.
    """
    if isinstance(listen, UnixSocket):
        return False
    return not all(ip_address(address[0]).is_loopback for address in _addresses_of(listen))


@contextmanager
def held(listen: HostPort) -> Iterator[Held]:
    """Hold a port for servers of this user that share it.

    Raises:
        InvalidRequestError: as `claim`.
    """
    with _bound(listen, shared=False) as sockets:
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield Held(str(HostPort(listen.host, _port_of(sockets[0]))), _are_exposed(sockets))


@contextmanager
def _bound(listen: HostPort, *, shared: bool) -> Iterator[list[socket.socket]]:
    sockets = _bind_all(listen, shared=shared)
    try:
        yield sockets
    finally:
        _close(sockets)


def _bind_all(listen: HostPort, *, shared: bool) -> list[socket.socket]:
    """Bind one port on every address of a host, in sockets that do not listen."""
    addresses = _addresses_of(listen)
    tries = _TRIES if listen.port == 0 else 1
    while True:
        tries -= 1
        bound: list[socket.socket] = []
        for host, _, *rest in addresses:
            port = _port_of(bound[0]) if bound else listen.port
            try:
                bound.append(_bind((host, port, *rest), shared=shared))
            except OSError as error:
                _close(bound)
                if tries and bound and error.errno == errno.EADDRINUSE:
                    break
                raise _refused(listen, _written(str(host), port), error) from error
        else:
            return bound


def _bind(address: tuple[str | int, ...], *, shared: bool) -> socket.socket:
    host = str(address[0])
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if ":" in host:
            # As in gRPC, one socket bound to [::] accepts IPv4 connections too.
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not ip_address(host).is_unspecified))
        # Lets the port be bound in spite of closed connections in TIME_WAIT, but not while a socket listens on it.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        one.bind(address)
    except BaseException:
        one.close()
        raise
    return one


def _addresses_of(listen: HostPort) -> list[_SocketAddress]:
    """Return the addresses that a host stands for on this machine, at port 0."""
    host = listen.host.strip("[]")
    if host.lower() == "localhost":
        # Both, whatever /etc/hosts says (RFC 6761): gRPC's clients try both, and another server could listen on one of them.
        found = list(_LOOPBACK)
    else:
        try:
            answers = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:  # ValueError: not a valid host name
            said = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise InvalidRequestError(f"cannot listen on {listen}: the host {host!r} is not known: {said}") from error
        found = list(dict.fromkeys(cast(_SocketAddress, address) for *_, address in answers))
    if any(ip_address(address[0]).is_unspecified for address in found):
        return [_EVERYWHERE[0] if _has_ipv6() else _EVERYWHERE[1]]
    usable = found if _has_ipv6() else [address for address in found if ":" not in address[0]]
    return usable or found


def _has_ipv6() -> bool:
    """Whether this machine has IPv6. Name resolution may return IPv6 addresses even if it has not."""
    try:
        _bind(_LOOPBACK[0], shared=True).close()
    except OSError:
        return False
    return True


def _make_way(listen: UnixSocket) -> None:
    """Check that a server can bind a Unix socket. Remove one that no server answers on."""
    path = listen.path
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(Path(path).lstat().st_mode):
                raise InvalidRequestError(f"cannot listen on {listen}: {path} is there already and is not a socket")
            if _is_answered(path):
                raise InvalidRequestError(f"cannot listen on {listen}: another server answers on it")
            Path(path).unlink()
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path)
        Path(path).unlink()
    except OSError as error:
        raise _refused(listen, str(listen), error) from error


def _is_answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(_ANSWER)
        try:
            one.connect(path)
        except (TimeoutError, BlockingIOError):  # the server's backlog is full
            return True
        except ConnectionRefusedError:
            return False
    return True


def _refused(listen: Listen, where: str, error: OSError) -> InvalidRequestError:
    it = "it" if where == str(listen) else where
    match error.errno:
        case errno.EADDRINUSE:
            said = f"{it} is in use; choose another port, or 0 for one that is free"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            said = f"{it} is not an address of this machine"
        case _:
            said = reason_of(error)
    return InvalidRequestError(f"cannot listen on {listen}: {said}")


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_of(one: socket.socket) -> str:
    return str(one.getsockname()[0])


def _port_of(one: socket.socket) -> int:
    return int(one.getsockname()[1])


def _are_exposed(sockets: list[socket.socket]) -> bool:
    return not all(ip_address(_host_of(one)).is_loopback for one in sockets)


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()
