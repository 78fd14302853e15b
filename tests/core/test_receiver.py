"""The receiver: its table, and each of its rules with the error that names it."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.served import Served, damaged
from unspool.core import receiver as receivers
from unspool.core.model import HEARTBEAT, Block, Frame, Header, Summary
from unspool.core.receiver import TABLE, Event, Receiver, State
from unspool.errors import (
    BlockCorruptError,
    FileChangedError,
    ProtocolError,
    SequenceError,
    StartIgnoredError,
    StartPastEndError,
    TooMuchDataError,
    TruncatedError,
    UnspoolError,
)

FILE = Served()
SIZE = len(FILE.data)
OTHER = Served(data=bytes(reversed(range(100))), revision="r2")


def receiver_in(state: State, *, all_blocks: bool = False) -> Receiver:
    """Return a receiver of FILE that was led to a state by honest frames."""
    receiver = Receiver(FILE.name)
    if state is State.IDLE:
        return receiver
    receiver.next_request(1)
    if state is State.OPENING:
        return receiver
    receiver.receive(Frame(FILE.header()))
    receiver.receive(Frame(block=FILE.block(0, SIZE if all_blocks or state is State.COMPLETE else 40)))
    if state is State.COMPLETE:
        receiver.receive(Frame(summary=FILE.summary()))
    return receiver


def give(receiver: Receiver, event: Event) -> None:
    """Give the receiver a valid event, which may come in the wrong state."""
    at = receiver.position
    match event:
        case Event.HEADER:
            receiver.receive(Frame(FILE.header(at)))
        case Event.BLOCK:
            receiver.receive(Frame(block=FILE.block(at, at + 10)))
        case Event.SUMMARY:
            receiver.receive(Frame(summary=FILE.summary(at)))
        case Event.HEARTBEAT:
            receiver.receive(HEARTBEAT)
        case Event.END:
            receiver.end_of_stream()


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)), ids=lambda value: value.name)
def test_every_piece_in_every_state_does_what_the_table_says(state: State, event: Event) -> None:
    """A transition of the table is made; any other event is an error, after which the receiver is idle and has lost no byte."""
    receiver = receiver_in(state, all_blocks=event is Event.SUMMARY)
    before = receiver.position
    follows = TABLE.get((state, event))
    if follows is not None:
        give(receiver, event)
        assert receiver.state is follows
        assert receiver.position == before + (10 if event is Event.BLOCK else 0)
    else:
        with pytest.raises(UnspoolError) as caught:
            give(receiver, event)
        assert type(caught.value) is (TruncatedError if event is Event.END else SequenceError)
        assert receiver.state is State.IDLE
        assert receiver.position == before


def test_the_table_drawn_in_the_docstring_is_the_table() -> None:
    """The table in the module's docstring is what the machine does, cell by cell."""
    assert receivers.__doc__ is not None
    lines = receivers.__doc__.splitlines()
    first = next(number for number, line in enumerate(lines) if line.split()[:2] == ["state", "header"])
    columns = [Event[word.upper()] for word in lines[first].split()[1:]]
    assert columns == list(Event)
    drawn: dict[tuple[State, Event], str] = {}
    for line in lines[first + 1 : first + 1 + len(State)]:
        state, *cells = re.split(r"\s{2,}", line.strip())
        drawn |= {(State[state], event): cell for event, cell in zip(columns, cells, strict=False)}
    expected = {
        (state, event): TABLE[state, event].name
        if (state, event) in TABLE
        else ("cut" if event is Event.END else "out of order")
        for state, event in product(State, Event)
    }
    assert drawn == expected


def refused(kind: type[UnspoolError], receiver: Receiver, frame: Frame) -> UnspoolError:
    """Check that a frame is refused with exactly this error, about this file and byte, and that nothing else happens."""
    before = receiver.position
    with pytest.raises(UnspoolError) as caught:
        receiver.receive(frame)
    assert type(caught.value) is kind
    assert (caught.value.name, caught.value.offset) == (FILE.name, before)
    assert (receiver.state, receiver.position, receiver.summary) == (State.IDLE, before, None)
    assert not receiver.complete
    return caught.value


