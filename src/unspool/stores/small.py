"""A simple `Store.read_small` and `Store.read_spans`, for stores that have no faster way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from unspool.core.model import NamedSpan, Span
from unspool.errors import UnspoolError
from unspool.stores.base import SmallFile, Store


async def read_one_by_one(
    store: Store, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()
) -> Sequence[SmallFile]:
    """Implement `Store.read_small` by opening and reading the first file only."""
    try:
        async with aclosing(await store.open(names[0])) as file:
            if known and file.info.revision == known[0]:
                return ((file.info, b"", False),)
            if file.info.size > most_bytes:
                return ()
            steady = await file.steady()
            async with aclosing(file.read(Span(0, file.info.size), lambda _: most_bytes)) as runs:
                return ((file.info, b"".join([bytes(run) async for run in runs]), steady),)
    except UnspoolError as error:
        return (error,)


async def read_span_by_span(store: Store, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
    """Implement `Store.read_spans` by opening the first file and reading its span only."""
    name, start, length = wanted[0]
    try:
        async with aclosing(await store.open(name)) as file:
            stop = min(start + length, file.info.size)
            if stop - start > most_bytes:
                return ()
            span = Span(min(start, stop), stop)
            async with aclosing(file.read(span, lambda _: most_bytes)) as runs:
                return ((file.info, b"".join([bytes(run) async for run in runs]), False),)
    except UnspoolError as error:
        return (error,)
