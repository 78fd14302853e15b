"""The options of client and server, as frozen dataclasses. Every default names its precedent or its measurement.

client.py   what a client may choose
server.py   what a server may; loaded when used, because a client starts in 4 % less time without it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unspool.options.client import MIB, Dialect, Metadata, OnChange, Security, Token, TransferOptions

if TYPE_CHECKING:
    from unspool.options.server import IngestOptions, LimitOptions, ServedDialect, ServerOptions, ServiceOptions

__all__ = [
    "MIB",
    "Dialect",
    "IngestOptions",
    "LimitOptions",
    "Metadata",
    "OnChange",
    "Security",
    "ServedDialect",
    "ServerOptions",
    "ServiceOptions",
    "Token",
    "TransferOptions",
]


def __getattr__(name: str) -> object:
    """Load the options of the server (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from unspool.options import server  # noqa: PLC0415 - see above

    return getattr(server, name)