INFO = FILE.info

BAD_HEADERS = {
    "start ignored": (Header(INFO, 0, SIZE), StartIgnoredError),
    "another start": (Header(INFO, 41, SIZE - 41), StartIgnoredError),
    "too short": (Header(INFO, 40, SIZE - 41), StartIgnoredError),
    "too long": (Header(INFO, 40, SIZE - 39), StartIgnoredError),
    "another name": (Header(replace(INFO, name="models/b.bin"), 40, SIZE - 40), ProtocolError),
    "another revision": (OTHER.header(40), FileChangedError),
    "another size": (Header(replace(INFO, size=SIZE + 1), 40, SIZE - 39), ProtocolError),
    "no revision": (Header(replace(INFO, revision=""), 40, SIZE - 40), ProtocolError),
    "negative size": (Header(replace(INFO, size=-1), 40, 0), ProtocolError),
    "negative length": (Header(INFO, 40, -40), ProtocolError),
    "no length": (Header(INFO, 40, None), ProtocolError),
    "no description": (Header(None, 40, None), ProtocolError),
}


@pytest.mark.parametrize(("header", "kind"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_must_offer_exactly_what_was_asked_for(header: Header, kind: type[UnspoolError]) -> None:
    """A second attempt's header is taken only if it is of the same file, revision and size and offers exactly the rest."""
    receiver = receiver_in(State.RECEIVING)
    receiver.next_request(2)
    refused(kind, receiver, Frame(header))
    receiver.next_request(3)
    receiver.receive(Frame(FILE.header(40)))
    assert receiver.state is State.RECEIVING


def test_the_first_header_pins_the_revision() -> None:
    """The first request takes what comes; every later one asks for the revision that came."""
    receiver = Receiver(FILE.name)
    assert receiver.next_request(1).revision is None
    receiver.receive(Frame(FILE.header()))
    assert receiver.next_request(2).revision == "r1"
    assert receiver.info == FILE.info


def test_a_refused_header_pins_nothing() -> None:
    """A header that offers the wrong bytes does not decide which revision the file is to have."""
    receiver = Receiver(FILE.name)
    receiver.next_request(1)
    refused(StartIgnoredError, receiver, Frame(FILE.header(3)))
    assert receiver.next_request(2).revision is None
    assert receiver.info is None


def test_a_revision_alone_can_be_pinned() -> None:
    """A caller that pins only a revision gets that revision or an error."""
    receiver = Receiver(FILE.name, revision="r2")
    assert receiver.next_request(1).revision == "r2"
    refused(FileChangedError, receiver, Frame(FILE.header()))
    receiver.next_request(2)
    receiver.receive(Frame(OTHER.header()))
    assert receiver.info == OTHER.info


def test_a_request_asks_for_what_is_missing_and_passes_the_wishes_on() -> None:
    """Start and length shrink as bytes arrive; block size, transfer id and attempt are told as given."""
    receiver = Receiver(FILE.name, 10, 90, pinned=FILE.info, transfer_id="t")
    receiver.next_request(1)
    receiver.receive(Frame(FILE.header(10, 90), FILE.block(10, 30)))
    request = receiver.next_request(2, 7)
    assert (request.name, request.start, request.length) == (FILE.name, 30, 60)
    assert (request.revision, request.block_size, request.transfer_id, request.attempt) == ("r1", 7, "t", 2)


@given(st.integers(0, SIZE), st.integers(0, SIZE), st.integers(0, SIZE))
def test_a_span_made_shorter_ends_there_from_the_next_attempt_on(one: int, two: int, three: int) -> None:
    """After `shorten` the running attempt is checked as before; the next one requests only bytes before the new end."""
    start, middle, stop = sorted((one, two, three))
    receiver = Receiver(FILE.name, pinned=FILE.info)
    receiver.next_request(1)
    receiver.receive(Frame(FILE.header()))
    if start:
        receiver.receive(Frame(block=FILE.block(0, start)))
    receiver.shorten(stop)
    assert receiver.stop == SIZE
    if middle > start:
        receiver.receive(Frame(block=FILE.block(start, middle)))
    request = receiver.next_request(2)
    assert (request.start, request.length) == (middle, stop - middle)
    for frame in FILE.answer(request, 7):
        receiver.receive(frame)
    assert receiver.complete
    assert receiver.position == receiver.stop == stop


def test_it_says_where_it_is() -> None:
    """A description of a receiver has the file and the first missing byte."""
    assert receiver_in(State.RECEIVING).whereabouts() == "models/a.bin: at byte 40"


BAD_BLOCKS: dict[str, tuple[Block, type[UnspoolError]]] = {
    "empty": (FILE.block(40, 40), ProtocolError),
    "gap": (FILE.block(41, 50), SequenceError),
    "overlap": (FILE.block(39, 50), SequenceError),
    "duplicate": (FILE.block(0, 40), SequenceError),
    "negative": (replace(FILE.block(40, 50), offset=-1), SequenceError),
    "too much": (replace(FILE.block(40, SIZE), data=FILE.data[40:] + b"x"), TooMuchDataError),
    "corrupt data": (damaged(FILE.block(40, 50)), BlockCorruptError),
    "corrupt checksum": (replace(FILE.block(40, 50), crc32c=FILE.block(40, 50).crc32c ^ 1), BlockCorruptError),
    "checksum of nothing": (replace(FILE.block(40, 50), crc32c=0), BlockCorruptError),
}


@pytest.mark.parametrize(("block", "kind"), BAD_BLOCKS.values(), ids=BAD_BLOCKS)
def test_a_block_that_is_not_the_next_verified_bytes_is_not_given_out(block: Block, kind: type[UnspoolError]) -> None:
    """A block is accepted only if it begins where the last one ended, lies in the promised span and matches its CRC."""
    refused(kind, receiver_in(State.RECEIVING), Frame(block=block))


def test_swapped_blocks_are_refused_at_the_first_of_them() -> None:
    """Two blocks in the wrong order are an error."""
    receiver = receiver_in(State.RECEIVING)
    error = refused(SequenceError, receiver, Frame(block=FILE.block(60, 80)))
    assert error.retryable


def test_a_block_may_be_a_view_of_the_message() -> None:
    """A memoryview is verified like bytes, and returned without a copy."""
    receiver = receiver_in(State.RECEIVING)
    block = FILE.block(40, 60)
    view = replace(block, data=memoryview(b"..." + bytes(block.data))[3:])
    assert receiver.receive(Frame(block=view)) is view
    assert receiver.position == 60


BAD_SUMMARIES = {
    "ends before what arrived": (SIZE, Summary(SIZE - 1, at_end=False), TruncatedError),
    "ends beyond what arrived": (SIZE, Summary(SIZE + 1, at_end=True), TruncatedError),
    "bytes are missing": (40, FILE.summary(40), TruncatedError),
    "claims bytes that did not come": (40, FILE.summary(), TruncatedError),
    "does not know the end": (SIZE, replace(FILE.summary(), at_end=False), ProtocolError),
}


@pytest.mark.parametrize(("arrived", "summary", "kind"), BAD_SUMMARIES.values(), ids=BAD_SUMMARIES)
def test_a_summary_must_agree_with_what_arrived(arrived: int, summary: Summary, kind: type[UnspoolError]) -> None:
    """A read is complete only when its summary names the very byte up to which bytes arrived and were promised."""
    receiver = receiver_in(State.OPENING)
    receiver.receive(Frame(FILE.header(), FILE.block(0, arrived)))
    refused(kind, receiver, Frame(summary=summary))


def test_a_summary_must_not_take_the_middle_for_the_end() -> None:
    """A span that stops before the end of the file is not the end of the file, whatever the summary says."""
    receiver = Receiver(FILE.name, 0, 40)
    receiver.next_request(1)
    receiver.receive(Frame(FILE.header(0, 40), FILE.block(0, 40)))
    refused(ProtocolError, receiver, Frame(summary=Summary(40, at_end=True)))


def test_the_last_block_waits_for_a_summary_in_the_same_frame() -> None:
    """A block whose own frame ends the read wrongly is not given out: it is asked for again."""
    receiver = receiver_in(State.RECEIVING)
    refused(TruncatedError, receiver, Frame(None, FILE.block(40, 50), FILE.summary(60)))
    assert receiver.next_request(2).start == 40


def test_a_small_file_is_one_frame() -> None:
    """Header, block and summary may come together."""
    receiver = Receiver(FILE.name)
    receiver.next_request(1)
    block = FILE.block(0, SIZE)
    assert receiver.receive(Frame(FILE.header(), block, FILE.summary())) == block
    assert receiver.complete
    receiver.end_of_stream()
    assert receiver.complete


@pytest.mark.parametrize("stop", [None, 0, 5])
def test_an_empty_file_is_a_file(stop: int | None) -> None:
    """A file without bytes is received with header and summary alone."""
    empty = Served(b"")
    receiver = Receiver(empty.name, 0, stop)
    receiver.next_request(1)
    receiver.receive(Frame(empty.header(), summary=empty.summary()))
    assert receiver.complete
    assert receiver.position == 0


@pytest.mark.parametrize("stop", [None, SIZE, SIZE + 50])
def test_an_empty_rest_is_complete_with_header_and_summary(stop: int | None) -> None:
    """A start at the very end is fine: no block comes, and the summary says the checksum of the whole."""
    receiver = Receiver(FILE.name, SIZE, stop)
    receiver.next_request(1)
    receiver.receive(Frame(FILE.header(SIZE), summary=FILE.summary()))
    assert receiver.complete
    assert receiver.summary == FILE.summary()


def test_a_start_past_the_end_is_an_error_even_if_the_server_does_not_say_so() -> None:
    """Nothing at a byte the file does not have is not the same as the end of the file."""
    receiver = Receiver(FILE.name, SIZE + 1)
    receiver.next_request(1)
    refused(StartPastEndError, receiver, Frame(Header(INFO, SIZE + 1, 0), summary=Summary(SIZE + 1, at_end=False)))


# Checksums of the whole


def complete_with(header: int | None, summary: int | None) -> Receiver:
    """Receive FILE with these checksums of the whole in header and summary."""
    receiver = Receiver(FILE.name)
    receiver.next_request(1)
    opening = replace(FILE.header(), info=replace(INFO, crc32c=header))
    receiver.receive(Frame(opening, FILE.block(0, SIZE), replace(FILE.summary(), crc32c=summary)))
    return receiver


@pytest.mark.parametrize(
    ("header", "summary", "known"), [(None, None, None), (7, None, 7), (None, 7, 7), (7, 7, 7), (0, None, 0), (None, 0, 0)]
)
def test_the_summary_tells_the_checksum_whoever_told_it(header: int | None, summary: int | None, known: int | None) -> None:
    """The checksum of the whole counts, whether the header told it or the summary: it must not go unused."""
    receiver = complete_with(header, summary)
    assert receiver.summary is not None
    assert receiver.summary.crc32c == known


@pytest.mark.parametrize(("header", "summary"), [(7, 8), (0, 8), (8, 0)])
def test_header_and_summary_must_not_contradict_each_other(header: int, summary: int) -> None:
    """Two checksums for one revision cannot both be right."""
    with pytest.raises(ProtocolError):
        complete_with(header, summary)


def test_a_checksum_told_once_is_remembered_over_attempts() -> None:
    """A later header without a checksum does not make an earlier one forgotten; a later one must be the same."""
    receiver = Receiver(FILE.name)
    receiver.next_request(1)
    receiver.receive(Frame(replace(FILE.header(), info=replace(INFO, crc32c=7)), FILE.block(0, 40)))
    receiver.next_request(2)
    receiver.receive(Frame(FILE.header(40)))
    assert receiver.info == replace(INFO, crc32c=7)
    receiver.next_request(3)
    refused(ProtocolError, receiver, Frame(replace(FILE.header(40), info=replace(INFO, crc32c=8))))
    receiver.next_request(4)
    receiver.receive(Frame(FILE.header(40), FILE.block(40, SIZE)))
    refused(ProtocolError, receiver, Frame(summary=replace(FILE.summary(), crc32c=9)))


def test_the_sha256_is_asked_for_and_remembered_over_attempts() -> None:
    """Every attempt asks for the SHA-256; a header without it does not make it forgotten, and another one is refused."""
    one, other = bytes(32), bytes([1] * 32)
    receiver = Receiver(FILE.name, sha256=True)
    assert receiver.next_request(1).sha256
    receiver.receive(Frame(replace(FILE.header(), info=replace(INFO, sha256=one)), FILE.block(0, 40)))
    assert receiver.next_request(2).sha256
    receiver.receive(Frame(replace(FILE.header(40), info=replace(INFO, crc32c=7))))
    assert receiver.info == replace(INFO, crc32c=7, sha256=one)
    receiver.next_request(3)
    refused(ProtocolError, receiver, Frame(replace(FILE.header(40), info=replace(INFO, sha256=other))))
    assert not Receiver(FILE.name).next_request(1).sha256


# Dialects that say nothing about the file


def anonymous(stop: int | None = None) -> Receiver:
    """Return a receiver whose stream was opened by a header without a description."""
    receiver = Receiver(FILE.name, 0, stop)
    receiver.next_request(1)
    receiver.receive(Frame(Header(None, 0, None)))
    return receiver


def test_without_a_description_blocks_are_still_in_order_and_summed() -> None:
    """A dialect without file descriptions can be received; nothing is pinned, and the end is where the summary says."""
    receiver = anonymous()
    assert receiver.receive(Frame(block=FILE.block(0, 40))) == FILE.block(0, 40)
    assert receiver.next_request(2).revision is None
    receiver.receive(Frame(Header(None, 40, None), FILE.block(40, 50), Summary(50, at_end=True)))
    assert receiver.complete
    assert receiver.info is None
    assert receiver.summary == Summary(50, at_end=True)


@pytest.mark.parametrize(("block", "kind"), [BAD_BLOCKS[name] for name in ("gap", "corrupt data", "empty")])
def test_without_a_description_bad_blocks_are_refused_all_the_same(block: Block, kind: type[UnspoolError]) -> None:
    """Order and checksum hold for every dialect."""
    receiver = anonymous()
    receiver.receive(Frame(block=FILE.block(0, 40)))
    refused(kind, receiver, Frame(block=block))


def test_without_a_description_no_more_than_was_asked_for_is_given_out() -> None:
    """A server that ignores the length cannot make a span longer than the caller wanted."""
    receiver = anonymous(stop=40)
    refused(TooMuchDataError, receiver, Frame(block=FILE.block(0, 41)))


@pytest.mark.parametrize(("stop", "end"), [(None, 40), (50, 40), (50, 0)])
def test_without_a_description_the_middle_is_not_complete(stop: int | None, end: int) -> None:
    """A stream that stops short of what was wanted, and does not claim that the file ends there, was cut."""
    receiver = anonymous(stop)
    if end:
        receiver.receive(Frame(block=FILE.block(0, end)))
    refused(TruncatedError, receiver, Frame(summary=Summary(end, at_end=False)))


@pytest.mark.parametrize("at_end", [True, False])
def test_without_a_description_a_span_may_end_anywhere_it_was_asked_to(at_end: bool) -> None:  # noqa: FBT001
    """A span that arrived whole is complete, wherever the file ends."""
    receiver = anonymous(stop=40)
    receiver.receive(Frame(None, FILE.block(0, 40), Summary(40, at_end=at_end)))
    assert receiver.complete


def test_a_summary_must_agree_without_a_description_too() -> None:
    """Where nothing was promised, the summary still has to name the byte up to which bytes arrived."""
    refused(TruncatedError, anonymous(), Frame(summary=Summary(1, at_end=True)))
