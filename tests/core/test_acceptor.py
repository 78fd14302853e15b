"""The acceptor of uploads: its table, its checks in their order, and that whatever comes, only whole files are complete."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core import acceptor as module
from unspool.core.acceptor import TABLE, Acceptor, Event, State, good_spans
from unspool.core.checksum import crc32c
from unspool.core.condition import check_condition, check_present, may_be_same
from unspool.core.model import Block, FileInfo, Span
from unspool.core.segments import Segment, SegmentTable
from unspool.core.uploading import ANYTHING, IF_ABSENT, Condition, GoodSpan, UploadCommit, UploadOpen
from unspool.errors import (
    AlreadyExistsError,
    BlockCorruptError,
    FileChangedError,
    FileMismatchError,
    InvalidRangeError,
    InvalidRequestError,
    NotFoundError,
    SequenceError,
    TooLargeError,
    UnspoolError,
)

DATA = Random(4).randbytes(1000)
ID = bytes(16)
SEGMENT = 100


def block(start: int, stop: int, data: bytes = DATA) -> Block:
    """Return a block of the file."""
    return Block(start, data[start:stop], crc32c(data[start:stop]))


def table_of(*spans: tuple[int, int], size: int = SEGMENT) -> SegmentTable:
    """Return a table in which some spans of the file are good. Each begins a segment."""
    table = SegmentTable(size)
    for start, stop in spans:
        table.record(block(start, stop))
    return table


def accepting(table: SegmentTable | None = None, size: int | None = len(DATA), most: int | None = None) -> Acceptor:
    """Return an acceptor of an open upload."""
    acceptor = Acceptor(block_size=400, most_bytes=most)
    acceptor.open(UploadOpen(ID, "a", size=size))
    acceptor.begin(table or table_of())
    return acceptor


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_the_table_is_what_happens(state: State, event: Event) -> None:
    """In each state, each event leads where the table says, or is out of order and ends the stream."""
    acceptor = accepting(table_of((0, 1000), size=1000))
    acceptor.state = state
    deeds = {
        Event.OPEN: lambda: acceptor.open(UploadOpen(ID, "a", size=len(DATA))),
        Event.BLOCK: lambda: acceptor.accept(block(0, 10)),
        Event.COMMIT: lambda: acceptor.commit(UploadCommit(len(DATA), crc32c(DATA))),
        Event.HEARTBEAT: acceptor.heartbeat,
        Event.END: acceptor.end,
    }
    if (state, event) in TABLE:
        deeds[event]()
        assert acceptor.state is TABLE[state, event]
    else:
        with pytest.raises(SequenceError, match="out of order"):
            deeds[event]()
        assert acceptor.state is State.ENDED


def test_the_docstring_has_the_table() -> None:
    """The table in the docstring is the one that the code has."""
    lines = [line.split("  ") for line in (module.__doc__ or "").splitlines() if line.startswith("    ")]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    head, rows = next(row for row in rows if row[0] == "state"), [row for row in rows if row[0] in State.__members__]
    said = {
        (State[row[0]], Event[event.upper()]): State[cell]
        for row in rows
        for event, cell in zip(head[1:], row[1:], strict=True)
        if cell != "out of order"
    }
    assert said == TABLE


@pytest.mark.parametrize(
    ("wrong", "error", "offset"),
    [
        (Block(0, b"", 1), InvalidRequestError, 0),
        (Block(2000, bytes(401), 1), InvalidRequestError, 2000),
        (Block(-1, b"x", 1), InvalidRangeError, -1),
        (Block(999, b"xx", 1), InvalidRangeError, 999),
        (Block(5, b"x", 1), BlockCorruptError, 5),
        (block(5, 10), SequenceError, 0),
        (block(100, 110), SequenceError, 0),
    ],
)
def test_a_block_that_is_wrong_is_refused(wrong: Block, error: type[UnspoolError], offset: int) -> None:
    """Each fault of a block has its error, which names the place; out of order, that is where the next block begins."""
    acceptor = accepting()
    with pytest.raises(error) as caught:
        acceptor.accept(wrong)
    assert type(caught.value) is error
    assert caught.value.offset == offset
    assert caught.value.name == "a"
    assert acceptor.state is State.ENDED
    assert acceptor.table.good_bytes == 0


def test_what_is_there_is_compared_and_the_rest_is_written() -> None:
    """A block within good bytes is compared, also across segments; one at the next gap is written."""
    acceptor = accepting(table_of((0, 100), (100, 150), (300, 400), (500, 510)))
    assert acceptor.accept(block(20, 140)) == "compare"
    assert acceptor.accept(block(0, 100)) == "compare"
    assert acceptor.accept(block(150, 290)) == "write"
    assert acceptor.accept(block(290, 300)) == "write"
    assert acceptor.accept(block(300, 400)) == "compare"
    assert acceptor.accept(block(400, 500)) == "write"
    with pytest.raises(SequenceError) as caught:
        acceptor.accept(block(505, 520))
    assert caught.value.offset == 510


def test_a_block_does_not_reach_into_what_is_there() -> None:
    """A block that begins at a gap and ends beyond it is refused: it is neither all new nor all known."""
    acceptor = accepting(table_of((200, 300)))
    with pytest.raises(SequenceError):
        acceptor.accept(block(0, 201))


def test_without_a_size_the_file_ends_with_its_commit() -> None:
    """If no size was announced, blocks may come up to the largest file there may be, and the commit says the size."""
    acceptor = accepting(size=None, most=500)
    for start in range(0, 500, 100):
        assert acceptor.accept(block(start, start + 100)) == "write"
    acceptor.commit(UploadCommit(500, crc32c(DATA[:500])))
    for refused in (block(500, 501), block(400, 600)):
        acceptor = accepting(table_of((0, 500), size=500), size=None, most=500)
        with pytest.raises(TooLargeError):
            acceptor.accept(refused)


def test_with_a_gap_and_no_size_the_gap_comes_first() -> None:
    """Missing bytes in the middle are received before those after the end of what is there."""
    acceptor = accepting(table_of((0, 100), (200, 250)), size=None)
    assert acceptor.accept(block(100, 200)) == "write"
    assert acceptor.accept(block(250, 300)) == "write"


def test_what_is_too_large_is_refused_at_the_opening() -> None:
    """A size above the largest file is refused at once; so are spans to discard that are not ascending."""
    with pytest.raises(TooLargeError, match="1000 bytes"):
        Acceptor(block_size=1, most_bytes=999).open(UploadOpen(ID, "a", size=1000))
    Acceptor(block_size=1).open(UploadOpen(ID, "a", discard=(Span(0, 5), Span(5, 6))))
    with pytest.raises(InvalidRangeError):
        Acceptor(block_size=1).open(UploadOpen(ID, "a", discard=(Span(0, 5), Span(4, 6))))


@pytest.mark.parametrize(
    ("there", "announced", "ends", "error"),
    [
        ((0, 1000), None, UploadCommit(-1, 0), InvalidRangeError),
        ((0, 1000), 1000, UploadCommit(999, crc32c(DATA[:999])), InvalidRangeError),
        ((0, 999), 1000, UploadCommit(1000, crc32c(DATA)), SequenceError),
        ((0, 1000), None, UploadCommit(999, crc32c(DATA[:999])), FileMismatchError),
        ((0, 1000), 1000, UploadCommit(1000, 1), FileMismatchError),
    ],
)
def test_a_commit_that_does_not_agree_is_refused(
    there: tuple[int, int], announced: int | None, ends: UploadCommit, error: type[UnspoolError]
) -> None:
    """A commit needs every byte, no more, the size announced, and the checksum of the whole."""
    acceptor = accepting(table_of(there, size=1000), size=announced)
    with pytest.raises(error) as caught:
        acceptor.commit(ends)
    assert type(caught.value) is error
    assert acceptor.state is State.ENDED


def test_bytes_in_a_later_segment_than_the_file_has_are_no_part_of_it() -> None:
    """What was received beyond the size of a commit, in a segment of its own, makes it disagree."""
    acceptor = accepting(table_of((0, 100), (100, 150)), size=None)
    with pytest.raises(FileMismatchError):
        acceptor.commit(UploadCommit(100, crc32c(DATA[:100])))


def test_an_empty_file_is_a_commit_alone() -> None:
    """A file of no bytes needs no block."""
    for size in (0, None):
        accepting(size=size).commit(UploadCommit(0, 0))


@given(st.data())
def test_whatever_blocks_come_only_the_whole_file_is_complete(data: st.DataObject) -> None:
    """For any blocks in any order, the table has only right bytes, and a commit succeeds if and only if all are there."""
    acceptor = accepting(table_of(*data.draw(st.sampled_from([(), ((0, 100),), ((0, 40), (300, 350)), ((0, 1000),)]))))
    for start in data.draw(st.lists(st.integers(0, 990), max_size=6)):
        begins = data.draw(st.sampled_from([start, acceptor._gap.start]))
        wanted = block(begins, min(begins + data.draw(st.integers(1, 400)), len(DATA)))
        if not wanted.data:
            break
        try:
            acceptor.accept(wanted)
        except SequenceError:
            acceptor.state = State.ACCEPTING
    for good in good_spans(acceptor.table):
        assert good.crc32c == crc32c(DATA[good.span.start : good.span.stop])
    try:
        acceptor.commit(UploadCommit(len(DATA), crc32c(DATA)))
    except SequenceError:
        assert acceptor.table.good_bytes < len(DATA)
    else:
        assert acceptor.table.good_bytes == len(DATA)


def test_good_spans_are_merged_or_one_for_each_segment() -> None:
    """Adjacent segments are one span with the checksum of both, unless each is wanted."""
    table = table_of((0, 100), (100, 150), (300, 400))
    assert good_spans(table) == (
        GoodSpan(Span(0, 150), crc32c(DATA[:150])),
        GoodSpan(Span(300, 400), crc32c(DATA[300:400])),
    )
    assert [good.span for good in good_spans(table, merged=False)] == [Span(0, 100), Span(100, 150), Span(300, 400)]
    assert good_spans(table_of()) == ()


def test_a_segment_is_restored() -> None:
    """What is said of a segment replaces what was known of it."""
    table = table_of((0, 100))
    table.restore(0, Segment(40, crc32c(DATA[:40])))
    assert (table.good_bytes, table.checksum(40)) == (40, crc32c(DATA[:40]))


# Conditions

INFO = FileInfo("a", 5, "r1", crc32c=1)


@pytest.mark.parametrize(
    ("condition", "current", "error"),
    [
        (ANYTHING, None, None),
        (ANYTHING, INFO, None),
        (IF_ABSENT, None, None),
        (IF_ABSENT, INFO, AlreadyExistsError),
        (Condition(revision="r1"), INFO, None),
        (Condition(revision="r2"), INFO, FileChangedError),
        (Condition(revision="r1"), None, FileChangedError),
    ],
)
def test_a_condition_holds_or_is_an_error(
    condition: Condition, current: FileInfo | None, error: type[UnspoolError] | None
) -> None:
    """What must be at the name is compared with what is there."""
    if error is None:
        check_condition("a", condition, current)
    else:
        with pytest.raises(error, match="a: ") as caught:
            check_condition("a", condition, current)
        assert caught.value.name == "a"


@pytest.mark.parametrize(
    ("revision", "current", "error"),
    [
        (None, INFO, None),
        ("r1", INFO, None),
        ("r2", INFO, FileChangedError),
        (None, None, NotFoundError),
        ("r1", None, NotFoundError),
    ],
)
def test_a_file_that_is_removed_is_the_one_that_was_meant(
    revision: str | None, current: FileInfo | None, error: type[UnspoolError] | None
) -> None:
    """What is not there is not found, whatever the revision; what is there has the revision, if one is given."""
    if error is None:
        assert check_present("a", revision, current) is current
    else:
        with pytest.raises(error, match="a: ") as caught:
            check_present("a", revision, current)
        assert (caught.value.name, type(caught.value)) == ("a", error)


@pytest.mark.parametrize(
    ("opens", "current", "expected"),
    [
        (UploadOpen(ID, "a", size=5, crc32c=1), INFO, True),
        (UploadOpen(ID, "a", size=5, crc32c=2), FileInfo("a", 5, "r1"), True),
        (UploadOpen(ID, "a", size=5, crc32c=2), INFO, False),
        (UploadOpen(ID, "a", size=4, crc32c=1), INFO, False),
        (UploadOpen(ID, "a", size=5), INFO, False),
        (UploadOpen(ID, "a", crc32c=1), INFO, False),
        (UploadOpen(ID, "a", size=5, crc32c=1), None, False),
    ],
)
def test_what_may_be_there_already_is_worth_reading(opens: UploadOpen, current: FileInfo | None, expected: bool) -> None:  # noqa: FBT001
    """Only a file of the right size, whose checksum is right or unknown, may have the bytes."""
    assert may_be_same(opens, current) is expected
