"""Which connections are secure, and how a server's addresses are written with their security.

Rule 1: the target or the listener decides whether TLS is used. A connection is never upgraded or downgraded.
Rule 2: a connection is safe for a secret if it is over TLS or does not leave the machine: loopback, or a Unix socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from unspool.core.address import SECURE_SCHEME, HostPort, Listen, UnixSocket, is_loopback, parse_listen
from unspool.core.value import value
from unspool.errors import InvalidRequestError

TlsMode: TypeAlias = Literal["plain", "tls", "mtls"]
"""What secures the connections of a listener: nothing, TLS, or TLS with a certificate of the client (mutual TLS)."""

_MODES: tuple[TlsMode, ...] = ("plain", "tls", "mtls")


def is_tls(target: str) -> bool:
    """Whether a target (as `parse_server` returns it) is reached over TLS."""
    return target.startswith(SECURE_SCHEME)


def with_tls(target: str) -> str:
    """Return the target of the same server over TLS.

    Raises:
        InvalidRequestError: it is a Unix socket.
    """
    if target.startswith(("unix:", "unix-abstract:")):
        raise InvalidRequestError(f"{target}: a Unix socket has no TLS: leave out tls=, ca=, cert= and key=")
    return target if is_tls(target) else SECURE_SCHEME + target


def without_scheme(target: str) -> str:
    """Return a target in the form that gRPC accepts."""
    return target.removeprefix(SECURE_SCHEME)


def is_secure(target: str) -> bool:
    """Whether a client may send a secret to a target (as `parse_server` returns it): over TLS, or on this machine."""
    return is_tls(target) or is_loopback(target)


def is_secure_peer(address: str, *, tls: bool) -> bool:
    """Whether a server may accept a secret from a peer.

    Args:
        address: the peer's address as gRPC writes it: `ipv4:127.0.0.1:50000`, `ipv6:%5B::1%5D:50000`, `unix:`.
        tls: whether its connection is over TLS.
    """
    _, _, place = address.partition(":")
    return tls or address.startswith("unix:") or is_loopback(place.replace("%5B", "[").replace("%5D", "]"))


@value
class Listener:
    """An address that a server listens on, and what secures its connections. `str()` can be parsed again."""

    where: Listen
    mode: TlsMode

    def __str__(self) -> str:
        return str(self.where) if isinstance(self.where, UnixSocket) else f"{self.mode}:{self.where}"

    def address(self, port: int) -> str:
        """Return the address as clients write it. `port` is the chosen port of a TCP listener."""
        if isinstance(self.where, UnixSocket):
            return str(self.where)
        scheme = "" if self.mode == "plain" else SECURE_SCHEME
        return f"{scheme}{HostPort(self.where.host, port)}"


def parse_listeners(texts: Sequence[str], *, cert: bool, client_ca: bool) -> tuple[Listener, ...]:
    """Parse the addresses of one server.

    Each is an address for `parse_listen`, with `tls:`, `mtls:`, `plain:` or nothing before it. With nothing, the server's files
    decide for a TCP port: mutual TLS if it has certificates of authorities for clients, TLS if it has a certificate, otherwise
    no TLS. A Unix socket never has TLS: the permissions of its file decide who may connect.

    Args:
        texts: the addresses.
        cert: whether the server has a certificate.
        client_ca: whether it has certificates of authorities that sign those of clients.

    Raises:
        InvalidRequestError: one has another form, needs files that are not given, or no address needs a file that is given.
    """
    if not texts:
        raise InvalidRequestError("a server needs an address to listen on, as in localhost:50051")
    if client_ca and not cert:
        raise InvalidRequestError("client certificates need TLS: give the server's own certificate with cert=, too")
    default: TlsMode = "mtls" if client_ca else "tls" if cert else "plain"
    listeners = tuple(_parse(text, default) for text in texts)
    for listener in listeners:
        if listener.mode != "plain" and not cert:
            raise InvalidRequestError(f"{listener}: TLS needs a certificate: give it with cert= and key=")
        if listener.mode == "mtls" and not client_ca:
            raise InvalidRequestError(f"{listener}: mutual TLS needs the authority of the clients: give it with client_ca=")
    modes = {listener.mode for listener in listeners}
    if cert and modes == {"plain"}:
        raise InvalidRequestError("there is a certificate, but no address is served over TLS: leave out cert=, or add one")
    if client_ca and "mtls" not in modes:
        raise InvalidRequestError("no address asks for client certificates: leave out client_ca=, or begin one with mtls:")
    return listeners


def _parse(text: str, default: TlsMode) -> Listener:
    for mode in _MODES:
        if text.startswith(f"{mode}:"):
            where = parse_listen(text.removeprefix(f"{mode}:"))
            if isinstance(where, UnixSocket) and mode != "plain":
                raise InvalidRequestError(f"{text!r}: a Unix socket has no TLS: write {where}")
            return Listener(where, mode)
    where = parse_listen(text)
    return Listener(where, "plain" if isinstance(where, UnixSocket) else default)
