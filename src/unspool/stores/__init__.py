"""Where the server's bytes come from."""

from __future__ import annotations

from unspool.errors import InvalidRequestError
from unspool.stores.base import OpenFile, Store
from unspool.stores.local import LocalStore
from unspool.stores.memory import MemoryStore
from unspool.stores.small import read_one_by_one

__all__ = ["LocalStore", "MemoryStore", "OpenFile", "Store", "open_store", "read_one_by_one"]


def open_store(url: str) -> Store:
    """Open the store that `url` names: a directory's path, or the same after `file://`.

    Raises:
        InvalidRequestError: there is no store of that kind.
        NotFoundError, PermissionDeniedError: the directory cannot be opened.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme != "file":
        raise InvalidRequestError(f"{url!r}: there is no store of the kind {scheme!r}; name a directory")
    return LocalStore(url.removeprefix("file://"))
