"""A file that comes in one frame: what is said of it at once is what a receiver would say in small steps."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.served import Served
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Frame, Header, Summary, WantedFile, piece_of
from unspool.core.receiver import Receiver, is_whole, whole_file, whole_span
from unspool.errors import UnspoolError

FILE = Served(bytes(range(20)))
SIZE = len(FILE.data)
HONEST = Frame(FILE.header(), FILE.block(0, SIZE), FILE.summary())

near = st.sampled_from([0, 1, SIZE - 1, SIZE, SIZE + 1, -1])
checksums = st.sampled_from([None, FILE.crc32c, FILE.crc32c ^ 1, 0])
infos = st.none() | st.builds(
    FileInfo,
    name=st.sampled_from([FILE.name, FILE.name, "other"]),
    size=st.just(SIZE) | near,
    revision=st.sampled_from([FILE.revision, FILE.revision, "r2", ""]),
    crc32c=checksums,
)
data = st.sampled_from([FILE.data, FILE.data, FILE.data[:-1], FILE.data + b"x", b"", bytes(SIZE)])
headers = st.none() | st.just(FILE.header()) | st.builds(Header, infos, st.just(0) | near, st.just(SIZE) | near | st.none())
blocks = (
    st.none()
    | st.just(FILE.block(0, SIZE))
    | data.map(lambda run: Block(0, run, crc32c(run)))
    | st.builds(Block, st.just(0) | near, data, st.just(FILE.crc32c) | st.just(1))
)
summaries = st.none() | st.just(FILE.summary()) | st.builds(Summary, st.just(SIZE) | near, st.booleans(), checksums)
frames = st.builds(Frame, headers, blocks, summaries)
pins = st.sampled_from([FILE.info, replace(FILE.info, crc32c=FILE.crc32c), replace(FILE.info, crc32c=1)])


@settings(max_examples=10 * settings().max_examples)
@given(pins, frames)
def test_no_fast_path_gives_out_what_a_receiver_would_not(pinned: FileInfo, frame: Frame) -> None:
    """Whatever the frame: what is taken at once is what a receiver takes, whole, and confirmed by no other checksum."""
    whole = whole_file(pinned, frame)
    if whole is None:
        return
    receiver = Receiver(pinned.name, pinned=pinned)
    receiver.next_request(1)
    assert receiver.receive(frame) == whole.block
    assert receiver.complete
    assert receiver.summary is not None
    assert whole.block.data == FILE.data
    assert receiver.summary.crc32c == (FILE.crc32c if whole.confirmed else None)


@given(
    pins,
    st.sampled_from([FILE.name, FILE.name, "other"]),
    st.sampled_from([FILE.revision, FILE.revision, "r2"]),
    data,
    st.sampled_from([FILE.crc32c, FILE.crc32c, FILE.crc32c ^ 1, 0, 1]),
)
def test_a_file_of_a_pack_is_taken_as_its_piece_would_be(
    pinned: FileInfo, name: str, revision: str, run: bytes, checksum: int
) -> None:
    """Whatever a pack has: a file of it is taken without a piece if, and only if, the piece would be taken at once."""
    wanted = WantedFile(name, revision)
    frame = piece_of(0, wanted, run, checksum).frame
    assert frame is not None
    whole = whole_file(pinned, frame)
    assert is_whole(pinned, wanted, run, checksum) == (whole is not None)
    assert whole is None or whole.confirmed


def test_what_an_honest_server_sends_is_taken_at_once() -> None:
    """The fast path is one: an honest frame is taken, with the checksum told by any of three, or by none of them."""
    for pinned, frame, confirmed in (
        (FILE.info, HONEST, True),
        (FILE.info, replace(HONEST, summary=Summary(SIZE, at_end=True)), False),
        (replace(FILE.info, crc32c=FILE.crc32c), replace(HONEST, summary=Summary(SIZE, at_end=True)), True),
    ):
        whole = whole_file(pinned, frame)
        assert whole is not None
        assert (whole.block.data, whole.confirmed) == (FILE.data, confirmed)


def test_each_single_lie_is_left_to_a_receiver_and_refused_there() -> None:
    """One wrong value anywhere in an honest frame is enough to be no longer taken, and is an error."""
    header, block, summary = HONEST.header, HONEST.block, HONEST.summary
    assert header is not None
    assert block is not None
    assert summary is not None
    lies = [
        replace(HONEST, header=replace(header, start=1)),
        replace(HONEST, header=replace(header, length=SIZE - 1)),
        *(
            replace(HONEST, header=replace(header, info=replace(FILE.info, **lie)))
            for lie in ({"name": "other"}, {"size": SIZE + 1}, {"revision": "r2"}, {"crc32c": FILE.crc32c ^ 1})
        ),
        replace(HONEST, block=replace(block, offset=1)),
        replace(HONEST, block=replace(block, crc32c=block.crc32c ^ 1)),
        replace(HONEST, block=FILE.block(0, SIZE - 1)),
        replace(HONEST, summary=replace(summary, end=SIZE - 1)),
        replace(HONEST, summary=replace(summary, at_end=False)),
    ]
    for lie in lies:
        assert whole_file(FILE.info, lie) is None
        receiver = Receiver(FILE.name, pinned=FILE.info)
        receiver.next_request(1)
        try:
            receiver.receive(lie)
        except UnspoolError:
            continue
        raise AssertionError(f"a receiver took {lie}")


# Spans

START, LENGTH = 5, 9
SPAN = WantedFile(FILE.name, None, START, length=LENGTH)
spans = st.builds(
    WantedFile,
    st.just(FILE.name),
    st.sampled_from([None, FILE.revision, "r2"]),
    st.sampled_from([0, START, SIZE]),
    length=st.sampled_from([None, 0, LENGTH, SIZE, 1 << 40]),
)


def honest(wanted: WantedFile) -> Frame:
    """Return what an honest server sends for a span."""
    stop = SIZE if wanted.length is None else min(wanted.start + wanted.length, SIZE)
    run = FILE.data[wanted.start : stop]
    block = Block(wanted.start, run, crc32c(run)) if run else None
    return Frame(Header(FILE.info, wanted.start, stop - wanted.start), block, Summary(stop, stop == SIZE))


@st.composite
def nearly_honest(draw: st.DrawFn, wanted: WantedFile) -> Frame:
    """Draw an honest frame with up to two lies."""
    frame = honest(wanted)
    for _ in range(draw(st.integers(0, 2))):
        other = draw(frames)
        part = draw(st.sampled_from(["header", "info", "block", "summary", "start", "offset"]))
        header, block = frame.header, frame.block
        if part in ("header", "block", "summary"):
            frame = replace(frame, **{part: getattr(other, part)})
        elif part == "info" and header is not None:
            frame = replace(frame, header=replace(header, info=draw(infos)))
        elif part == "start" and header is not None:
            frame = replace(frame, header=replace(header, start=draw(near)))
        elif part == "offset" and block is not None:
            frame = replace(frame, block=replace(block, offset=draw(near)))
    return frame


@settings(max_examples=10 * settings().max_examples)
@given(spans, st.none() | pins, st.data())
def test_no_fast_path_gives_out_a_span_that_a_receiver_would_not(
    wanted: WantedFile, known: FileInfo | None, data: st.DataObject
) -> None:
    """Whatever the frame: a span that is taken at once is what a receiver takes, whole."""
    frame = data.draw(nearly_honest(wanted))
    block = whole_span(wanted, known, frame)
    if block is None:
        return
    stop = None if wanted.length is None else wanted.start + wanted.length
    receiver = Receiver(wanted.name, wanted.start, stop, pinned=known, revision=wanted.revision)
    receiver.next_request(1)
    assert receiver.receive(frame) == block
    assert receiver.complete
    assert block.data == FILE.data[wanted.start : stop]


def test_an_honest_span_is_taken_at_once_and_one_with_a_lie_is_not() -> None:
    """The fast path is one; one wrong value anywhere is left to a receiver. So is a span without bytes."""
    frame = honest(SPAN)
    for known in (None, FILE.info):
        for wanted in (SPAN, replace(SPAN, revision=FILE.revision), replace(SPAN, length=None), replace(SPAN, length=1 << 40)):
            block = whole_span(wanted, known, honest(wanted))
            assert block is not None
            assert block.data == FILE.data[START : None if wanted.length != LENGTH else START + LENGTH]
    assert whole_span(replace(SPAN, length=0), None, honest(replace(SPAN, length=0))) is None
    header, block, summary = frame.header, frame.block, frame.summary
    assert header is not None
    assert block is not None
    assert summary is not None
    lies = [
        replace(frame, header=replace(header, start=START + 1)),
        replace(frame, header=replace(header, length=LENGTH - 1)),
        *(
            replace(frame, header=replace(header, info=replace(FILE.info, **lie)))
            for lie in ({"name": "other"}, {"size": SIZE + 1}, {"revision": "r2"}, {"crc32c": 1}, {"sha256": bytes(32)})
        ),
        replace(frame, block=replace(block, offset=START - 1)),
        replace(frame, block=replace(block, crc32c=block.crc32c ^ 1)),
        replace(frame, summary=replace(summary, end=SIZE)),
        replace(frame, summary=replace(summary, at_end=True)),
        *(replace(frame, **{part: None}) for part in ("header", "block", "summary")),
    ]
    assert [whole_span(SPAN, FILE.info, lie) for lie in lies] == [None] * len(lies)
    assert whole_span(replace(SPAN, revision="r2"), None, frame) is None
    assert whole_span(SPAN, replace(FILE.info, crc32c=FILE.crc32c), frame) is None
