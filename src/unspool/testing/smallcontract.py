"""The contract of stores about names and about reading many small files or spans at once (`unspool.testing.storecontract`)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

from unspool.core.extras import extra
from unspool.errors import InvalidNameError, InvalidRequestError, NotAFileError, NotFoundError, UnspoolError
from unspool.stores.base import SmallFile
from unspool.testing.stock import (
    BYTES,
    NOT_NAMES,
    UNUSUAL_NAMES,
    Stock,
    StoreTests,
    fewer_examples,
    good,
    in_one_fixture,
    listed,
    read_all_small,
    read_file,
)

with extra("contract"):
    import pytest
    from hypothesis import given
    from hypothesis import strategies as st

_numbers = count()


class NameContract(StoreTests):
    """The contract about names."""

    @pytest.mark.parametrize("name", NOT_NAMES, ids=lambda name: ascii(name[:12]))
    async def test_what_is_no_name_is_refused(self, stock: Stock, name: str) -> None:
        """Every method refuses an invalid name with InvalidNameError."""
        stock.put("a/b", b"x")
        with pytest.raises(InvalidNameError) as caught:
            await stock.store.stat(name)
        assert isinstance(caught.value, InvalidRequestError)
        with pytest.raises(InvalidNameError):
            await stock.store.open(name)
        if name not in {"", "a/"}:  # valid prefixes: everything, and a directory
            with pytest.raises(InvalidNameError):
                await listed(stock.store, name)

    @pytest.mark.parametrize("name", UNUSUAL_NAMES, ids=lambda name: ascii(name[:12]))
    async def test_unusual_names_are_names(self, stock: Stock, name: str) -> None:
        """Unusual valid names are listed, opened and read like any other, except those that the store cannot have."""
        if name in self.impossible_names:
            with pytest.raises(InvalidNameError):
                await stock.store.open(f"dir/{name}")
            return
        stock.put(f"dir/{name}", BYTES)
        assert set((await listed(stock.store))[0]) == {f"dir/{name}"}
        assert await read_file(stock.store, f"dir/{name}") == (await stock.store.stat(f"dir/{name}"), BYTES)

    @pytest.mark.parametrize("name", ["missing", "dir/missing", "missing/a", "a.bin/a", "A.BIN"])
    async def test_a_missing_file_is_not_found(self, stock: Stock, name: str) -> None:
        """A missing name, also one below a file, raises NotFoundError with the name."""
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
        """A name that only has names below it raises NotAFileError."""
        stock.put("dir/sub/a.bin", BYTES)
        for asking in (stock.store.stat, stock.store.open):
            with pytest.raises(NotAFileError) as caught:
                await asking(name)
            assert caught.value.name == name

    @given(name=st.text(max_size=20))
    @in_one_fixture
    async def test_any_text_is_a_name_or_an_error_of_ours(self, stock: Stock, name: str) -> None:
        """For any text as a name, the store answers or raises an error of unspool."""
        for asking in (stock.store.stat(name), stock.store.open(name), listed(stock.store, name)):
            with suppress(UnspoolError):
                assert await asking == ({}, set()), "an empty store lists nothing"
                assert name == ""


class SmallFileContract(StoreTests):
    """The contract of `Store.read_small`."""

    async def test_small_files_are_what_open_and_read_say(self, stock: Stock) -> None:
        """Files that are read together equal those read alone, in the requested order, repeated ones included."""
        contents = {f"{'dir/' * (number % 3)}{number}.bin": BYTES[: 97 * number] for number in range(20)}
        for name, data in contents.items():
            stock.put(name, data)
        wanted = [*contents, *reversed(contents), "0.bin", "0.bin"]
        answers = await read_all_small(stock.store, wanted, 10 * len(BYTES))
        assert list(map(good, answers)) == [await read_file(stock.store, name) for name in wanted]

    @given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=12), most_bytes=st.integers(1, 120))
    @fewer_examples
    async def test_small_files_fit_into_what_there_is_room_for(self, stock: Stock, sizes: list[int], most_bytes: int) -> None:
        """The answers are for the first files, at most `most_bytes` together; there are none only if the first is larger."""
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
        """The answer for a file that cannot be read is the error that `open` raises; the other files are answered."""
        stock.put("dir/a", BYTES)
        for name in ("missing", "dir", "dir/a/b", "../a", "", "missing/a", "a\0", "dir//a"):
            with pytest.raises(UnspoolError) as caught:
                await stock.store.open(name)
            before, wrong, after = await read_all_small(stock.store, ["dir/a", name, "dir/a"], 10 * len(BYTES))
            assert good(before) == good(after) == await read_file(stock.store, "dir/a")
            assert isinstance(wrong, UnspoolError)
            assert (type(wrong), wrong.message, wrong.name) == (type(caught.value), caught.value.message, caught.value.name)

    @given(name=st.text(max_size=20))
    @fewer_examples
    async def test_any_text_among_small_files_is_answered(self, stock: Stock, name: str) -> None:
        """For any invalid or missing name among others, the answer is an error of unspool, and nothing is raised."""
        (answer,) = await stock.store.read_small([name], 100)
        assert isinstance(answer, UnspoolError), "an empty store has no files"

    @given(steps=st.integers(0, 4))
    @fewer_examples
    async def test_reading_small_files_can_be_cancelled_at_any_time(self, stock: Stock, steps: int) -> None:
        """After a cancelled `read_small` the store can still be used."""
        stock.put("a.bin", BYTES)
        reading = asyncio.ensure_future(stock.store.read_small(["a.bin"] * 5, 10 * len(BYTES)))
        for _ in range(steps):
            await asyncio.sleep(0)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        assert good((await stock.store.read_small(["a.bin"], len(BYTES)))[0])[1] == BYTES

    async def test_small_files_are_read_as_they_are_now(self, stock: Stock) -> None:
        """The next call shows a file that was put, changed or removed."""
        stock.put("a", b"old")
        old, _ = good((await stock.store.read_small(["a"], 10))[0])
        stock.put("a", b"new")
        new, data = good((await stock.store.read_small(["a"], 10))[0])
        assert (data, new.revision == old.revision) == (b"new", False)
        stock.remove("a")
        assert isinstance((await stock.store.read_small(["a"], 10))[0], NotFoundError)


class SpanContract(StoreTests):
    """The contract of `Store.read_spans`."""

    @given(asked=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8), most=st.integers(1, 100))
    @fewer_examples
    async def test_spans_are_what_open_and_read_say(self, stock: Stock, asked: list[tuple[int, int]], most: int) -> None:
        """Spans are cut at the end of their file, come in order, as many as fit; there are none only if the first is longer."""
        top = f"spans-{next(_numbers)}"
        for number in range(2):
            stock.put(f"{top}/{number}", BYTES[: 50 * number])
        rest = [(f"{top}/{number % 2}", start, length) for number, (start, length) in enumerate(asked)]
        while rest:
            answers = await stock.store.read_spans(rest, most)
            assert sum(len(data) for _, data in map(good, answers)) <= most
            for (name, start, length), (info, data) in zip(rest, map(good, answers), strict=False):
                assert (info, data) == (await stock.store.stat(name), BYTES[: 50 * int(name[-1])][start : start + length])
            if not answers:
                assert rest[0][2] > most
            rest = rest[max(len(answers), 1) :]

    async def test_what_is_wrong_with_a_span_stands_in_its_place(self, stock: Stock) -> None:
        """The answer for a span of a file that cannot be read is the error that `open` raises; the others are answered."""
        stock.put("dir/a", BYTES)
        for name in ("missing", "dir", "../a", ""):
            with pytest.raises(UnspoolError) as caught:
                await stock.store.open(name)
            rest = [("dir/a", 1, 2), (name, 0, 1), ("dir/a", 3, 4)]
            answers: list[SmallFile] = []
            while len(answers) < len(rest):
                answers += await stock.store.read_spans(rest[len(answers) :], 100)
            assert [good(answer)[1] for answer in (answers[0], answers[2])] == [BYTES[1:3], BYTES[3:7]]
            assert isinstance(wrong := answers[1], UnspoolError)
            assert (type(wrong), wrong.message, wrong.name) == (type(caught.value), caught.value.message, caught.value.name)

    async def test_spans_are_of_the_file_as_it_is_now(self, stock: Stock) -> None:
        """The next call reads the bytes of the file that was put meanwhile, with its revision."""
        stock.put("a", b"old")
        old, _ = good((await stock.store.read_spans([("a", 1, 2)], 10))[0])
        stock.put("a", b"new")
        new, data = good((await stock.store.read_spans([("a", 1, 2)], 10))[0])
        assert (data, new.revision == old.revision) == (b"ew", False)
