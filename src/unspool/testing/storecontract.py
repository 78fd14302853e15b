"""The contract of stores: the docstrings of `unspool.stores.base` as tests for pytest.

The tests of a store inherit from `StoreContract` and define how to make a store and how to change its files:

    class TestMyStore(StoreContract):
        @asynccontextmanager
        async def stocked(self, directory: Path) -> AsyncIterator[Stock]:
            store = MyStore()
            yield Stock(store, put=store.put, remove=store.remove)
            await store.aclose()

They need pytest, pytest-asyncio in its mode `auto`, and hypothesis: `pip install unspool[contract]`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from itertools import count

from unspool.core.checksum import crc32c
from unspool.core.extras import extra
from unspool.core.model import ListRequest, Span
from unspool.errors import FileChangedError, NotAFileError, NotFoundError
from unspool.testing.smallcontract import NameContract, SmallFileContract, SpanContract
from unspool.testing.stock import (
    BYTES,
    Stock,
    block_sizes,
    fewer_examples,
    in_one_fixture,
    listed,
    names,
    read,
    read_file,
    spans,
    trees,
)

with extra("contract"):
    import pytest
    from hypothesis import given
    from hypothesis import strategies as st


class StoreContract(NameContract, SmallFileContract, SpanContract):
    """The contract of a store."""

    # What a file is

    async def test_stat_tells_what_the_file_is(self, stock: Stock) -> None:
        """The info of a file has its name, size and revision, and either the right checksum or none."""
        stock.put("dir/a.bin", BYTES)
        info = await stock.store.stat("dir/a.bin")
        assert (info.name, info.size) == ("dir/a.bin", len(BYTES))
        assert info.revision
        assert info.crc32c in {None, crc32c(BYTES)}

    async def test_stat_open_and_list_say_the_same(self, stock: Stock) -> None:
        """While nothing changes, `stat`, `open` and listings describe a file equally, however often they are called."""
        stock.put("a.bin", BYTES)
        looks = [await stock.store.stat("a.bin"), (await read_file(stock.store, "a.bin"))[0]]
        looks += [(await listed(stock.store))[0]["a.bin"], await stock.store.stat("a.bin")]
        assert looks == [looks[0]] * 4

    # Reading

    @given(span=spans, block_size=block_sizes)
    @in_one_fixture
    async def test_a_span_is_read_exactly(self, stock: Stock, span: Span, block_size: int) -> None:
        """Any span is read exactly, in runs of 1 to `run_size` bytes."""
        if "a.bin" not in (await listed(stock.store))[0]:
            stock.put("a.bin", BYTES)
        async with aclosing(await stock.store.open("a.bin")) as file:
            assert await read(file, span, block_size) == BYTES[span.start : span.stop]

    @given(span=spans, sizes=st.lists(st.integers(1, 700), min_size=1, max_size=8))
    @in_one_fixture
    async def test_runs_are_as_long_as_asked_for_at_each_moment(self, stock: Stock, span: Span, sizes: list[int]) -> None:
        """While a span is read, the store calls `run_size` for each run with its offset, and the run is not longer."""
        if "a.bin" not in (await listed(stock.store))[0]:
            stock.put("a.bin", BYTES)
        asked: dict[int, int] = {}

        def run_size(offset: int) -> int:
            asked[offset] = sizes[len(asked) % len(sizes)]
            return asked[offset]

        position = span.start
        async with aclosing(await stock.store.open("a.bin")) as file, aclosing(file.read(span, run_size)) as runs:
            async for run in runs:
                assert 1 <= len(run) <= asked[position]
                assert run == BYTES[position : position + len(run)]
                position += len(run)
        assert position == span.stop

    async def test_a_file_is_opened_at_the_revision_wanted_or_not_at_all(self, stock: Stock) -> None:
        """`open` with a revision returns its bytes or raises FileChangedError."""
        stock.put("a.bin", BYTES)
        revision = (await stock.store.stat("a.bin")).revision
        async with aclosing(await stock.store.open("a.bin", revision)) as file:
            assert file.info.revision == revision
            assert await read(file) == BYTES
        stock.put("a.bin", BYTES[::-1])
        with pytest.raises(FileChangedError) as caught:
            await stock.store.open("a.bin", revision)
        assert caught.value.name == "a.bin"
        with pytest.raises(NotFoundError):
            await stock.store.open("missing", revision)

    async def test_an_empty_file_is_a_file(self, stock: Stock) -> None:
        """An empty file can be described, opened and read."""
        stock.put("empty", b"")
        info, data = await read_file(stock.store, "empty")
        assert (info.size, data) == (0, b"")

    @pytest.mark.parametrize("at", [0, 1, len(BYTES)])
    async def test_an_empty_span_yields_nothing(self, stock: Stock, at: int) -> None:
        """Reading an empty span yields no run, also at the end of the file."""
        stock.put("a.bin", BYTES)
        async with aclosing(await stock.store.open("a.bin")) as file:
            assert [run async for run in file.read(Span(at, at), lambda _: 10)] == []

    async def test_reads_of_one_file_do_not_disturb_each_other(self, stock: Stock) -> None:
        """Several interleaved reads of one open file each yield their own span."""
        stock.put("a.bin", BYTES)
        asked = [Span(0, 900), Span(300, 2000), Span(0, 900), Span(1999, 2000)]
        got = [bytearray() for _ in asked]
        async with aclosing(await stock.store.open("a.bin")) as file:
            reads = [file.read(span, lambda _: 70) for span in asked]
            running = dict(zip(reads, got, strict=True))
            while running:
                for runs in list(running):
                    if (run := await anext(runs, None)) is None:
                        del running[runs]
                    else:
                        running[runs].extend(run)
        assert got == [BYTES[span.start : span.stop] for span in asked]

    async def test_many_files_can_be_open_at_once(self, stock: Stock) -> None:
        """A hundred files that are read at the same time each yield their own bytes."""
        for number in range(100):
            stock.put(f"{number}.bin", bytes([number]) * 1000)
        files = [await stock.store.open(f"{number}.bin") for number in range(100)]
        try:
            assert await asyncio.gather(*map(read, files)) == [bytes([number]) * 1000 for number in range(100)]
        finally:
            for file in files:
                await file.aclose()

    # Closing and cancelling

    @given(taken=st.integers(0, 5))
    @fewer_examples
    async def test_a_read_can_be_left_at_any_run(self, stock: Stock, taken: int) -> None:
        """After a read was closed early, the file can be read again, and may be closed twice."""
        stock.put("a.bin", BYTES)
        file = await stock.store.open("a.bin")
        runs = file.read(Span(0, len(BYTES)), lambda _: 100)
        for _ in range(taken):
            await anext(runs)
        await runs.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(runs)
        assert await read(file) == BYTES
        await file.aclose()
        await file.aclose()

    @given(steps=st.integers(0, 12))
    @fewer_examples
    async def test_a_read_can_be_cancelled_at_any_time(self, stock: Stock, steps: int) -> None:
        """After a read was cancelled at any point, the file and the store can still be used."""
        stock.put("a.bin", BYTES)
        async with aclosing(await stock.store.open("a.bin")) as file:
            reader = asyncio.ensure_future(read(file, block_size=100))
            for _ in range(steps):
                await asyncio.sleep(0)
            reader.cancel()
            with suppress(asyncio.CancelledError):
                assert await reader == BYTES
            assert await read(file) == BYTES
        assert await read_file(stock.store, "a.bin") == (file.info, BYTES)

    @given(steps=st.integers(0, 4))
    @fewer_examples
    async def test_opening_can_be_cancelled_at_any_time(self, stock: Stock, steps: int) -> None:
        """After an `open` was cancelled at any point, the store can still be used."""
        stock.put("a.bin", BYTES)
        opening = asyncio.ensure_future(stock.store.open("a.bin"))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await (await opening).aclose()
        assert (await read_file(stock.store, "a.bin"))[1] == BYTES

    async def test_a_store_can_be_closed_twice(self, stock: Stock) -> None:
        """Closing a store twice is allowed."""
        await stock.store.aclose()
        await stock.store.aclose()

    # Listing

    async def test_an_empty_store_lists_nothing(self, stock: Stock) -> None:
        """The listing of a store without files is empty, and not an error."""
        assert await listed(stock.store) == ({}, set())
        assert await listed(stock.store, recursive=False) == ({}, set())

    async def test_one_level_is_files_and_prefixes(self, stock: Stock) -> None:
        """A listing of one level has the files there, and one prefix for each directory, each once."""
        for name in ("top", "dir/a", "dir/sub/b", "dir/sub/c", "dir/sub/deep/d", "directory/e"):
            stock.put(name, b"x")
        files, prefixes = await listed(stock.store, recursive=False)
        assert (set(files), prefixes) == ({"top"}, {"dir/", "directory/"})
        files, prefixes = await listed(stock.store, "dir", recursive=False)
        assert (set(files), prefixes) == ({"dir/a"}, {"dir/sub/"})

    async def test_a_prefix_may_end_in_a_slash(self, stock: Stock) -> None:
        """A prefix means the same with and without its trailing slash, and matches whole parts of names only."""
        for name in ("dir/a", "dir/sub/b", "directory/e"):
            stock.put(name, b"x")
        for recursive in (True, False):
            with_slash = await listed(stock.store, "dir/", recursive=recursive)
            assert with_slash == await listed(stock.store, "dir", recursive=recursive)
        assert set((await listed(stock.store, "dir/"))[0]) == {"dir/a", "dir/sub/b"}

    @pytest.mark.parametrize("recursive", [True, False])
    async def test_a_file_as_prefix_is_listed(self, stock: Stock, *, recursive: bool) -> None:
        """A prefix that names a file lists that file."""
        stock.put("dir/a", b"x")
        stock.put("dir/ab", b"x")
        info = await stock.store.stat("dir/a")
        assert await listed(stock.store, "dir/a", recursive=recursive) == ({"dir/a": info}, set())

    @pytest.mark.parametrize("prefix", ["missing", "missing/", "dir/missing", "di", "dir/a/b"])
    async def test_a_missing_prefix_is_not_found(self, stock: Stock, prefix: str) -> None:
        """A prefix that does not exist is an error, not an empty listing."""
        stock.put("dir/a", b"x")
        with pytest.raises(NotFoundError) as caught:
            await listed(stock.store, prefix)
        assert not isinstance(caught.value, NotAFileError)

    @given(tree=trees(), prefix=names, recursive=st.booleans(), page_size=st.integers(1, 15))
    @fewer_examples
    async def test_a_listing_is_what_is_below_the_prefix(
        self, stock: Stock, *, tree: frozenset[str], prefix: str, recursive: bool, page_size: int
    ) -> None:
        """For any files, prefix and page size, each file below is listed once, as `stat` describes it, and can be opened."""
        top = f"tree-{next(_numbers)}"
        for name in tree:
            stock.put(f"{top}/{name}", name.encode())
        below = f"{top}/{prefix}/"
        inside = {f"{top}/{name}" for name in tree if f"{top}/{name}".startswith(below)}
        expected_prefixes: set[str] = set()
        if prefix in tree:
            expected = {f"{top}/{prefix}"}
        elif recursive:
            expected = inside
        else:
            expected = {name for name in inside if "/" not in name.removeprefix(below)}
            expected_prefixes = {below + name.removeprefix(below).split("/")[0] + "/" for name in inside - expected}
        if not expected and not expected_prefixes:
            with pytest.raises(NotFoundError):
                await listed(stock.store, below, recursive=recursive, page_size=page_size)
            return
        files, prefixes = await listed(stock.store, below, recursive=recursive, page_size=page_size)
        assert (set(files), prefixes) == (expected, expected_prefixes)
        for name, info in files.items():
            assert await read_file(stock.store, name) == (info, name.removeprefix(f"{top}/").encode())

    async def test_a_listing_can_be_left(self, stock: Stock) -> None:
        """After a listing was closed early, the next one is complete."""
        for number in range(10):
            stock.put(f"{number}", b"x")
        pages = stock.store.list(ListRequest(recursive=True, page_size=3))
        assert 1 <= len((await anext(pages)).files) <= 3
        await pages.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(pages)
        assert len((await listed(stock.store))[0]) == 10

    @given(steps=st.integers(0, 6))
    @fewer_examples
    async def test_a_listing_can_be_cancelled_at_any_time(self, stock: Stock, steps: int) -> None:
        """After a listing was cancelled at any point, the store can still be used."""
        for number in range(5):
            stock.put(f"{number}", b"x")
        listing = asyncio.ensure_future(listed(stock.store, page_size=1))
        for _ in range(steps):
            await asyncio.sleep(0)
        listing.cancel()
        with suppress(asyncio.CancelledError):
            await listing
        assert len((await listed(stock.store))[0]) == 5

    # Changes

    @pytest.mark.parametrize(
        "other",
        [BYTES[::-1], BYTES[:-1], BYTES + b"x", b""],
        ids=["same-size", "shorter", "longer", "empty"],
    )
    async def test_other_bytes_are_another_revision(self, stock: Stock, other: bytes) -> None:
        """When the bytes of a file change, its revision changes, even if its size stays."""
        stock.put("a.bin", BYTES)
        before, _ = await read_file(stock.store, "a.bin")
        stock.put("a.bin", other)
        after, data = await read_file(stock.store, "a.bin")
        assert data == other
        assert after.revision != before.revision

    async def test_a_removed_file_is_not_found(self, stock: Stock) -> None:
        """A removed file is missing in `stat`, `open` and listings."""
        stock.put("dir/a", b"x")
        stock.put("dir/b", b"x")
        stock.remove("dir/a")
        for asking in (stock.store.stat, stock.store.open):
            with pytest.raises(NotFoundError):
                await asking("dir/a")
        assert set((await listed(stock.store))[0]) == {"dir/b"}

    @given(
        new=st.one_of(st.none(), st.integers(0, 2 * len(BYTES)), st.just(len(BYTES))),
        block_size=st.integers(50, 700),
        taken=st.integers(0, 4),
    )
    @fewer_examples
    async def test_a_change_under_a_reader_never_mixes_two_versions(
        self, stock: Stock, new: int | None, block_size: int, taken: int
    ) -> None:
        """If a file changes while it is read, the reader gets all old bytes, or the first of them and an error."""
        stock.put("a.bin", BYTES)
        async with aclosing(await stock.store.open("a.bin")) as file:
            got = bytearray()
            with suppress(FileChangedError):
                async with aclosing(file.read(Span(0, len(BYTES)), lambda _: block_size)) as runs:
                    while (run := await anext(runs, None)) is not None:
                        got += run
                        taken -= 1
                        if taken == 0 and new is None:
                            stock.remove("a.bin")
                        elif taken == 0 and new is not None:
                            # Every byte differs from the old file's byte at the same offset.
                            stock.put("a.bin", bytes(byte ^ 0xFF for byte in (BYTES * 2)[:new]))
                assert len(got) == len(BYTES), "it ended early without an error"
            assert got == BYTES[: len(got)]

    async def test_a_file_opened_before_a_change_is_not_read_after_it(self, stock: Stock) -> None:
        """If a file changed between `open` and `read`, its new bytes are not returned under the old revision."""
        stock.put("a.bin", BYTES)
        async with aclosing(await stock.store.open("a.bin")) as file:
            stock.put("a.bin", BYTES[::-1])
            with suppress(FileChangedError):
                assert await read(file) == BYTES


_numbers = count()
