"""Blocking calls for scripts, notebooks and threads. Each runs a method of `Client` through the portal.

Every function takes the server and the file's name in one URL, `HOST:PORT/NAME`, `unspool://HOST:PORT/NAME`,
`unspools://HOST:PORT/NAME` (over TLS) or `unix:PATH:/NAME`, and otherwise what the method of `Client` of the same name takes,
besides `tls`, `ca`, `cert` and `key` of `Client` itself. Functions may be called in any thread, also in one where an event loop
runs; the loop is blocked meanwhile. Ctrl-C ends a call like a cancellation, and progress is kept. Observers and progress
functions are called in a thread of unspool's own.

Each call makes its own connection. For many small requests to one server, use a `Client`.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeVar, Unpack, overload

from unspool.client.client import Client
from unspool.client.events import Observer
from unspool.client.portal import portal
from unspool.client.progress import Progress
from unspool.client.remotefile import BUFFER, RemoteFile
from unspool.client.results import Result
from unspool.client.treeresults import TreeResult, TreeVerification
from unspool.client.writer import Writer
from unspool.client.writeresults import DeleteTreeResult, PutResult, PutTreeResult
from unspool.core.address import Address, parse_address
from unspool.core.filters import Filter
from unspool.core.model import Entry, FileInfo, NamedSpan, Page, Prefix
from unspool.errors import InvalidRequestError
from unspool.local.streamsource import Reader
from unspool.options import Dialect, Security, TransferOptions

if TYPE_CHECKING:
    from unspool.client.remotewriter import RemoteWriter

T = TypeVar("T")


def _ask(
    url: str,
    what: Callable[[Client, str], Awaitable[T]],
    options: TransferOptions | None,
    observers: Sequence[Observer],
    dialect: Dialect = "unspool",
    *,
    upload_key: str | PathLike[str] | None = None,
    **security: Unpack[Security],
) -> T:
    """Run one call with a new client, close the client, and return the result."""
    address = parse_address(url)

    async def main() -> T:
        async with Client(
            address.target, dialect=dialect, options=options, observers=observers, upload_key=upload_key, **security
        ) as client:
            return await what(client, address.name)

    return portal().call(main)


def get(
    url: str,
    destination: str | PathLike[str] | Writer,
    *,
    options: TransferOptions | None = None,
    dialect: Dialect = "unspool",
    observers: Sequence[Observer] = (),
    progress: Progress | None = None,
    **security: Unpack[Security],
) -> Result:
    """Download a file: `unspool.get("host:50051/model.bin", "model.bin")`. See `Client.get`."""
    return _ask(
        url, lambda client, name: client.get(name, destination, progress=progress), options, observers, dialect, **security
    )


def put(
    source: str | PathLike[str] | Reader,
    url: str,
    *,
    if_absent: bool = False,
    if_revision: str | None = None,
    content_type: str = "",
    upload_key: str | PathLike[str] | None = None,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress | None = None,
    **security: Unpack[Security],
) -> PutResult:
    """Upload a file: `unspool.put("model.bin", "host:50051/model.bin")`. See `Client.put`, and `upload_key` of `Client`."""

    def upload(client: Client, name: str) -> Awaitable[PutResult]:
        return client.put(
            source, name, if_absent=if_absent, if_revision=if_revision, content_type=content_type, progress=progress
        )

    return _ask(url, upload, options, observers, upload_key=upload_key, **security)


def open_write(
    url: str,
    *,
    if_absent: bool = False,
    if_revision: str | None = None,
    content_type: str = "",
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    **security: Unpack[Security],
) -> RemoteWriter:
    """Open a file at a server for writing, like a local one with mode "wb". It gets its name when it is closed, whole.

    Use a `with`: an exception gives the file up, and the name has what it had. `abort` does the same. `write` waits when the
    server is slower, and raises what ended the upload; so does `close`. Arguments and errors as `Client.open_write`.
    """
    from unspool.client.remotewriter import RemoteWriter  # noqa: PLC0415 - most programs only read

    conditions = {"if_absent": if_absent, "if_revision": if_revision, "content_type": content_type}
    address = parse_address(url)
    client = Client(address.target, options=options, observers=observers, **security)
    return RemoteWriter(address, portal(), client, conditions)


def put_tree(
    directory: str | PathLike[str],
    url: str,
    *,
    filters: Sequence[Filter] = (),
    checksum: bool = False,
    if_absent: bool = False,
    upload_key: str | PathLike[str] | None = None,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress | None = None,
    **security: Unpack[Security],
) -> PutTreeResult:
    """Upload all files below a directory. See `Client.put_tree`, and `upload_key` of `Client`."""

    def upload(client: Client, name: str) -> Awaitable[PutTreeResult]:
        return client.put_tree(directory, name, filters=filters, checksum=checksum, if_absent=if_absent, progress=progress)

    return _ask(url, upload, options, observers, upload_key=upload_key, **security)


def delete(
    url: str,
    *,
    if_revision: str | None = None,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    **security: Unpack[Security],
) -> FileInfo | None:
    """Delete a file: `unspool.delete("host:50051/model.bin")`. See `Client.delete`."""
    return _ask(url, lambda client, name: client.delete(name, if_revision=if_revision), options, observers, **security)


def delete_tree(
    url: str,
    *,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    **security: Unpack[Security],
) -> DeleteTreeResult:
    """Delete all files below a prefix. See `Client.delete_tree`."""
    return _ask(url, lambda client, name: client.delete_tree(name), options, observers, **security)


def get_tree(
    url: str,
    destination: str | PathLike[str],
    *,
    filters: Sequence[Filter] = (),
    record: str | PathLike[str] | bool = True,
    checksum: bool = False,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress | None = None,
    **security: Unpack[Security],
) -> TreeResult:
    """Download all files below a prefix into a directory. See `Client.get_tree`."""
    return _ask(
        url,
        lambda client, name: client.get_tree(
            name, destination, filters=filters, record=record, checksum=checksum, progress=progress
        ),
        options,
        observers,
        **security,
    )


def stat(
    url: str,
    *,
    sha256: bool = False,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    **security: Unpack[Security],
) -> FileInfo:
    """Return what the file is now. See `Client.stat`."""
    return _ask(url, lambda client, name: client.stat(name, sha256=sha256), options, observers, **security)


def exists(
    url: str, *, options: TransferOptions | None = None, observers: Sequence[Observer] = (), **security: Unpack[Security]
) -> bool:
    """Return whether there is such a file. See `Client.exists`."""
    return _ask(url, lambda client, name: client.exists(name), options, observers, **security)


def verify(
    url: str,
    path: str | PathLike[str],
    *,
    sha256: bool = False,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    **security: Unpack[Security],
) -> FileInfo:
    """Return the server's description of the file if the local one has the same bytes. See `Client.verify`."""
    return _ask(url, lambda client, name: client.verify(name, path, sha256=sha256), options, observers, **security)


