"""Where the server's bytes come from. Each kind of store is loaded when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from unspool.errors import InvalidRequestError

if TYPE_CHECKING:
    from unspool.stores.base import OpenFile, Store
    from unspool.stores.local import LocalStore
    from unspool.stores.memory import MemoryStore
    from unspool.stores.small import read_one_by_one

__all__ = ["LocalStore", "MemoryStore", "OpenFile", "Store", "open_store", "read_one_by_one"]

_HOMES = {"LocalStore": "local", "MemoryStore": "memory", "OpenFile": "base", "Store": "base", "read_one_by_one": "small"}

_KINDS: dict[str, str] = {"file": "unspool.stores.local"}
"""Of each scheme: the module whose `open_url` opens such a store."""


def open_store(url: str, *, hidden: bool = False) -> Store:
    """Open the store that `url` names: a directory's path, or the same after `file://`.

    Args:
        url: of the store.
        hidden: whether files are served that have a part of their name begin with a dot; see `LocalStore`.

    Raises:
        InvalidRequestError: there is no store of that kind.
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
    return getattr(import_module(f"{__name__}.{home}"), name)
