"""The sender: its table, and each of its rules with the error that names it."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core import sender as senders
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Span
from unspool.core.sender import TABLE, Event, Sender, State
from unspool.core.uploading import (
    GoodSpan,
    UploadAnswer,
    UploadCommitted,
    UploadOpened,
    UploadProgress,
    UploadRefused,
)
from unspool.errors import (
    FileMismatchError,
    ProtocolError,
    SequenceError,
    TakenOverError,
    TruncatedError,
    UnspoolError,
)

NAME = "dir/a.bin"
DATA = Random(5).randbytes(100)
INFO = FileInfo(NAME, len(DATA), "r1", crc32c=crc32c(DATA))


def good(start: int, stop: int, data: bytes = DATA) -> GoodSpan:
    """Return a span that the server has."""
    return GoodSpan(Span(start, stop), crc32c(data[start:stop]))


def opened(*spans: GoodSpan, block_size: int = 40) -> UploadOpened:
    """Return the answer to `open`."""
    return UploadOpened(spans, block_size)


def sender_in(state: State, size: int | None = len(DATA)) -> Sender:
    """Return a sender of DATA that was led to a state by an honest server."""
    sender = Sender(NAME, bytes(16), size)
    if state is State.IDLE:
        return sender
    sender.next_open(1)
    if state is State.OPENING:
        return sender
    sender.receive(opened())
    if state is State.SENDING:
        return sender
    send_all(sender)
    sender.commit(len(DATA), crc32c(DATA))
    if state is State.COMMITTED:
        sender.receive(UploadCommitted(INFO))
    return sender


def compared(sender: Sender, data: bytes = DATA) -> bool:
    """Compare what the server claims with a file."""
    return sender.compare([crc32c(data[one.span.start : one.span.stop]) for one in sender.claimed])


def send_all(sender: Sender, data: bytes = DATA) -> list[Span]:
    """Send what is missing; return the spans."""
    spans = []
    while (span := sender.next_span()) is not None and span.start < len(data):
        part = data[span.start : span.stop]
        spans.append(Span(span.start, span.start + len(part)))
        sender.sent(Block(span.start, part, crc32c(part)))
    return spans


def give(sender: Sender, event: Event) -> None:
    """Give the sender a valid event, which may come in the wrong state."""
    answers: dict[Event, UploadAnswer] = {
        Event.OPENED: opened(),
        Event.PROGRESS: UploadProgress(len(DATA), 0),
        Event.COMMITTED: UploadCommitted(INFO),
        Event.REFUSED: UploadRefused(TakenOverError("another")),
        Event.HEARTBEAT: None,
    }
    if event is Event.END:
        sender.end_of_stream()
    else:
        sender.receive(answers[event])


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_event_in_every_state_does_what_the_table_says(state: State, event: Event) -> None:
    """A transition that the table has is made; a cut is TruncatedError, anything else SequenceError."""
    sender = sender_in(state)
    follows = TABLE.get((state, event))
    if follows is None:
        with pytest.raises(TruncatedError if event is Event.END else SequenceError):
            give(sender, event)
        assert sender.state is State.IDLE
    elif event is Event.REFUSED:
        with pytest.raises(TakenOverError):
            give(sender, event)
        assert sender.state is State.IDLE
    else:
        give(sender, event)
        assert sender.state is follows
    assert sender.complete is (sender.state is State.COMMITTED)


def test_the_docstring_has_the_table() -> None:
    """The table in the module's docstring is the one that is used."""
    assert senders.__doc__ is not None
    lines = [line.strip() for line in senders.__doc__.splitlines()]
    rows = [re.split(r"\s{2,}", line) for line in lines if line.split(" ")[0] in State.__members__]
    told = {
        (State[row[0]], event): State[row[1 + at]]
        for row in rows
        for at, event in enumerate(Event)
        if row[1 + at] in State.__members__
    }
    assert told == TABLE


def test_the_open_says_what_is_known_of_the_file() -> None:
    """Name, id, size, the log's ids, and the checksum once it is known."""
    sender = Sender(NAME, b"i" * 16, 7, transfer_id="t")
    first = sender.next_open(3)
    assert (first.name, first.upload_id, first.size, first.transfer_id, first.attempt) == (NAME, b"i" * 16, 7, "t", 3)
    assert first.crc32c is None
    assert not first.discard
    sender.crc32c = 5
    assert sender.next_open(4).crc32c == 5


def test_a_fresh_upload_is_sent_in_blocks_of_the_size_that_the_server_takes() -> None:
    """No block is larger than the server or the caller allows, and their order is ascending without gap."""
    sender = sender_in(State.SENDING)
    assert sender.next_span(8) == Span(0, 8)
    assert send_all(sender) == [Span(0, 40), Span(40, 80), Span(80, 100)]
    assert sender.next_span() is None


@given(st.lists(st.integers(0, len(DATA)), max_size=8, unique=True), st.integers(1, 50))
def test_exactly_what_the_server_lacks_is_sent(edges: list[int], block_size: int) -> None:
    """Whatever spans the server has, the others are sent once, in ascending order."""
    edges.sort()
    spans = [good(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=False)]
    sender = sender_in(State.OPENING)
    sender.receive(opened(*spans, block_size=block_size))
    assert compared(sender)
    has = {at for one in spans for at in range(one.span.start, one.span.stop)}
    assert sender.received == len(has)
    sent = [at for span in send_all(sender) for at in range(span.start, span.stop)]
    assert sent == sorted(set(range(len(DATA))) - has)
    sender.commit(len(DATA), crc32c(DATA))


