"""The dialects that a server can speak. Each is imported on first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from unspool.answers.kept import KeptChecksums
from unspool.errors import InvalidRequestError
from unspool.options import ServiceOptions
from unspool.server.entry import Dialect
from unspool.server.streams import Streams
from unspool.stores.base import Store

_HOMES = {
    "unspool": ("unspool.server.native", "Native"),
    "demo": ("unspool.server.demo", "Demo"),
    "bytestream": ("unspool.server.bytestream", "ByteStream"),
}
"""The module and the class of each dialect."""


def make(name: str, store: Store, streams: Streams, options: ServiceOptions, kept: KeptChecksums | None = None) -> Dialect:
    """Return a dialect over a store. Raises InvalidRequestError if there is none of that name.

    `kept` is for the dialect that has checksums of whole files.
    """
    if name not in _HOMES:
        raise InvalidRequestError(f"there is no dialect {name!r}: there are {', '.join(_HOMES)}")
    module, maker = _HOMES[name]
    made: Callable[..., Dialect] = getattr(import_module(module), maker)
    return made(store, streams, options, kept) if name == "unspool" else made(store, streams, options)
