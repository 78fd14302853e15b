"""The same store, whose answers are timed. Every request to the store is counted here only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import Any

from unspool.core.model import Bytes, FileInfo, ListRequest, NamedSpan, Page, Span
from unspool.stores.base import OpenFile, RunSize, SmallFile, Store
from unspool.watch.figures import Figures
from unspool.watch.timed import Timed


class WatchedStore:
    """The same store, timed. See `Store`. Closing it closes the store.

    Args:
        inner: the store.
        figures: where it is counted.
    """

    def __init__(self, inner: Store, figures: Figures) -> None:
        self._inner = inner
        self._figures = figures
        self._observe_open = figures.histogram("unspool_store_seconds", "open").observe

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        with Timed(self._figures, "stat"):
            return await self._inner.stat(name)

    async def open(self, name: str, revision: str | None = None) -> OpenFile:
        """See `Store.open`."""
        began = perf_counter()
        file = await self._inner.open(name, revision)
        self._observe_open(perf_counter() - began)
        return _WatchedFile(file, self._figures)

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """See `Store.read_small`."""
        with Timed(self._figures, "read_small"):
            return await self._inner.read_small(names, most_bytes, known)

    async def read_spans(self, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
        """See `Store.read_spans`."""
        with Timed(self._figures, "read_spans"):
            return await self._inner.read_spans(wanted, most_bytes)

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Store.list`."""
        async with aclosing(self._inner.list(request)) as pages:
            while True:
                with Timed(self._figures, "list"):
                    page = await anext(pages, None)
                if page is None:
                    return
                yield page
                del page  # see native.py

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        await self._inner.aclose()


class _WatchedFile:
    # Written for speed: with a generator around each read, and coroutines around the rest, a small read took 12 us more.
    __slots__ = ("_inner", "_observe", "aclose", "info", "steady")

    def __init__(self, inner: OpenFile, figures: Figures) -> None:
        self._inner = inner
        self._observe = figures.histogram("unspool_store_seconds", "read").observe
        self.info = inner.info
        self.steady = inner.steady
        self.aclose = inner.aclose

    def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[Bytes, None]:
        return _TimedRuns(self._inner.read(span, run_size), self._observe)


class _TimedRuns(AsyncGenerator[Bytes, None]):
    __slots__ = ("_inner", "_observe")

    def __init__(self, inner: AsyncGenerator[Bytes, None], observe: Callable[[float], None]) -> None:
        self._inner = inner
        self._observe = observe

    async def __anext__(self) -> Bytes:
        began = perf_counter()
        run = await self._inner.__anext__()
        self._observe(perf_counter() - began)
        return run

    def asend(self, value: None) -> Coroutine[Any, Any, Bytes]:
        return self._inner.asend(value)

    def athrow(self, *raised: Any) -> Coroutine[Any, Any, Bytes]:
        return self._inner.athrow(*raised)

    def aclose(self) -> Coroutine[Any, Any, None]:
        return self._inner.aclose()