def test_spans_that_differ_are_discarded_before_a_byte_is_sent() -> None:
    """The next open discards exactly the spans that differ, and the stream at hand is of no use."""
    sender = sender_in(State.OPENING)
    other = bytes(100)
    sender.receive(opened(good(0, 20), good(30, 40, other), good(50, 60), good(70, 80, other)))
    assert not compared(sender)
    assert sender.state is State.IDLE
    assert sender.discarded == 20
    assert sender.next_open(2).discard == (Span(30, 40), Span(70, 80))
    sender.receive(opened(good(0, 20), good(50, 60)))
    assert compared(sender)
    assert not sender.next_open(3).discard


def test_what_lies_beyond_the_end_of_the_file_differs() -> None:
    """A span that reaches beyond the own file is not compared, and is discarded."""
    sender = sender_in(State.OPENING)
    sender.receive(opened(good(0, 20), GoodSpan(Span(90, 101), 0)))
    assert [one.span for one in sender.claimed] == [Span(0, 20)]
    assert not compared(sender)
    assert sender.next_open(2).discard == (Span(90, 101),)


def test_a_refusal_with_segments_says_which_to_send_again() -> None:
    """After FILE_MISMATCH only the segments that differ are discarded, and sent again."""
    sender = sender_in(State.COMMITTING)
    damaged = bytearray(DATA)
    damaged[45] ^= 1
    segments = tuple(good(start, start + 20, bytes(damaged)) for start in range(0, 100, 20))
    with pytest.raises(FileMismatchError):
        sender.receive(UploadRefused(FileMismatchError("differs"), segments))
    assert not compared(sender)
    again = sender.next_open(2)
    assert (again.discard, again.crc32c) == ((Span(40, 60),), crc32c(DATA))
    sender.receive(opened(good(0, 40), good(60, 100)))
    assert compared(sender)
    assert send_all(sender) == [Span(40, 60)]


def test_a_file_of_unknown_size_goes_on_where_its_good_bytes_from_the_start_end() -> None:
    """Without a size there is always a next span. Its first byte follows the good bytes at the file's start."""
    sender = sender_in(State.OPENING, size=None)
    sender.receive(opened(good(0, 30)))
    assert sender.next_span() == Span(30, 70)
    assert send_all(sender) == [Span(30, 70), Span(70, 100)]
    sender.commit(100, crc32c(DATA))
    assert sender.next_open(2).size == 100
    other = sender_in(State.OPENING, size=None)
    other.receive(opened(good(10, 30)))
    assert other.next_span() == Span(0, 40)


def test_an_empty_file_is_a_commit() -> None:
    """Of an empty file nothing is missing once it is open."""
    sender = sender_in(State.OPENING, size=0)
    sender.receive(opened())
    assert sender.next_span() is None
    assert sender.commit(0, 0).size == 0


def test_progress_never_falls() -> None:
    """Neither number falls within a stream."""
    for wrong in (UploadProgress(9, 5), UploadProgress(20, 4)):
        sender = sender_in(State.SENDING)
        sender.receive(UploadProgress(10, 5))
        with pytest.raises(ProtocolError):
            sender.receive(wrong)


def test_what_a_server_had_once_is_no_progress_the_second_time() -> None:
    """A server that loses what it has received, again and again, makes no progress with it."""
    sender = sender_in(State.SENDING)
    sender.receive(UploadProgress(60, 20))
    sender.next_open(2)
    sender.receive(opened(good(0, 20)))
    before = sender.progress
    for attempt in range(3, 6):
        sender.receive(UploadProgress(60, 20))
        sender.next_open(attempt)
        sender.receive(opened(good(0, 20)))
    assert (sender.received, sender.progress) == (20, before)


def test_what_outlives_a_server_is_progress() -> None:
    """Bytes that are sent again are progress if more of them are durable than before, or still there at the next opening."""
    sender = sender_in(State.SENDING)
    sender.receive(UploadProgress(80, 20))
    sender.next_open(2)
    sender.receive(opened(good(0, 20)))
    before = sender.progress
    sender.receive(UploadProgress(60, 40))
    assert sender.progress > before
    before = sender.progress
    sender.next_open(3)
    sender.receive(opened(good(0, 50)))
    assert sender.progress > before


@pytest.mark.parametrize(
    "wrong",
    [
        replace(INFO, name="dir/b.bin"),
        replace(INFO, revision=""),
        replace(INFO, size=99),
        replace(INFO, crc32c=1),
    ],
)
def test_a_commit_of_something_else_is_an_error(wrong: FileInfo) -> None:
    """What the server says it committed has the name, the size and the checksum of the file that was sent."""
    sender = sender_in(State.COMMITTING)
    with pytest.raises(ProtocolError):
        sender.receive(UploadCommitted(wrong))
    assert sender.info is None


def test_a_commit_in_answer_to_the_open_is_marked() -> None:
    """The caller learns that the server committed without a commit of this attempt."""
    sender = sender_in(State.OPENING)
    sender.receive(UploadCommitted(replace(INFO, crc32c=None)))
    assert sender.committed_early
    assert not sender.asked_to_commit
    assert not sender_in(State.COMMITTED).committed_early


def test_a_server_that_takes_no_blocks_is_refused() -> None:
    """A block size of 0 would never send a byte."""
    with pytest.raises(ProtocolError, match="takes none"):
        sender_in(State.OPENING).receive(opened(block_size=0))


def test_errors_say_where_the_sender_is() -> None:
    """An error has the name and the byte."""
    sender = sender_in(State.SENDING)
    sender.sent(Block(0, DATA[:40], 0))
    assert sender.whereabouts() == "dir/a.bin: at byte 40"
    with pytest.raises(UnspoolError) as caught:
        sender.end_of_stream()
    assert (caught.value.name, caught.value.offset) == (NAME, 40)
