"""A file that comes in one frame: what is said of it at once is what a receiver would say in small steps."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.served import Served
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Frame, Header, Summary
from unspool.core.receiver import Receiver, whole_file
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
