"""A server in the shape of obspec's protocols, for programs that are written for obstore.

Rule 1: all calls run in the portal, over one client. So blocking calls work where an event loop runs, and awaited ones in any
        loop.
Rule 2: all bytes of one result, and of one `get_ranges`, are of one revision.
Rule 3: what obspec has and a server has not is refused, and not ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypedDict, TypeVar, Unpack

from unspool.client.client import Client
from unspool.client.portal import Portal, portal
from unspool.core.model import Bytes, FileInfo
from unspool.core.spans import merge_spans
from unspool.errors import FileChangedError, InvalidRangeError, NotFoundError, StartPastEndError, UnsupportedError
from unspool.options import Security, TransferOptions

T = TypeVar("T")

_SUPPORTED = ("if_match", "range", "head")
"""Of obspec's options of a get."""


class ObjectMeta(TypedDict):
    """What obspec knows of a file. `e_tag` is the revision; `last_modified` is 1970 if the server does not know it."""

    path: str
    last_modified: datetime
    size: int
    e_tag: str | None
    version: str | None


class ListResult(TypedDict):
    """One level of a listing: the prefixes of the next, and the files."""

    common_prefixes: Sequence[str]
    objects: Sequence[ObjectMeta]


class ObspecStore:
    """A server, as obspec has stores: `ObspecStore("files.example:50051").get_range("model.bin", start=0, end=100)`.

    Methods that end in `_async` are awaited, in any event loop; the others block. Paths are names of files. There is no `put`,
    `delete`, `copy` and `rename`.

    Args:
        target: as `Client` takes it.
        options: how transfers behave.
        security: see `unspool.options.Security`.

    Raises:
        UnspoolError: see `unspool.errors`. obspec knows `NotFoundError`, `PermissionDeniedError` and `UnauthenticatedError`
            by their names; if the revision is another one, it is a `FileChangedError`.
    """

    def __init__(self, target: str, *, options: TransferOptions | None = None, **security: Unpack[Security]) -> None:
        self._target = target
        self._connect = partial(Client, target, options=options, **security)
        self._connect()  # raises if the arguments make no sense; nothing is connected yet
        self._portal: Portal | None = None
        self._client: Client | None = None
        self._calls = 0

    def __repr__(self) -> str:
        return f"ObspecStore({self._target!r})"

    def close(self) -> None:
        """Close the connection, unless calls are running. It is made again when it is needed."""
        if self._portal is not None and self._portal.is_here:
            self._portal.dismiss(self._close)

    rest = close  # before a fork; see `Resting`

    # What the portal runs

    async def _close(self) -> None:
        if not self._calls and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _here(self) -> Portal:
        if (
            self._portal is None or not self._portal.is_here
        ):  # the first call, or this process is a fork of the one that made it
            self._portal, self._client, self._calls = portal(), None, 0
            self._portal.resting.add(self)
        return self._portal

    async def _using(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        if self._client is None:
            self._client = self._connect()
        self._calls += 1
        try:
            return await work(self._client)
        finally:
            self._calls -= 1

    def _blocking(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        return self._here().call(lambda: self._using(work))

    async def _awaited(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._using(work), self._here().loop))

    # Head and get

    def head(self, path: str) -> ObjectMeta:
        """Return what the server knows of a file."""
        return _meta(self._blocking(lambda client: client.stat(path)))

    async def head_async(self, path: str) -> ObjectMeta:
        """See `head`."""
        return _meta(await self._awaited(lambda client: client.stat(path)))

    def get(self, path: str, *, options: Mapping[str, Any] | None = None) -> GetResult:
        """Return a file, or a span of it. Its bytes are fetched when they are asked for.

        Args:
            path: the file.
            options: obspec's `range`, `head` and `if_match` (a revision).

        Raises:
            UnsupportedError: there are other options.
        """
        asked = _checked(path, options)
        return GetResult(self, self._blocking(lambda client: client.stat(path)), asked)

    async def get_async(self, path: str, *, options: Mapping[str, Any] | None = None) -> GetResult:
        """See `get`."""
        asked = _checked(path, options)
        return GetResult(self, await self._awaited(lambda client: client.stat(path)), asked)

    def get_range(self, path: str, *, start: int, end: int | None = None, length: int | None = None) -> bytes:
        """Return the bytes of a span, as far as the file has them. Raises InvalidRangeError if the span is empty."""
        span = _span(path, start, end, length)
        return self._blocking(lambda client: client.read(path, start=span[0], length=span[1] - span[0]))

    async def get_range_async(self, path: str, *, start: int, end: int | None = None, length: int | None = None) -> bytes:
        """See `get_range`."""
        span = _span(path, start, end, length)
        return await self._awaited(lambda client: client.read(path, start=span[0], length=span[1] - span[0]))

    def get_ranges(
        self, path: str, *, starts: Sequence[int], ends: Sequence[int] | None = None, lengths: Sequence[int] | None = None
    ) -> Sequence[bytes]:
        """Return the bytes of several spans. Those that are near each other come with one request."""
        spans = _spans(path, starts, ends, lengths)
        return self._blocking(lambda client: _read_spans(client, path, spans))

    async def get_ranges_async(
        self, path: str, *, starts: Sequence[int], ends: Sequence[int] | None = None, lengths: Sequence[int] | None = None
    ) -> Sequence[bytes]:
        """See `get_ranges`."""
        spans = _spans(path, starts, ends, lengths)
        return await self._awaited(lambda client: _read_spans(client, path, spans))

    # Listings

    def list(self, prefix: str | None = None, *, offset: str | None = None) -> Iterator[Sequence[ObjectMeta]]:
        """Yield all files below a prefix, page by page; none if there is no such prefix.

        Args:
            prefix: a directory; None is everything.
            offset: only files whose names come after this one.
        """
        yield from self._each(lambda client: _pages(client, prefix, offset))

    async def list_async(self, prefix: str | None = None, *, offset: str | None = None) -> AsyncIterator[Sequence[ObjectMeta]]:
        """See `list`."""
        async for page in self._each_async(lambda client: _pages(client, prefix, offset)):
            yield page

    def list_with_delimiter(self, prefix: str | None = None) -> ListResult:
        """Return the files and directories right below a prefix."""
        return self._blocking(lambda client: _level(client, prefix))

    async def list_with_delimiter_async(self, prefix: str | None = None) -> ListResult:
        """See `list_with_delimiter`."""
        return await self._awaited(lambda client: _level(client, prefix))

    def _each(self, several: Callable[[Client], AsyncGenerator[T, None]]) -> Iterator[T]:
        """Yield what a generator in the portal yields."""
        each = _Each(self, several)
        try:
            while (one := self._blocking(each.next)) is not None:
                yield one
        finally:
            self._here().dismiss(each.close)

    async def _each_async(self, several: Callable[[Client], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
        each = _Each(self, several)
        try:
            while (one := await self._awaited(each.next)) is not None:
                yield one
        finally:
            asyncio.run_coroutine_threadsafe(each.close(), self._here().loop)


class GetResult:
    """A file that was asked for, and the span of it. Iterate over it, also by `async for`, or take it whole.

    Attributes:
        meta: what the server knows of the file.
        range: the first byte, and the one after the last.
        attributes: the content type, if the server knows it.
    """

    def __init__(self, store: ObspecStore, info: FileInfo, asked: Mapping[str, Any]) -> None:
        wanted = asked.get("if_match")
        if wanted is not None and wanted.strip('"') != info.revision:
            raise FileChangedError(f"{info.name}: is at revision {info.revision}, not at {wanted}", name=info.name)
        self.meta = _meta(info)
        self.range = (0, 0) if asked.get("head") else _resolved(info, asked.get("range"))
        self.attributes = {"Content-Type": info.attributes.content_type} if info.attributes.content_type else {}
        self._store = store
        self._info = info

    def buffer(self) -> bytes:
        """Return all bytes."""
        return self._store._blocking(self._read)

    async def buffer_async(self) -> bytes:
        """Return all bytes."""
        return await self._store._awaited(self._read)

    def __iter__(self) -> Iterator[Bytes]:
        return self._store._each(self._blocks)

    def __aiter__(self) -> AsyncIterator[Bytes]:
        return self._store._each_async(self._blocks)

    async def _read(self, client: Client) -> bytes:
        start, stop = self.range
        return await client.read(self._info.name, start=start, length=stop - start, revision=self._info.revision)

    async def _blocks(self, client: Client) -> AsyncGenerator[Bytes, None]:
        start, stop = self.range
        opened = client.open(self._info.name, start=start, length=stop - start, revision=self._info.revision)
        async with opened as reading:
            async for data in reading:
                yield data


class _Each:
    """A generator that is begun, gone on with and closed in the portal."""

    def __init__(self, store: ObspecStore, several: Callable[[Client], AsyncGenerator[Any, None]]) -> None:
        self._store = store
        self._several = several
        self._made: AsyncGenerator[Any, None] | None = None

    async def next(self, client: Client) -> Any:
        """Return the next, or None at the end."""
        if self._made is None:
            self._made = self._several(client)
            self._store._calls += 1  # it runs between the calls of this, too
        return await anext(self._made, None)

    async def close(self) -> None:
        """Close it."""
        if self._made is not None:
            self._store._calls -= 1
            await self._made.aclose()


def _checked(path: str, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    asked = {key: value for key, value in (options or {}).items() if value is not None}
    for key in asked:
        if key not in _SUPPORTED:
            raise UnsupportedError(f"{path}: a server has no {key} (there are {', '.join(_SUPPORTED)})", name=path)
    return asked


def _resolved(info: FileInfo, asked: Any) -> tuple[int, int]:
    """Return the span that obspec's `range` means for a file."""
    size = info.size
    if asked is None:
        return 0, size
    if isinstance(asked, Mapping):
        start, stop = (asked["offset"], size) if "offset" in asked else (max(size - asked["suffix"], 0), size)
    else:
        start, stop = _span(info.name, asked[0], asked[1], None)
    if start >= size and size:
        raise StartPastEndError(f"{info.name}: has {size} bytes, and byte {start} is beyond the end", name=info.name)
    return start, min(stop, size)


def _span(path: str, start: int, end: int | None, length: int | None) -> tuple[int, int]:
    if (end is None) == (length is None):
        raise InvalidRangeError(f"{path}: give either the end or the length of a span", name=path)
    stop = end if end is not None else start + (length or 0)
    if not 0 <= start < stop:
        raise InvalidRangeError(f"{path}: the bytes from {start} to {stop} are no span", name=path)
    return start, stop


def _spans(
    path: str, starts: Sequence[int], ends: Sequence[int] | None, lengths: Sequence[int] | None
) -> Sequence[tuple[int, int]]:
    stops = ends if ends is not None else lengths
    if stops is None or (ends is not None and lengths is not None) or len(stops) != len(starts):
        raise InvalidRangeError(f"{path}: give as many ends as starts, or as many lengths", name=path)
    spans = zip(starts, stops, strict=True)
    return [_span(path, start, stop, None) if ends is not None else _span(path, start, None, stop) for start, stop in spans]


async def _read_spans(client: Client, path: str, spans: Sequence[tuple[int, int]]) -> Sequence[bytes]:
    merged = merge_spans(spans)
    parts = await client.read_many([(path, one.start, one.stop - one.start) for one in merged])
    out = [b""] * len(spans)
    for one, part in zip(merged, parts, strict=True):
        for index in one.members:
            start, stop = spans[index]
            out[index] = part[start - one.start : stop - one.start]
    return out


async def _pages(client: Client, prefix: str | None, offset: str | None) -> AsyncGenerator[Sequence[ObjectMeta], None]:
    name = (prefix or "").removesuffix("/")
    try:
        async with aclosing(client.pages(name, recursive=True)) as pages:
            async for page in pages:
                # As a prefix, the name of a file has nothing below it.
                found = [_meta(info) for info in page.files if info.name != name and (offset is None or info.name > offset)]
                if found:
                    yield found
    except NotFoundError:
        return


async def _level(client: Client, prefix: str | None) -> ListResult:
    name = (prefix or "").removesuffix("/")
    prefixes: list[str] = []
    objects: list[ObjectMeta] = []
    try:
        async with aclosing(client.pages(name)) as pages:
            async for page in pages:
                prefixes += [below.removesuffix("/") for below in page.prefixes]
                objects += [_meta(info) for info in page.files if info.name != name]
    except NotFoundError:
        pass
    return ListResult(common_prefixes=prefixes, objects=objects)


def _meta(info: FileInfo) -> ObjectMeta:
    modified = datetime.fromtimestamp((info.attributes.modified_ns or 0) / 1e9, UTC)
    return ObjectMeta(path=info.name, last_modified=modified, size=info.size, e_tag=info.revision, version=None)
