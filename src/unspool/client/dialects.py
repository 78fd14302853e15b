"""The dialects that a client supports. The module of each is loaded when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from unspool.client.transport import Transport
from unspool.errors import InvalidRequestError
from unspool.options import Metadata

_HOMES = {
    "unspool": ("unspool.rpc.transport", "GrpcTransport"),
    "demo": ("unspool.rpc.demotransport", "DemoTransport"),
}
"""The module and the class of each dialect's transport."""


def connect(target: str, dialect: str, metadata: Metadata) -> Transport:
    """Return a transport to a server. Raises InvalidRequestError if there is no such dialect."""
    if dialect not in _HOMES:
        raise InvalidRequestError(f"there is no dialect {dialect!r}: there are {', '.join(_HOMES)}")
    module, transport = _HOMES[dialect]
    made: Callable[[str, Metadata], Transport] = getattr(import_module(module), transport)
    return made(target, metadata)
