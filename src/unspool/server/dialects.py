"""The dialects that a server can speak. Each is imported on first use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module

from unspool.answers.kept import KeptChecksums
from unspool.core.running import Running
from unspool.errors import InvalidRequestError
from unspool.ingest.base import Ingester
from unspool.options import ServiceOptions
from unspool.server.entry import Dialect
from unspool.server.streams import Streams
from unspool.stores.base import Store

_HOMES = {
    "unspool": ("unspool.server.native", "Native"),
    "demo": ("unspool.server.demo", "Demo"),
    "bytestream": ("unspool.server.bytestream", "ByteStream"),
    "admin": ("unspool.server.admin", "Admin"),
}
"""The module and the class of each dialect."""


async def nowhere() -> Running:
    """Return no calls."""
    return Running()


def make(
    name: str,
    store: Store,
    streams: Streams,
    options: ServiceOptions,
    *,
    kept: KeptChecksums | None = None,
    ingester: Ingester | None = None,
    everywhere: Callable[[], Awaitable[Running]] = nowhere,
) -> Dialect:
    """Return a dialect over a store. Raises InvalidRequestError if there is none of that name.

    Args:
        name: of the dialect.
        store: where the bytes come from.
        streams: how much each stream may send.
        options: sizes and intervals.
        kept: for the one that has checksums of whole files.
        ingester: for those that write.
        everywhere: for `admin`: returns the running calls of all processes.
    """
    if name not in _HOMES:
        raise InvalidRequestError(f"there is no dialect {name!r}: there are {', '.join(_HOMES)}")
    module, maker = _HOMES[name]
    made: Callable[..., Dialect] = getattr(import_module(module), maker)
    match name:
        case "unspool":
            return made(store, streams, options, kept, ingester)
        case "bytestream":
            return made(store, streams, options, ingester)
        case "admin":
            return made(everywhere, streams, options)
        case _:
            return made(store, streams, options)
