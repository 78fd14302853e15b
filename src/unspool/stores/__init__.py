"""Stores: where the server's bytes come from, and what a store of your own needs. Each name is imported on first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from unspool.errors import InvalidRequestError

if TYPE_CHECKING:
    from unspool.core.model import ListRequest, Span
    from unspool.core.names import check_name, check_prefix
    from unspool.stores.base import OpenFile, RunSize, SmallFile, Store
    from unspool.stores.local import LocalStore
    from unspool.stores.memory import MemoryStore
    from unspool.stores.small import read_one_by_one

__all__ = [
    "ListRequest",
    "LocalStore",
    "MemoryStore",
    "OpenFile",
    "RunSize",
    "SmallFile",
    "Span",
    "Store",
    "check_name",
    "check_prefix",
    "open_store",
    "read_one_by_one",
]

_HOMES = {
    "ListRequest": "core.model",
    "LocalStore": "stores.local",
    "MemoryStore": "stores.memory",
    "OpenFile": "stores.base",
    "RunSize": "stores.base",
    "SmallFile": "stores.base",
    "Span": "core.model",
    "Store": "stores.base",
    "check_name": "core.names",
    "check_prefix": "core.names",
    "read_one_by_one": "stores.small",
}

_KINDS: dict[str, str] = {"file": "unspool.stores.local"}
"""For each URL scheme, the module whose `open_url` opens the store."""


def open_store(url: str, *, hidden: bool = False) -> Store:
    """Open the store at a URL: the path of a directory, with or without `file://` before it.

    Args:
        url: the path or URL.
        hidden: whether to serve dotfiles; see `LocalStore`.

    Raises:
        InvalidRequestError: the scheme is unknown.
        NotFoundError, PermissionDeniedError: the directory cannot be opened.
    """
    scheme, separator, _ = url.partition("://")
    kind = _KINDS.get(scheme if separator else "file")
    if kind is None:
        raise InvalidRequestError(f"{url!r}: there is no store of the kind {scheme!r}; name a directory")
    open_url: Callable[..., Store] = import_module(kind).open_url
    return open_url(url, hidden=hidden)


def __getattr__(name: str) -> object:
    """Import a name from its module (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"unspool.{home}"), name)
