"""read_many: spans of many files, each as `read` returns it, with few streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.lab import Wrapper
from unspool.client import manyspans
from unspool.client.client import Client
from unspool.client.events import Event, TransferEnded
from unspool.core.model import BatchRequest, Frame, Piece, ReadRequest, WantedFile
from unspool.core.retry import RetryPolicy
from unspool.errors import (
    FileChangedError,
    InvalidNameError,
    InvalidRangeError,
    NotFoundError,
    StartPastEndError,
    UnreachableError,
    UnsupportedError,
)
from unspool.options import TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, Recorder, StoreTransport

FILES = {"a": Random(1).randbytes(5000), "b": Random(2).randbytes(3 << 20), "empty": b""}
OPTIONS = TransferOptions(jobs=1, retry=RetryPolicy(budget=3))


class Noting(Wrapper):
    """A transport that notes what is asked for; subclasses misbehave."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        super().__init__(StoreTransport(store or MemoryStore(FILES)))
        self.batches: list[BatchRequest] = []
        self.single: list[ReadRequest] = []

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """Note it."""
        self.single.append(request)
        async with aclosing(super().read(request)) as frames:
            async for frame in frames:
                yield frame

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """Note it."""
        self.batches.append(request)
        async with aclosing(super().read_files(self.changed(request))) as messages:
            async for message in messages:
                yield self.through(message)

    def changed(self, request: BatchRequest) -> BatchRequest:
        """Return the request as the server understands it."""
        return request

    def through(self, message: Sequence[Piece]) -> Sequence[Piece]:
        """Return the message as it arrives."""
        return message


def client_of(transport: Noting, options: TransferOptions = OPTIONS) -> Client:
    """Return a client of the transport."""
    return Client(transport=transport, clock=FakeClock(), random=Random(0), options=options)


def expected(*spans: tuple[str, int, int]) -> list[bytes]:
    """Return the bytes of spans."""
    return [FILES[name][start : start + length] for name, start, length in spans]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "a", "b", "empty"]),
            st.integers(0, 5000) | st.just(0),
            st.sampled_from([0, 1, 100, 5000, 700_000, 3 << 20]),
        ),
        max_size=20,
    ),
    st.sampled_from([1, 4]),
)
async def test_spans_are_what_read_returns(spans: list[tuple[str, int, int]], jobs: int) -> None:
    """Any spans of any files, repeated and overlapping ones too, come in the order asked for, cut at the end of their file."""
    spans = [span for span in spans if span[1] <= len(FILES[span[0]])]
    client = client_of(Noting(), replace(OPTIONS, jobs=jobs))
    assert await client.read_many(spans) == expected(*spans)


async def test_short_spans_share_a_stream() -> None:
    """A thousand short spans are one stream; a long span has its own."""
    transport = Noting()
    spans = [("b", 3000 * number, 100) for number in range(999)] + [("a", 0, 1), ("b", 0, 2 << 20)]
    assert await client_of(transport).read_many(iter(spans)) == expected(*spans)
    assert [len(batch.files) for batch in transport.batches] == [1000]
    assert [(one.start, one.length) for one in transport.single] == [(0, 2 << 20)]


async def test_errors_are_raised_or_stand_in_their_place() -> None:
    """What is wrong with a span is raised, or with `return_exceptions` its result; the others come."""
    spans = [
        ("a", 1, 2),
        ("missing", 0, 1),
        ("a", 5001, 1),
        ("../a", 0, 1),
        ("a", -1, 1),
        ("a", 1, -1),
        ("missing", 0, 2 << 20),
        ("b", 3, 4),
    ]
    wrong = [NotFoundError, StartPastEndError, InvalidNameError, InvalidRangeError, InvalidRangeError, NotFoundError]
    client = client_of(Noting())
    first, *between, last = await client.read_many(spans, return_exceptions=True)
    assert [first, last] == expected(spans[0], spans[-1])
    assert [type(error) for error in between] == wrong
    for span, kind in zip(spans[1:], wrong, strict=False):
        with pytest.raises(kind):
            await client.read_many([spans[0], span])
    assert await client.read_many([]) == []


class WithoutLengths(Noting):
    """A server that ignores lengths in a batch."""

    def changed(self, request: BatchRequest) -> BatchRequest:
        """Forget the lengths."""
        return replace(request, files=tuple(replace(file, length=None) for file in request.files))


class WithoutStarts(Noting):
    """A server that ignores starts, too."""

    def changed(self, request: BatchRequest) -> BatchRequest:
        """Forget all but the names and pins."""
        return replace(request, files=tuple(WantedFile(file.name, file.revision) for file in request.files))


class WithoutBatches(Noting):
    """A server that has none."""

    def changed(self, request: BatchRequest) -> BatchRequest:
        """Refuse."""
        raise UnsupportedError("no batches")


@pytest.mark.parametrize("kind", [WithoutLengths, WithoutStarts, WithoutBatches])
async def test_an_older_server_is_asked_span_by_span(kind: type[Noting]) -> None:
    """A server that does not know spans in batches is asked with a stream for each, after one batch; the bytes are right."""
    transport = kind()
    spans = [("a", 4990, 10), ("a", 7, 5), ("b", 0, 100), ("a", 5, 0)]
    wanted = [*spans, *(("b", 1000 * number, 10) for number in range(1000))]
    assert await client_of(transport).read_many(wanted) == expected(*wanted)
    assert len(transport.batches) == 1
    assert all(one.length in {10, 5, 100, 0} for one in transport.single)