def verify_tree(
    url: str,
    directory: str | PathLike[str],
    *,
    filters: Sequence[Filter] = (),
    sha256: bool = False,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress | None = None,
    **security: Unpack[Security],
) -> TreeVerification:
    """Compare all files below a prefix with those in a directory. See `Client.verify_tree`."""

    def compare(client: Client, name: str) -> Awaitable[TreeVerification]:
        return client.verify_tree(name, directory, filters=filters, sha256=sha256, progress=progress)

    return _ask(url, compare, options, observers, **security)


def read(
    url: str,
    *,
    start: int = 0,
    length: int | None = None,
    revision: str | None = None,
    options: TransferOptions | None = None,
    dialect: Dialect = "unspool",
    observers: Sequence[Observer] = (),
    progress: Progress | None = None,
    **security: Unpack[Security],
) -> bytes:
    """Return a span of a file, verified; it is held in memory. See `Client.read`."""
    return _ask(
        url,
        lambda client, name: client.read(name, start=start, length=length, revision=revision, progress=progress),
        options,
        observers,
        dialect,
        **security,
    )


def open(
    url: str,
    *,
    revision: str | None = None,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    buffer_size: int = BUFFER,
    **security: Unpack[Security],
) -> io.BufferedReader:
    """Open a file to be read like a local one that was opened with mode "rb": `read`, `seek`, `tell`, `readinto`, lines.

    All bytes are verified and belong to one revision, the current one. Seeking sends no request; the next read does. `raw.info`
    describes the file. Close it, best by a `with`. A forked child may continue to use it.

    Args:
        url: the file.
        revision: the revision to read; if the file has another one, this fails.
        options: of every read.
        observers: notified of the events of every read.
        security: `tls`, `ca`, `cert` and `key`, as `Client` takes them.
        buffer_size: bytes to request at once after a seek. Sequential reads use one stream.

    Raises:
        FileChangedError: the file is not at `revision`; or, when it is read, no longer at the revision at which it was opened.
        UnspoolError: see `unspool.errors`.
    """
    file = RemoteFile(parse_address(url), portal(), options, observers, security)
    try:
        file.look(revision)
    except BaseException:
        file.close()
        raise
    return io.BufferedReader(file, buffer_size)


def read_many(
    url: str,
    spans: Iterable[NamedSpan],
    *,
    revisions: Mapping[str, str] = MappingProxyType({}),
    options: TransferOptions | None = None,
    dialect: Dialect = "unspool",
    observers: Sequence[Observer] = (),
    **security: Unpack[Security],
) -> Sequence[bytes]:
    """Return many spans of files of one server: `unspool.read_many("host:50051", [("a.bin", 0, 100)])`. See `Client.read_many`.

    Raises:
        InvalidRequestError: the URL names more than a server.
    """

    def read(client: Client, name: str) -> Awaitable[Sequence[bytes]]:
        if name:
            raise InvalidRequestError(f"{url}: name the server only: the names of the files are in the spans")
        return client.read_many(spans, revisions=revisions)

    return _ask(url, read, options, observers, dialect, **security)


@overload
def list(
    url: str,
    *,
    recursive: Literal[True],
    page_size: int | None = None,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    **security: Unpack[Security],
) -> Iterator[FileInfo]: ...


@overload
def list(
    url: str,
    *,
    recursive: bool = False,
    page_size: int | None = None,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    **security: Unpack[Security],
) -> Iterator[Entry]: ...


def list(
    url: str,
    *,
    recursive: bool = False,
    page_size: int | None = None,
    options: TransferOptions | None = None,
    observers: Sequence[Observer] = (),
    **security: Unpack[Security],
) -> Iterator[Entry]:
    """Yield what is below a prefix (`HOST:PORT` or `HOST:PORT/PREFIX`) as it arrives. See `Client.list`."""
    address = parse_address(url)
    client = Client(address.target, options=options, observers=observers, **security)
    return _entries(client, address, recursive=recursive, page_size=page_size)


def _entries(client: Client, address: Address, *, recursive: bool, page_size: int | None) -> Iterator[Entry]:
    shared = portal()
    pages = client.pages(address.name, recursive=recursive, page_size=page_size)

    async def next_page() -> Page | None:
        return await anext(pages, None)

    async def close() -> None:
        await pages.aclose()
        await client.aclose()

    try:
        while (page := shared.call(next_page)) is not None:
            yield from map(Prefix, page.prefixes)
            yield from page.files
    finally:
        shared.dismiss(close)
