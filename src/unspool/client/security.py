"""How a client's connections are secured: without TLS, or over TLS with the certificates that the caller gave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from unspool.client.dialects import connect
from unspool.client.replicas import ReplicaConnections
from unspool.client.transport import Transport
from unspool.core.address import SECURE_SCHEME, host_with_several_addresses, parse_server, servers_of
from unspool.core.replicas import Replicas
from unspool.core.tls import is_secure, is_tls, with_tls
from unspool.errors import ConnectError, InvalidRequestError
from unspool.options import Metadata, Security

if TYPE_CHECKING:
    from unspool.rpc.bearer import Bearer
    from unspool.rpc.certificates import Certificates


def transports(
    target: str, dialect: str, metadata: Metadata, security: Security
) -> Callable[[], Transport | ReplicaConnections]:
    """Return a function that makes transports to a server, or connections to several. They share the certificates.

    Args:
        target: see `secured`.
        dialect: see `connect`.
        metadata: see `connect`.
        security: see `secured`.

    Raises:
        LocalFileError, InvalidRequestError: as `secured`.
    """
    target, certificates = secured(target, security)
    bearer = bearer_of(target, security)

    def to(server: str) -> Transport:
        return connect(server, dialect, metadata, certificates, bearer, replica=server != target)

    host = host_with_several_addresses(target)
    if host is not None:
        name, port = host
        if certificates is not None:
            certificates.host = name
        scheme = SECURE_SCHEME if is_tls(target) else ""
        return partial(ReplicaConnections, target, Replicas(), to, partial(addresses_of, name, port, scheme))
    servers = servers_of(target)
    return partial(to, target) if len(servers) == 1 else partial(ReplicaConnections, target, Replicas(servers), to)


async def addresses_of(host: str, port: int, scheme: str = "") -> list[str]:
    """Return a target for each address of a host.

    Raises:
        ConnectError: it has none, or cannot be looked up now.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectError(f"{host}:{port}: no such host ({error.strerror or error}); check the name") from error
    hosts = dict.fromkeys(str(address[0]) for *_, address in found)
    return [f"{scheme}[{one}]:{port}" if ":" in one else f"{scheme}{one}:{port}" for one in hosts]


def secured(target: str, security: Security) -> tuple[str, Certificates | None]:
    """Return a target in the form that transports accept, and its certificates: None if the connection is without TLS.

    Args:
        target: as `Client` takes it.
        security: the files, and whether to use TLS if the target does not say so.

    Raises:
        TypeError: `security` has another key. The keywords of every public call that are not its own end up here.
        InvalidRequestError: the target has another form, or there are files for a connection without TLS.
        LocalFileError, InvalidRequestError: a file cannot be read, or has the wrong content.
    """
    for keyword in security.keys() - Security.__optional_keys__:
        raise TypeError(f"unexpected keyword argument {keyword!r}")
    target = parse_server(target)
    if security.get("tls"):
        target = with_tls(target)
    ca, cert, key = security.get("ca"), security.get("cert"), security.get("key")
    if not is_tls(target):
        if (ca, cert, key) != (None, None, None):
            raise InvalidRequestError(
                f"{target}: this connection is in clear, and ca=, cert= and key= are for TLS: begin with unspools://, "
                "or use tls=True"
            )
        return target, None
    from unspool.rpc.certificates import Certificates  # noqa: PLC0415 - connections in clear do without

    certificates = Certificates(ca, cert, key)
    certificates.current()
    return target, certificates


def bearer_of(target: str, security: Security) -> Bearer | None:
    """Return the token to send to a target (as `secured` returns it), or None.

    Raises:
        InvalidRequestError: others could read it on the way.
    """
    token = security.get("token")
    if token is None:
        return None
    if not is_secure(target) and not security.get("token_in_clear"):
        raise InvalidRequestError(
            f"{target}: the token is not sent over a connection in clear, where others could read it: begin with unspools://, "
            "use tls=True, or allow it with token_in_clear=True"
        )
    from unspool.rpc.bearer import Bearer  # noqa: PLC0415 - most connections do without

    return Bearer(token)