class Breaking(Noting):
    """A server whose batches break after each message, with blocks of 100 bytes."""

    def changed(self, request: BatchRequest) -> BatchRequest:
        """Ask for small blocks."""
        return replace(request, block_size=100)

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """Break."""
        async with aclosing(super().read_files(request)) as messages:
            yield await anext(messages)
            raise UnreachableError("the connection broke")


async def test_a_broken_batch_goes_on_where_it_was() -> None:
    """After each break only the missing bytes are requested, at the revision that was seen, and arrived ones are progress."""
    store = MemoryStore(FILES)
    transport = Breaking(store)
    spans = [("a", 0, 50), ("a", 100, 1000), ("b", 7, 30)]
    assert await client_of(transport).read_many(spans) == expected(*spans)
    revision = (await store.stat("a")).revision
    asked = [[(file.name, file.start, file.length, file.revision) for file in batch.files] for batch in transport.batches]
    assert asked[0] == [("a", 0, 50, None), ("a", 100, 1000, None), ("b", 7, 30, None)]
    assert asked[1] == [("a", 100, 1000, revision), ("b", 7, 30, None)]
    assert asked[2][0] == ("a", 200, 900, revision)
    assert len(asked) > 10


class Flipping(Noting):
    """A connection that changes a byte of the first messages."""

    flips = 2

    def through(self, message: Sequence[Piece]) -> Sequence[Piece]:
        """Change the last byte of a block."""
        if not self.flips:
            return message
        self.flips -= 1
        *before, last = message
        assert last.frame is not None
        assert last.frame.block is not None
        data = bytes(last.frame.block.data)
        flipped = replace(last.frame.block, data=data[:-1] + bytes([data[-1] ^ 1]))
        return (*before, replace(last, frame=replace(last.frame, block=flipped)))


async def test_damaged_bytes_are_not_returned() -> None:
    """A span that does not match its checksum is requested again, and only that one."""
    transport = Flipping()
    spans = [("a", 0, 50), ("a", 100, 50)]
    assert await client_of(transport).read_many(spans) == expected(*spans)
    assert [[file.start for file in batch.files] for batch in transport.batches] == [[0, 100], [100], [100]]


class ChangesBetween(Noting):
    """The file changes before the given batch."""

    def __init__(self, store: MemoryStore, before: int) -> None:
        super().__init__(store)
        self._store = store
        self._before = before

    def changed(self, request: BatchRequest) -> BatchRequest:
        """Change the file, if it is time."""
        if len(self.batches) == self._before:
            self._store.put("a", b"x" * 5000)
        return request


async def test_spans_of_one_file_are_of_one_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a file changes between two batches, the later spans are FILE_CHANGED; those of other files come."""
    monkeypatch.setattr(manyspans, "_BATCH_SPANS", 2)
    spans = [("a", 0, 1), ("a", 1, 1), ("a", 2, 1), ("b", 0, 1)]
    client = client_of(ChangesBetween(MemoryStore(FILES), 2))
    *good, changed, other = await client.read_many(spans, return_exceptions=True)
    assert [*good, other] == expected(*spans[:2], spans[3])
    assert isinstance(changed, FileChangedError)


async def test_batches_at_the_same_time_agree_on_a_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that began before a revision was known give bytes of one revision only, too."""
    monkeypatch.setattr(manyspans, "_BATCH_SPANS", 1)
    store = MemoryStore(FILES)
    client = client_of(ChangesBetween(store, 3), replace(OPTIONS, jobs=4))
    spans = [("a", number, 1) for number in range(8)]
    found = await client.read_many(spans, return_exceptions=True)
    olds = [one == FILES["a"][number : number + 1] for number, one in enumerate(found)]
    news = [one == b"x" for one in found]
    assert any(isinstance(one, FileChangedError) for one in found)
    assert not (any(olds) and any(news))


async def test_revisions_may_be_asked_for() -> None:
    """A revision that is given is asked for, in batches and for long spans."""
    store = MemoryStore(FILES)
    revision = (await store.stat("b")).revision
    spans = [("b", 0, 5), ("b", 0, 2 << 20)]
    transport = Noting(store)
    assert await client_of(transport).read_many(spans, revisions={"b": revision}) == expected(*spans)
    assert transport.batches[0].files[0].revision == transport.single[0].revision == revision
    for span in spans:
        with pytest.raises(FileChangedError):
            await client_of(Noting(store)).read_many([span], revisions={"b": "another"})


class Away(Noting):
    """A server that is away."""

    def changed(self, request: BatchRequest) -> BatchRequest:
        """Refuse."""
        raise UnreachableError("away")


async def test_a_server_that_is_away_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All spans have the error of the first batch; the budget is spent once."""
    monkeypatch.setattr(manyspans, "_BATCH_SPANS", 1)
    transport = Away()
    found = await client_of(transport).read_many([("a", 0, 1)] * 5 + [("b", 0, 2 << 20)], return_exceptions=True)
    assert [type(one) for one in found] == [UnreachableError] * 6
    assert len(transport.batches) == 3
    assert transport.single == []


async def test_each_batch_is_told_with_what_it_received() -> None:
    """Observers are told of a batch and of the verified bytes that came with it."""
    told = Recorder[Event]()
    await client_of(Noting()).read_many([("a", 0, 70), ("b", 0, 30)], observers=[told])
    (ended,) = [event for event in told if isinstance(event, TransferEnded)]
    assert (ended.call, ended.outcome, ended.attempts, ended.bytes_received) == ("batch", "OK", 1, 100)
