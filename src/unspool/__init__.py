"""Resumable, verified file streaming over gRPC.

The public names. They are imported when first used, so that `import unspool` and `unspool --version` cost next to nothing.
"""

from __future__ import annotations

from unspool._version import __version__

TYPE_CHECKING = False  # as type checkers read it; `typing` itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Sequence

    from unspool.client.blocking import (
        delete,
        delete_tree,
        exists,
        get,
        get_tree,
        list,
        open,
        open_write,
        put,
        put_tree,
        read,
        read_many,
        stat,
        verify,
        verify_tree,
    )
    from unspool.client.client import Client
    from unspool.client.events import Event, Observer
    from unspool.client.progress import Progress
    from unspool.client.ratelimit import RateLimit
    from unspool.client.reading import Reading
    from unspool.client.results import Result
    from unspool.client.treeresults import Failure, TreePreviewPage, TreeResult, TreeVerification
    from unspool.client.writer import Writer
    from unspool.client.writeresults import DeleteTreeResult, PutResult, PutTreeResult
    from unspool.client.writing import Writing
    from unspool.core.model import Attributes, Entry, FileInfo, Omission, Page, Prefix
    from unspool.core.retry import RetryPolicy
    from unspool.errors import UnspoolError
    from unspool.local.streamsource import Reader
    from unspool.options import LimitOptions, ServerOptions, ServiceOptions, TransferOptions
    from unspool.server.report import CallEnd, CallObserver
    from unspool.server.server import Server
    from unspool.server.service import FileService
    from unspool.stores import LocalStore, MemoryStore, OpenFile, Store

_HOMES = {
    "Attributes": "core.model",
    "CallEnd": "server.report",
    "CallObserver": "server.report",
    "Client": "client.client",
    "DeleteTreeResult": "client.writeresults",
    "Entry": "core.model",
    "Event": "client.events",
    "Failure": "client.treeresults",
    "FileInfo": "core.model",
    "FileService": "server.service",
    "LimitOptions": "options",
    "LocalStore": "stores",
    "MemoryStore": "stores",
    "Observer": "client.events",
    "Omission": "core.model",
    "OpenFile": "stores",
    "Page": "core.model",
    "Prefix": "core.model",
    "Progress": "client.progress",
    "PutResult": "client.writeresults",
    "PutTreeResult": "client.writeresults",
    "RateLimit": "client.ratelimit",
    "Reader": "local.streamsource",
    "Reading": "client.reading",
    "Result": "client.results",
    "RetryPolicy": "core.retry",
    "Server": "server.server",
    "ServerOptions": "options",
    "ServiceOptions": "options",
    "Store": "stores",
    "TransferOptions": "options",
    "TreePreviewPage": "client.treeresults",
    "TreeResult": "client.treeresults",
    "TreeVerification": "client.treeresults",
    "UnspoolError": "errors",
    "Writer": "client.writer",
    "Writing": "client.writing",
    "delete": "client.blocking",
    "delete_tree": "client.blocking",
    "exists": "client.blocking",
    "get": "client.blocking",
    "get_tree": "client.blocking",
    "list": "client.blocking",
    "open": "client.blocking",
    "open_write": "client.blocking",
    "put": "client.blocking",
    "put_tree": "client.blocking",
    "read": "client.blocking",
    "read_many": "client.blocking",
    "stat": "client.blocking",
    "verify": "client.blocking",
    "verify_tree": "client.blocking",
}

__all__ = [
    "Attributes",
    "CallEnd",
    "CallObserver",
    "Client",
    "DeleteTreeResult",
    "Entry",
    "Event",
    "Failure",
    "FileInfo",
    "FileService",
    "LimitOptions",
    "LocalStore",
    "MemoryStore",
    "Observer",
    "Omission",
    "OpenFile",
    "Page",
    "Prefix",
    "Progress",
    "PutResult",
    "PutTreeResult",
    "RateLimit",
    "Reader",
    "Reading",
    "Result",
    "RetryPolicy",
    "Server",
    "ServerOptions",
    "ServiceOptions",
    "Store",
    "TransferOptions",
    "TreePreviewPage",
    "TreeResult",
    "TreeVerification",
    "UnspoolError",
    "Writer",
    "Writing",
    "__version__",
    "delete",
    "delete_tree",
    "exists",
    "get",
    "get_tree",
    "list",
    "open",
    "open_write",
    "put",
    "put_tree",
    "read",
    "read_many",
    "stat",
    "verify",
    "verify_tree",
]


def __getattr__(name: str) -> object:
    """Import a public name from its room (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - not needed to begin

    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> Sequence[str]:
    return sorted(__all__)
