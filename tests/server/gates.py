"""Stores that wait where a test wants them to."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from unspool import MemoryStore
from unspool.core.model import Bytes, FileInfo, ListRequest, NamedSpan, Page, Span
from unspool.stores import OpenFile
from unspool.stores.base import RunSize, SmallFile
from unspool.stores.small import read_one_by_one, read_span_by_span


class GatedStore:
    """Files in memory, with gates: a call that reaches a closed gate waits until it is opened.

    Attributes:
        opening, listing: gates before a file is opened, and before each page of a listing but the first.
        reading: gates before the run of bytes of a file that begins at an offset.
        waited_for: set when a read has reached a closed gate, so that everything before it was sent.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.opening = _open_gate()
        self.listing = _open_gate()
        self.reading: dict[tuple[str, int], asyncio.Event] = {}
        self.waited_for = asyncio.Event()
        self._inner = MemoryStore(files)

    def close_at(self, offset: int, name: str = "a") -> asyncio.Event:
        """Put a closed gate before the run of bytes that begins at this offset."""
        self.reading[name, offset] = asyncio.Event()
        return self.reading[name, offset]

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        return _without_checksum(await self._inner.stat(name))

    async def open(self, name: str, revision: str | None = None) -> OpenFile:
        """See `Store.open`."""
        await self.opening.wait()
        return _GatedFile(self, await self._inner.open(name, revision))

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """See `Store.read_small`."""
        return await read_one_by_one(self, names, most_bytes, known)

    async def read_spans(self, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
        """See `Store.read_spans`."""
        return await read_span_by_span(self, wanted, most_bytes)

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Store.list`."""
        async for page in self._inner.list(request):
            yield page
            await self.listing.wait()

    async def aclose(self) -> None:
        """See `Store.aclose`."""


class _GatedFile:
    def __init__(self, store: GatedStore, inner: OpenFile) -> None:
        self.info = _without_checksum(inner.info)
        self._store = store
        self._inner = inner

    async def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[Bytes, None]:
        position = span.start
        async for run in self._inner.read(span, run_size):
            gate = self._store.reading.get((self.info.name, position))
            if gate is not None:
                self._store.waited_for.set()
                await gate.wait()
            yield run
            position += len(run)

    async def steady(self) -> bool:
        return await self._inner.steady()

    async def aclose(self) -> None:
        await self._inner.aclose()


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


def _without_checksum(info: FileInfo) -> FileInfo:
    """Return the description without a checksum, as from a store that must read the bytes to know it."""
    return FileInfo(info.name, info.size, info.revision)
