"""Resumable, verified file streaming over gRPC.

The public names. They are imported when first used, so that `import unspool` and `unspool --version` cost next to nothing.
"""

from __future__ import annotations

from unspool._version import __version__

TYPE_CHECKING = False  # as type checkers read it; `typing` itself takes a while to import
if TYPE_CHECKING:
    from unspool.client.blocking import get
    from unspool.client.client import Client, Reading
    from unspool.client.results import Result, TreeResult
    from unspool.core.model import FileInfo, Page
    from unspool.core.retry import RetryPolicy
    from unspool.errors import UnspoolError
    from unspool.options import LimitOptions, ServerOptions, ServiceOptions, TransferOptions
    from unspool.server.server import Server
    from unspool.server.service import FileService
    from unspool.stores import LocalStore, MemoryStore

_HOMES = {
    "Client": "client.client",
    "FileInfo": "core.model",
    "FileService": "server.service",
    "LimitOptions": "options",
    "LocalStore": "stores",
    "MemoryStore": "stores",
    "Page": "core.model",
    "Reading": "client.client",
    "Result": "client.results",
    "RetryPolicy": "core.retry",
    "Server": "server.server",
    "ServerOptions": "options",
    "ServiceOptions": "options",
    "TransferOptions": "options",
    "TreeResult": "client.results",
    "UnspoolError": "errors",
    "get": "client.blocking",
}

__all__ = [
    "Client",
    "FileInfo",
    "FileService",
    "LimitOptions",
    "LocalStore",
    "MemoryStore",
    "Page",
    "Reading",
    "Result",
    "RetryPolicy",
    "Server",
    "ServerOptions",
    "ServiceOptions",
    "TransferOptions",
    "TreeResult",
    "UnspoolError",
    "__version__",
    "get",
]


def __getattr__(name: str) -> object:
    """Import a public name from its room (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - not needed to begin

    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
