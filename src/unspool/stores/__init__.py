"""Stores: where the server's bytes come from, and what a store of your own needs. Each name is imported on first use.

base.py          the contract of a store; small.py: how to read many small files; revisions.py: what a revision is made of
memory.py        files in memory
local.py         a directory; localwalk.py: names below it; locallisting.py: listings; localsmall.py: many small files at once
localfile.py     an open file of it; keptfiles.py: kept open for a moment; stamps.py, writers.py: whether a change would show
contents.py      revisions made of what files contain; contenttypes.py: media types
threads.py       worker threads; oserrors.py: maps operating-system errors; firsttimes.py: what the log has said already

objects.py       an object store; objectfile.py: an open object; readahead.py: what is requested ahead of its reader
objectlist.py    its listings; oddkeys.py: keys that obstore cannot take; objectinfo.py: what an object is
objecterrors.py  maps obstore's errors; httpstatus.py: what a store answers; s3.py: what obstore cannot ask of S3
gathered.py      requests at the same time
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING

from unspool.errors import InvalidRequestError

if TYPE_CHECKING:
    from unspool.core.model import ListRequest, NamedSpan, Span
    from unspool.core.names import check_name, check_prefix
    from unspool.stores.base import OpenFile, RunSize, SmallFile, Store
    from unspool.stores.local import LocalStore
    from unspool.stores.memory import MemoryStore
    from unspool.stores.objects import ObjectStore
    from unspool.stores.revisions import RevisionKind
    from unspool.stores.small import read_one_by_one, read_span_by_span

__all__ = [
    "ListRequest",
    "LocalStore",
    "MemoryStore",
    "NamedSpan",
    "ObjectStore",
    "OpenFile",
    "RunSize",
    "SmallFile",
    "Span",
    "Store",
    "check_name",
    "check_prefix",
    "open_store",
    "read_one_by_one",
    "read_span_by_span",
]

_HOMES = {
    "ListRequest": "core.model",
    "LocalStore": "stores.local",
    "MemoryStore": "stores.memory",
    "NamedSpan": "core.model",
    "ObjectStore": "stores.objects",
    "OpenFile": "stores.base",
    "RunSize": "stores.base",
    "SmallFile": "stores.base",
    "Span": "core.model",
    "Store": "stores.base",
    "check_name": "core.names",
    "check_prefix": "core.names",
    "read_one_by_one": "stores.small",
    "read_span_by_span": "stores.small",
}

_OBJECTS = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "memory")
"""The URL schemes of object stores, as obstore has them."""

_KINDS: dict[str, str] = {"file": "unspool.stores.local"} | dict.fromkeys(_OBJECTS, "unspool.stores.objects")
"""For each URL scheme, the module whose `open_url` opens the store."""


def open_store(
    url: str,
    *,
    hidden: bool = False,
    allow_http: bool = False,
    revision: RevisionKind = "stat",
    checksums: str | PathLike[str] | None = None,
    metadata: bool = False,
    environment: Mapping[str, str] | None = None,
    read_ahead: int | None = None,
) -> Store:
    """Open the store at a URL. Blocks until the store has answered.

    Args:
        url: the path of a directory, with or without `file://` before it; or `s3://BUCKET/PREFIX`, `gs://...`, `az://...` and
            the other schemes of obstore, for an object store.
        hidden: whether to serve dotfiles; see `LocalStore`.
        allow_http: whether the endpoint of an object store may be `http://`, in clear.
        revision: what the revisions of a directory's files are made of: `stat`, inode, size and times; or `content`, their
            SHA-256, so that copies of the directory on several machines have the same revisions.
        metadata: whether listings of an object store have what unspool wrote into the metadata of its objects, for one request
            more each; see `ObjectStore`.
        environment: `os.environ`, with which S3 is asked for the checksums of objects that unspool wrote in parts, if botocore
            is installed; None does not ask. obstore reads the environment of the process itself.
        checksums: for `content`, a file (SQLite) that keeps the SHA-256 for the next start; see `Server`.
        read_ahead: most bytes that all reads of an object store together request ahead; None for its default.

    Raises:
        InvalidRequestError: the scheme is unknown, the configuration in the environment is incomplete, or the revisions of an
            object store are asked to be made of the content.
        NotFoundError, PermissionDeniedError: the directory cannot be opened, or the object store denies access.
        UnsupportedError: the object store cannot be served safely, or the extra `objects` is not installed.
        ServerError: the object store cannot be reached.
    """
    scheme, separator, _ = url.partition("://")
    kind = _KINDS.get(scheme if separator else "file")
    if kind is None:
        raise InvalidRequestError(
            f"{url!r}: there is no store of the kind {scheme!r}; name a directory, or a bucket as s3://BUCKET"
        )
    open_url: Callable[..., Store] = import_module(kind).open_url
    if is_directory(url):
        return open_url(url, hidden=hidden, revision=revision, checksums=checksums)
    if revision == "content":
        raise InvalidRequestError(f"{url}: an object store has revisions of its own: leave out the revision (content)")
    return open_url(
        url, hidden=hidden, allow_http=allow_http, metadata=metadata, environment=environment, read_ahead=read_ahead
    )


def is_directory(url: str) -> bool:
    """Return whether the URL of a store names a directory, and no object store."""
    scheme, separator, _ = url.partition("://")
    return not separator or scheme == "file"


def __getattr__(name: str) -> object:
    """Import a name from its module (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"unspool.{home}"), name)
