"""The dialects that a client supports. The module of each is loaded when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from unspool.client.transport import Transport
from unspool.errors import InvalidRequestError
from unspool.options import Metadata

if TYPE_CHECKING:
    from unspool.rpc.bearer import Bearer
    from unspool.rpc.certificates import Certificates

_HOMES = {
    "unspool": ("unspool.rpc.transport", "GrpcTransport"),
    "demo": ("unspool.rpc.demotransport", "DemoTransport"),
}
"""The module and the class of each dialect's transport."""


def connect(
    target: str,
    dialect: str,
    metadata: Metadata,
    certificates: Certificates | None = None,
    bearer: Bearer | None = None,
    *,
    replica: bool = False,
) -> Transport:
    """Return a transport to a server, which uses TLS if there are certificates, and sends the token if there is one.

    `replica` is whether there are other servers with the same files.

    Raises:
        InvalidRequestError: there is no such dialect.
    """
    if dialect not in _HOMES:
        raise InvalidRequestError(f"there is no dialect {dialect!r}: there are {', '.join(_HOMES)}")
    module, transport = _HOMES[dialect]
    made: Callable[..., Transport] = getattr(import_module(module), transport)
    return made(target, metadata, certificates, bearer, replica=replica)
