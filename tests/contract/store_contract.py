"""What every store keeps: the docstrings of `unspool.stores.base`, run.

A store's tests inherit from `StoreContract` and say how to come by a store with a hand in it:

    class TestMyStore(StoreContract):
        @asynccontextmanager
        async def stocked(self, directory: Path) -> AsyncIterator[Stock]:
            store = MyStore()
            yield Stock(store, put=store.put, remove=store.remove)
            await store.aclose()
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unspool.core.checksum import crc32c
from unspool.core.model import FileInfo, ListRequest, Span
from unspool.errors import FileChangedError, InvalidNameError, InvalidRequestError, NotAFileError, NotFoundError, UnspoolError
from unspool.stores.base import OpenFile, SmallFile, Store


@dataclass(frozen=True)
class Stock:
    """A store that is empty at first, and the hand that changes what is in it, also under its readers.

    Attributes:
        put: makes these bytes the file's, in a way that readers of the old ones can notice (for a directory: in place).
        remove: takes a file away.
    """

    store: Store
    put: Callable[[str, bytes], object]
    remove: Callable[[str], object]


BYTES = bytes(range(251)) * 8
"""A small file in which no two offsets near each other look alike."""

NOT_NAMES = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "./a",
    "a/./b",
    "a/.",
    "..",
    "../a",
    "a/../b",
    "a/..",
    "a\\b",
    "..\\a",
    "\0",
    "a\0b",
    "\ud800",
    "a/\udcff",
    "x" * 4097,
    "ä" * 2049,
    "/".join(["deep"] * 1000),
]
UNUSUAL_NAMES = ["-rf", "...", "..a", " ", "a b", "ä", "日本.bin", "🙂", "a\nb", "data:,x", "a%2fb", "~", "*", "CON", "a" * 255]

in_one_fixture = settings(
    # The examples share one store and keep out of each other's way by name.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors, HealthCheck.too_slow]
)
fewer_examples = settings(in_one_fixture, max_examples=max(10, in_one_fixture.max_examples // 3))

spans = st.tuples(st.integers(0, len(BYTES)), st.integers(0, len(BYTES))).map(lambda ends: Span(min(ends), max(ends)))
block_sizes = st.one_of(st.integers(1, 300), st.integers(1, 2 * len(BYTES)))
names = st.lists(st.sampled_from(["a", "b", "ab", "b.txt"]), min_size=1, max_size=4).map("/".join)


@st.composite
def trees(draw: st.DrawFn) -> frozenset[str]:
    """Names that fit together: none of them is also a directory of another."""
    chosen = draw(st.frozensets(names, max_size=12))
    return frozenset(name for name in chosen if not any(other.startswith(f"{name}/") for other in chosen))


async def read(file: OpenFile, span: Span | None = None, block_size: int = 500) -> bytes:
    """Return the bytes of a span, by default of the whole file; the runs are checked for their sizes."""
    data = bytearray()
    async with aclosing(file.read(span or Span(0, file.info.size), lambda _: block_size)) as runs:
        async for run in runs:
            assert 1 <= len(run) <= block_size
            data += run
    return bytes(data)


async def read_file(store: Store, name: str) -> tuple[FileInfo, bytes]:
    """Open a file, read all of it, close it."""
    async with aclosing(await store.open(name)) as file:
        return file.info, await read(file)


async def read_all_small(store: Store, names: list[str], most_bytes: int) -> list[SmallFile]:
    """Ask for small files until all are answered; none is too large."""
    answers: list[SmallFile] = []
    while len(answers) < len(names):
        more = await store.read_small(names[len(answers) :], most_bytes)
        assert more, "a file that fits was not answered"
        answers += more
    return answers


def good(answer: SmallFile) -> tuple[FileInfo, bytes]:
    """Return what is not an error: what the file is, and its bytes."""
    assert not isinstance(answer, UnspoolError), answer
    return answer[:2]


async def listed(
    store: Store, prefix: str = "", *, recursive: bool = True, page_size: int = 1000
) -> tuple[dict[str, FileInfo], set[str]]:
    """Return the files and the prefixes of a listing; each of them is listed once, and no page is empty or too large.

    A page that says nothing but what was left out is not empty.
    """
    files: list[FileInfo] = []
    prefixes: list[str] = []
    async with aclosing(store.list(ListRequest(prefix, recursive, page_size))) as pages:
        async for page in pages:
            assert page.omitted or page.files or page.prefixes
            assert len(page.files) + len(page.prefixes) <= page_size
            files += page.files
            prefixes += page.prefixes
    by_name = {info.name: info for info in files}
    assert len(by_name) == len(files), "a file is listed twice"
    assert len(set(prefixes)) == len(prefixes), "a prefix is listed twice"
    return by_name, set(prefixes)


class StoreContract(ABC):
    """The promises of a store."""

    @abstractmethod
    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """Open an empty store, which may use `directory`; leaving closes it."""

    @pytest.fixture
    async def stock(self, tmp_path: Path) -> AsyncGenerator[Stock, None]:
        """An empty store and the hand in it."""
        async with self.stocked(tmp_path) as stock:
            yield stock

    # What a file is

    async def test_stat_tells_what_the_file_is(self, stock: Stock) -> None:
        """A file's info has its name, its size, a revision, and a checksum only if it is the right one."""
        stock.put("dir/a.bin", BYTES)
        info = await stock.store.stat("dir/a.bin")
        assert (info.name, info.size) == ("dir/a.bin", len(BYTES))
        assert info.revision
        assert info.crc32c in {None, crc32c(BYTES)}

    async def test_stat_open_and_list_say_the_same(self, stock: Stock) -> None:
        """As long as nothing changes, a file is the same whichever way one looks at it, and however often."""
        stock.put("a.bin", BYTES)
        looks = [await stock.store.stat("a.bin"), (await read_file(stock.store, "a.bin"))[0]]
        looks += [(await listed(stock.store))[0]["a.bin"], await stock.store.stat("a.bin")]
        assert looks == [looks[0]] * 4

    # Reading

    @given(span=spans, block_size=block_sizes)
    @in_one_fixture
    async def test_a_span_is_read_exactly(self, stock: Stock, span: Span, block_size: int) -> None:
        """Any span in runs of any size is exactly the file's bytes there, in runs of 1 to that size."""
        if "a.bin" not in (await listed(stock.store))[0]:
            stock.put("a.bin", BYTES)
        async with aclosing(await stock.store.open("a.bin")) as file:
            assert await read(file, span, block_size) == BYTES[span.start : span.stop]

    @given(span=spans, sizes=st.lists(st.integers(1, 700), min_size=1, max_size=8))
    @in_one_fixture
    async def test_runs_are_as_long_as_asked_for_at_each_moment(self, stock: Stock, span: Span, sizes: list[int]) -> None:
        """The whole span is asked for once; how long each run may be is asked for it alone, at its own offset."""
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
        """Who names a revision gets that one's bytes, or is told that the file changed."""
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
        """A file of no bytes can be looked at, opened and read."""
        stock.put("empty", b"")
        info, data = await read_file(stock.store, "empty")
        assert (info.size, data) == (0, b"")

    @pytest.mark.parametrize("at", [0, 1, len(BYTES)])
    async def test_an_empty_span_yields_nothing(self, stock: Stock, at: int) -> None:
        """Reading no bytes yields no run, also at the end of the file."""
        stock.put("a.bin", BYTES)
        async with aclosing(await stock.store.open("a.bin")) as file:
            assert [run async for run in file.read(Span(at, at), lambda _: 10)] == []

    async def test_reads_of_one_file_do_not_disturb_each_other(self, stock: Stock) -> None:
        """Several reads of one open file, taken in turns, each yield their own span."""
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
        """A hundred open files, read at the same time, are each themselves."""
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
        """A read that is closed early is over, and the file can be read again, and closed twice."""
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
        """A reader that is cancelled, wherever it is, leaves the file and the store fit for use."""
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
        """An `open` that is cancelled, wherever it is, leaves the store fit for use."""
        stock.put("a.bin", BYTES)
        opening = asyncio.ensure_future(stock.store.open("a.bin"))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await (await opening).aclose()
        assert (await read_file(stock.store, "a.bin"))[1] == BYTES

    async def test_a_store_can_be_closed_twice(self, stock: Stock) -> None:
        """Closing a store that is closed does nothing."""
        await stock.store.aclose()
        await stock.store.aclose()

    # Names

    @pytest.mark.parametrize("name", NOT_NAMES, ids=lambda name: ascii(name[:12]))
    async def test_what_is_no_name_is_refused(self, stock: Stock, name: str) -> None:
        """What is no relative, plain UTF-8 name is refused as such, in every method."""
        stock.put("a/b", b"x")
        with pytest.raises(InvalidNameError) as caught:
            await stock.store.stat(name)
        assert isinstance(caught.value, InvalidRequestError)
        with pytest.raises(InvalidNameError):
            await stock.store.open(name)
        if name not in {"", "a/"}:  # everything, and a prefix with its one '/'
            with pytest.raises(InvalidNameError):
                await listed(stock.store, name)

    @pytest.mark.parametrize("name", UNUSUAL_NAMES, ids=lambda name: ascii(name[:12]))
    async def test_unusual_names_are_names(self, stock: Stock, name: str) -> None:
        """A name may be any other text: it is listed, opened and read like a plain one."""
        stock.put(f"dir/{name}", BYTES)
        assert set((await listed(stock.store))[0]) == {f"dir/{name}"}
        assert await read_file(stock.store, f"dir/{name}") == (await stock.store.stat(f"dir/{name}"), BYTES)

    @pytest.mark.parametrize("name", ["missing", "dir/missing", "missing/a", "a.bin/a", "A.BIN"])
    async def test_a_missing_file_is_not_found(self, stock: Stock, name: str) -> None:
        """A name that nothing has, also below a file, is not found; the error says which name."""
        stock.put("a.bin", BYTES)
        stock.put("dir/a.bin", BYTES)
        for asking in (stock.store.stat, stock.store.open):
            with pytest.raises(NotFoundError) as caught:
                await asking(name)
            assert not isinstance(caught.value, NotAFileError)
            assert caught.value.name == name
            assert name in caught.value.message

    @pytest.mark.parametrize("name", ["dir", "dir/sub"])
    async def test_a_directory_is_not_a_file(self, stock: Stock, name: str) -> None:
        """What only leads to other names is found, but is no file."""
        stock.put("dir/sub/a.bin", BYTES)
        for asking in (stock.store.stat, stock.store.open):
            with pytest.raises(NotAFileError) as caught:
                await asking(name)
            assert caught.value.name == name

    @given(name=st.text(max_size=20))
    @in_one_fixture
    async def test_any_text_is_a_name_or_an_error_of_ours(self, stock: Stock, name: str) -> None:
        """Whatever text is asked for, the store answers, or raises an error of unspool's."""
        for asking in (stock.store.stat(name), stock.store.open(name), listed(stock.store, name)):
            with suppress(UnspoolError):
                assert await asking == ({}, set()), "an empty store lists nothing"
                assert name == ""

    # Listing

    async def test_an_empty_store_lists_nothing(self, stock: Stock) -> None:
        """A store without files has an empty listing: that is no error."""
        assert await listed(stock.store) == ({}, set())
        assert await listed(stock.store, recursive=False) == ({}, set())

    async def test_one_level_is_files_and_prefixes(self, stock: Stock) -> None:
        """A listing of one level has the files there, and a prefix for everything deeper, each once."""
        for name in ("top", "dir/a", "dir/sub/b", "dir/sub/c", "dir/sub/deep/d", "directory/e"):
            stock.put(name, b"x")
        files, prefixes = await listed(stock.store, recursive=False)
        assert (set(files), prefixes) == ({"top"}, {"dir/", "directory/"})
        files, prefixes = await listed(stock.store, "dir", recursive=False)
        assert (set(files), prefixes) == ({"dir/a"}, {"dir/sub/"})

    async def test_a_prefix_may_end_in_a_slash(self, stock: Stock) -> None:
        """A prefix means the same with and without its closing slash, and never a name that only begins like it."""
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
        """A prefix that nothing is below is an error, not an empty listing."""
        stock.put("dir/a", b"x")
        with pytest.raises(NotFoundError) as caught:
            await listed(stock.store, prefix)
        assert not isinstance(caught.value, NotAFileError)

    @given(tree=trees(), prefix=names, recursive=st.booleans(), page_size=st.integers(1, 15))
    @fewer_examples
    async def test_a_listing_is_what_is_below_the_prefix(
        self, stock: Stock, *, tree: frozenset[str], prefix: str, recursive: bool, page_size: int
    ) -> None:
        """For any files, prefix and page size, each file below is listed once, as `stat` tells it, and can be opened."""
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
        """A listing that is closed after its first page is over, and the next one is whole."""
        for number in range(10):
            stock.put(f"{number}", b"x")
        pages = stock.store.list(ListRequest(recursive=True, page_size=3))
        assert len((await anext(pages)).files) == 3
        await pages.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(pages)
        assert len((await listed(stock.store))[0]) == 10

    @given(steps=st.integers(0, 6))
    @fewer_examples
    async def test_a_listing_can_be_cancelled_at_any_time(self, stock: Stock, steps: int) -> None:
        """A listing that is cancelled, wherever it is, leaves the store fit for use."""
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
        """When a file's bytes change, so does its revision, also when its size stays."""
        stock.put("a.bin", BYTES)
        before, _ = await read_file(stock.store, "a.bin")
        stock.put("a.bin", other)
        after, data = await read_file(stock.store, "a.bin")
        assert data == other
        assert after.revision != before.revision

    async def test_a_removed_file_is_not_found(self, stock: Stock) -> None:
        """A file that is removed is gone from `stat`, `open` and listings."""
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
        """Whatever becomes of a file under its reader, it gets only old bytes: all of them, or the first and an error."""
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
                            # No byte of it is what the old file has there.
                            stock.put("a.bin", bytes(byte ^ 0xFF for byte in (BYTES * 2)[:new]))
                assert len(got) == len(BYTES), "it ended early without an error"
            assert got == BYTES[: len(got)]

    async def test_a_file_opened_before_a_change_is_not_read_after_it(self, stock: Stock) -> None:
        """A file that changed between `open` and `read` is not given out under the revision it had."""
        stock.put("a.bin", BYTES)
        async with aclosing(await stock.store.open("a.bin")) as file:
            stock.put("a.bin", BYTES[::-1])
            with suppress(FileChangedError):
                assert await read(file) == BYTES

    # Many small files

    async def test_small_files_are_what_open_and_read_say(self, stock: Stock) -> None:
        """Files that are asked for together are each what they are alone, in the order asked for, doubled ones too."""
        contents = {f"{'dir/' * (number % 3)}{number}.bin": BYTES[: 97 * number] for number in range(20)}
        for name, data in contents.items():
            stock.put(name, data)
        wanted = [*contents, *reversed(contents), "0.bin", "0.bin"]
        answers = await read_all_small(stock.store, wanted, 10 * len(BYTES))
        assert list(map(good, answers)) == [await read_file(stock.store, name) for name in wanted]

    @given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=12), most_bytes=st.integers(1, 120))
    @fewer_examples
    async def test_small_files_fit_into_what_there_is_room_for(self, stock: Stock, sizes: list[int], most_bytes: int) -> None:
        """The answers are for the first files, no larger together than asked; none only if the first is larger by itself."""
        top = f"small-{next(_numbers)}"
        for number, size in enumerate(sizes):
            stock.put(f"{top}/{number}", BYTES[:size])
        rest = [f"{top}/{number}" for number in range(len(sizes))]
        while rest:
            answers = await stock.store.read_small(rest, most_bytes)
            assert len(answers) <= len(rest)
            assert sum(len(data) for _, data in map(good, answers)) <= most_bytes
            assert [info.name for info, _ in map(good, answers)] == rest[: len(answers)]
            if not answers:
                assert (await stock.store.stat(rest[0])).size > most_bytes
            rest = rest[max(len(answers), 1) :]

    async def test_what_is_wrong_with_a_small_file_stands_in_its_place(self, stock: Stock) -> None:
        """An error is the answer for its own name, the same that `open` raises, and those around it are answered."""
        stock.put("dir/a", BYTES)
        for name in ("missing", "dir", "dir/a/b", "../a", "", "missing/a", "a\0", "dir//a"):
            with pytest.raises(UnspoolError) as caught:
                await stock.store.open(name)
            before, wrong, after = await read_all_small(stock.store, ["dir/a", name, "dir/a"], 10 * len(BYTES))
            assert good(before) == good(after) == await read_file(stock.store, "dir/a")
            assert isinstance(wrong, UnspoolError)
            assert (type(wrong), wrong.message, wrong.name) == (type(caught.value), caught.value.message, caught.value.name)

    @given(known=st.lists(st.sampled_from(["now", "another", None]), max_size=6), most_bytes=st.integers(1, 120))
    @fewer_examples
    async def test_small_files_that_the_caller_has_are_not_read(
        self, stock: Stock, known: list[str | None], most_bytes: int
    ) -> None:
        """A file at the revision that is known is answered without its bytes and takes no room; all others are as ever."""
        top = f"known-{next(_numbers)}"
        names = [f"{top}/{number}" for number in range(6)]
        for name in names:
            stock.put(name, BYTES[:50])
        infos = [await stock.store.stat(name) for name in names]
        revisions = [info.revision if said == "now" else said for info, said in zip(infos, known, strict=False)]
        answers = await stock.store.read_small(names, most_bytes, revisions)
        sizes = [0 if said == "now" else 50 for said in known] + [50] * (6 - len(known))
        assert [(info, len(data)) for info, data in map(good, answers)] == list(zip(infos, sizes, strict=True))[: len(answers)]
        assert sum(sizes[: len(answers)]) <= most_bytes
        assert answers or sizes[0] > most_bytes

    @given(name=st.text(max_size=20))
    @fewer_examples
    async def test_any_text_among_small_files_is_answered(self, stock: Stock, name: str) -> None:
        """Whatever text is asked for among others, the answer is an error of ours, and nothing is raised."""
        (answer,) = await stock.store.read_small([name], 100)
        assert isinstance(answer, UnspoolError), "an empty store has no files"

    @given(steps=st.integers(0, 4))
    @fewer_examples
    async def test_reading_small_files_can_be_cancelled_at_any_time(self, stock: Stock, steps: int) -> None:
        """Who is cancelled while waiting for small files leaves the store fit for use."""
        stock.put("a.bin", BYTES)
        reading = asyncio.ensure_future(stock.store.read_small(["a.bin"] * 5, 10 * len(BYTES)))
        for _ in range(steps):
            await asyncio.sleep(0)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        assert good((await stock.store.read_small(["a.bin"], len(BYTES)))[0])[1] == BYTES

    async def test_small_files_are_read_as_they_are_now(self, stock: Stock) -> None:
        """A file that was put, changed or removed is answered so at once."""
        stock.put("a", b"old")
        old, _ = good((await stock.store.read_small(["a"], 10))[0])
        stock.put("a", b"new")
        new, data = good((await stock.store.read_small(["a"], 10))[0])
        assert (data, new.revision == old.revision) == (b"new", False)
        stock.remove("a")
        assert isinstance((await stock.store.read_small(["a"], 10))[0], NotFoundError)


_numbers = count()
