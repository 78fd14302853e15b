"""exists and list; Reading.read; progress functions; options and observers of one call."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.lab import BLOCK, DATA, NAME, NEW, Lab, Wrapper
from unspool import Client, RetryPolicy, TransferOptions
from unspool.client.events import AttemptBegan, Event, Retrying, TransferBegan, TransferEnded
from unspool.core.model import Entry, FileInfo, Frame, ListRequest, Page, Prefix, ReadRequest
from unspool.errors import (
    FileChangedError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    TruncatedError,
    UnreachableError,
)
from unspool.stores import MemoryStore
from unspool.testing import FaultyStore, Recorder

SIZE = len(DATA)

Calls = list[tuple[int, int | None]]


async def test_exists() -> None:
    """`exists` is true for a file, false for a missing name or a directory, and raises the error of a refusal."""
    store = FaultyStore(MemoryStore({NAME: DATA}))
    client = Lab(store=store).client
    assert await client.exists(NAME)
    assert not await client.exists("dir")
    assert not await client.exists("missing")
    store.fail(PermissionDeniedError("not for you"))
    with pytest.raises(PermissionDeniedError):
        await client.exists(NAME)


@pytest.mark.parametrize("page_size", [1, 2, 100])
async def test_list_yields_entries(page_size: int) -> None:
    """`list` yields files as `stat` describes them and prefixes, each once, however they are divided into pages."""
    store = MemoryStore(dict.fromkeys(("a", "b/1", "b/c/2", "d/3"), b"x"))
    client = Lab(store=store).client

    async def listed(prefix: str = "") -> list[Entry]:
        entries = [entry async for entry in client.list(prefix, page_size=page_size)]
        return sorted(entries, key=lambda entry: entry.name)

    assert await listed() == [await store.stat("a"), Prefix("b/"), Prefix("d/")]
    assert await listed("b") == [await store.stat("b/1"), Prefix("b/c/")]
    names = {info.name async for info in client.list(recursive=True, page_size=page_size)}
    assert names == {"a", "b/1", "b/c/2", "d/3"}
    with pytest.raises(NotFoundError):
        await anext(client.list("missing"))


async def test_a_listing_that_is_left_is_closed() -> None:
    """Closing the iterator of entries closes the listing."""
    lab = Lab(store=MemoryStore(dict.fromkeys(("a", "b", "c"), b"")))
    async with aclosing(lab.client.list(page_size=1)) as entries:
        await anext(entries)
    with pytest.raises(StopAsyncIteration):
        await anext(entries)


# Reading.read


@given(
    start=st.integers(0, SIZE),
    length=st.none() | st.integers(0, SIZE + 10),
    sizes=st.lists(st.integers(0, 3 * BLOCK), max_size=10),
)
async def test_any_sizes_read_the_span_once(start: int, length: int | None, sizes: list[int]) -> None:
    """Each read returns exactly the requested bytes, with iteration in between, and all together are the span."""
    span = io.BytesIO(DATA[start : None if length is None else start + length])
    async with Lab().client.open(NAME, start=start, length=length) as reading:
        for size in sizes:
            assert await reading.read(size) == span.read(size)
        data = await anext(reading, b"")
        assert data == span.read(len(data))
        assert await reading.read() == span.read()
        assert await reading.read() == await reading.read(5) == b""


async def test_a_reading_that_broke_has_no_end() -> None:
    """After an error no read looks like the end of the file: each raises an error that says where to continue."""
    lab = Lab("..v")
    async with lab.client.open(NAME) as reading:
        assert await reading.read(150) == DATA[:150]
        with pytest.raises(FileChangedError):
            await reading.read()
        for _ in range(2):
            with pytest.raises(InvalidRequestError, match="open the file again, from byte"):
                await reading.read()


async def test_a_reading_that_was_left_has_no_end() -> None:
    """After its `async with` block, a reading raises an error."""
    async with Lab().client.open(NAME) as reading:
        await reading.read(BLOCK + 1)
    with pytest.raises(InvalidRequestError, match=f"from byte {BLOCK + 1}$"):
        await reading.read(1)


# Progress


async def test_progress_of_a_download(tmp_path: Path) -> None:
    """`progress(done, total)` is called with the bytes that are here at first, and for every block; the last call has all."""
    calls: Calls = []
    lab = Lab("...E", budget=0)
    with pytest.raises(TruncatedError):
        await lab.client.get(NAME, tmp_path / "b", progress=lambda *call: calls.append(call))
    done = calls[-1][0]
    assert calls[0] == (0, SIZE)
    assert 0 < done < SIZE
    calls.clear()
    await Lab(store=lab.store).client.get(NAME, tmp_path / "b", progress=lambda *call: calls.append(call))
    assert calls[0] == (done, SIZE)
    assert calls[-1] == (SIZE, SIZE)
    assert calls == sorted(calls)


async def test_progress_falls_when_a_download_begins_again(tmp_path: Path) -> None:
    """If the file changes, progress begins again from zero, with the new size."""
    calls: Calls = []
    await Lab("...v").client.get(NAME, tmp_path / "b", progress=lambda *call: calls.append(call))
    assert (0, len(NEW)) in calls[2:]
    assert calls[-1] == (len(NEW), len(NEW))


async def test_progress_of_what_is_read() -> None:
    """For a span, both numbers are those of the span."""
    calls: Calls = []
    got = await Lab().client.read(NAME, start=50, length=250, progress=lambda *call: calls.append(call))
    assert got == DATA[50:300]
    assert calls == [(0, 250), (50, 250), (150, 250), (250, 250)]
    calls.clear()
    writer = io.BytesIO()
    await Lab().client.get(NAME, writer, progress=lambda *call: calls.append(call))
    assert (calls[0], calls[-1]) == ((0, SIZE), (SIZE, SIZE))


async def test_progress_of_a_tree(tmp_path: Path) -> None:
    """For a tree, both numbers are those of all its files; the second is None until the listing is complete."""
    calls: Calls = []
    files = {f"{number}": DATA for number in range(5)} | {"large": bytes((1 << 20) + 1)}
    await Lab(store=MemoryStore(files)).client.get_tree("", tmp_path / "t", progress=lambda *call: calls.append(call))
    size = sum(map(len, files.values()))
    assert calls[-1] == (size, size)
    assert {total for _, total in calls} <= {None, size}
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


class EnoughError(Exception):
    """Raised by a progress function."""


@pytest.mark.parametrize("what", ["get", "tree", "read"])
async def test_what_progress_raises_ends_the_call(what: str, tmp_path: Path) -> None:
    """An error of a progress function stops the transfer and reaches the caller; progress is kept."""

    def progress(done: int, _total: int | None) -> None:
        if done >= 2 * BLOCK:
            raise EnoughError

    client = Lab().client
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: client.get(NAME, tmp_path / "b", progress=progress),
        "tree": lambda: client.get_tree("", tmp_path / "t", progress=progress),
        "read": lambda: client.read(NAME, progress=progress),
    }
    with pytest.raises(EnoughError):
        await calls[what]()
    if what == "get":
        assert (await client.get(NAME, tmp_path / "b")).resumed_from > 0


# Options and observers of one call

CALLS: dict[str, Callable[[Client, TransferOptions, Recorder[Event]], Awaitable[object]]] = {
    "stat": lambda client, options, told: client.stat("a", options=options, observers=[told]),
    "exists": lambda client, options, told: client.exists("a", options=options, observers=[told]),
    "list": lambda client, options, told: anext(client.list(options=options, observers=[told])),
    "pages": lambda client, options, told: anext(client.pages(options=options, observers=[told])),
    "read": lambda client, options, told: client.read("a", options=options, observers=[told]),
    "open": lambda client, options, told: client.open("a", options=options, observers=[told]).__aenter__(),
    "verify": lambda client, options, told: client.verify("a", "/dev/null", options=options, observers=[told]),
    "get": lambda client, options, told: client.get("a", io.BytesIO(), options=options, observers=[told]),
}


class Gone(Wrapper):
    """A server that cannot be reached."""

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        raise UnreachableError("gone")

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        raise UnreachableError("gone")
        yield Page()

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        raise UnreachableError("gone")
        yield Frame()


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_has_options_and_observers_of_its_own(call: str) -> None:
    """Every call accepts its own options and observers."""
    lab = Lab(budget=10)
    told = Recorder[Event]()
    with pytest.raises(UnreachableError):
        await CALLS[call](lab.client_of(Gone(lab.transport)), TransferOptions(retry=RetryPolicy(budget=3)), told)
    attempts = [AttemptBegan, Retrying, AttemptBegan, Retrying, AttemptBegan]
    assert [type(event) for event in told] == [TransferBegan, *attempts, TransferEnded]
    assert told[-1].outcome == "UNAVAILABLE"  # type: ignore[union-attr]
