"""The receiver against an adversary: whatever frames come, what gets out is the file's bytes, in order, from the start."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.served import Served, damaged
from unspool.core.model import HEARTBEAT, Block, Frame, Header, Summary
from unspool.core.receiver import Receiver, State
from unspool.errors import UnspoolError

pytestmark = pytest.mark.timeout(600)  # its deep form, two thousand runs of fifty steps, takes minutes

NAME = "models/a.bin"

small = st.integers(0, 60)
contents = st.binary(min_size=0, max_size=50)


class Adversary(RuleBasedStateMachine):
    """A server that tells lies in every place, but cannot make a checksum agree with bytes that its file does not have.

    The file has two revisions, one of which stops being served at any time. A stream that was opened at a revision sends blocks
    of that one: what a server sends under a header it does not mean is found out by the checksum of the whole, not here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.given_out = bytearray()
        self.attempt = 0
        self.pinned: Served | None = None

    @initialize(first=contents, second=contents, start=st.integers(0, 20), length=st.none() | small)
    def begin(self, first: bytes, second: bytes, start: int, length: int | None) -> None:
        """Ask for a span."""
        self.revisions = [Served(first, "r1", NAME), Served(second, "r2", NAME)]
        self.stream = self.revisions[0]
        self.start = start
        self.wanted_stop = None if length is None else start + length
        self.receiver = Receiver(NAME, start, self.wanted_stop)

    @precondition(lambda self: not self.receiver.complete)
    @rule(revision=st.sampled_from([0, 0, 0, 1]))
    def open_attempt(self, revision: int) -> None:
        """The next request asks for exactly what is missing, at the revision of what is here."""
        self.attempt += 1
        request = self.receiver.next_request(self.attempt)
        assert request.start == self.start + len(self.given_out)
        assert request.length == (None if self.wanted_stop is None else self.wanted_stop - request.start)
        assert request.revision == (self.pinned.revision if self.pinned else None)
        assert request.attempt == self.attempt
        self.stream = self.revisions[revision]

    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        """Any frame comes: right, wrong in one place or two, with or without its parts."""
        header = data.draw(st.none() | self.headers(), "header")
        block = data.draw(st.none() | self.blocks(), "block")
        summary = data.draw(st.none() | self.summaries(block), "summary")
        self.take(Frame(header, block, summary))

    @rule()
    def send_header(self) -> None:
        """What an honest server opens with comes."""
        self.take(Frame(self.right_header()))

    @rule(length=st.integers(1, 20))
    def send_block(self, length: int) -> None:
        """The next bytes come, as many as there are up to a length."""
        block = self.right_block(length)
        self.take(Frame(block=block) if block.data else HEARTBEAT)

    @rule()
    def send_summary(self) -> None:
        """What an honest server closes with comes, perhaps too early."""
        self.take(Frame(summary=self.stream.summary(min(self.receiver.position, len(self.stream.data)))))

    @rule()
    def end(self) -> None:
        """The stream ends."""
        complete = self.receiver.complete
        try:
            self.receiver.end_of_stream()
        except UnspoolError:
            assert not complete
            assert self.receiver.state is State.IDLE

    @precondition(lambda self: self.start <= min(len(served.data) for served in self.revisions))
    @rule(block_size=st.integers(1, 20))
    def serve_honestly(self, block_size: int) -> None:
        """Whatever came before, one honest answer is enough to have it all."""
        served = self.pinned or self.revisions[0]
        self.stream = served
        self.attempt += 1
        for frame in served.answer(self.receiver.next_request(self.attempt), block_size):
            self.take(frame)
            assert self.receiver.state is not State.IDLE
        self.receiver.end_of_stream()
        assert self.receiver.complete

    @invariant()
    def what_is_out_is_the_file(self) -> None:
        """What was given out is the revision's bytes from the start on, and the position is where they end."""
        served = self.pinned or self.stream
        assert self.receiver.position == self.start + len(self.given_out)
        assert bytes(self.given_out) == served.data[self.start : self.receiver.position]

    @invariant()
    def complete_is_complete(self) -> None:
        """The receiver is complete only when every byte of the span is out and the summary said so."""
        if self.receiver.complete:
            assert self.pinned is not None
            assert bytes(self.given_out) == self.pinned.data[self.start : self.wanted_stop]
            assert self.receiver.summary is not None
            assert self.receiver.summary.end == self.receiver.position
            assert self.receiver.summary.at_end == (self.receiver.position == len(self.pinned.data))
            assert self.receiver.summary.crc32c in (None, self.pinned.crc32c)

    def take(self, frame: Frame) -> None:
        """Give the receiver a frame, and note what comes out."""
        before = self.receiver.position
        try:
            block = self.receiver.receive(frame)
        except UnspoolError:
            assert self.receiver.state is State.IDLE
            assert self.receiver.position == before
        else:
            assert block is frame.block
            if block is not None:
                self.given_out += block.data
        if self.receiver.info is not None and self.pinned is None:
            assert frame.header is not None
            assert self.receiver.info.revision == self.stream.revision
            self.pinned = self.stream

    def right_header(self) -> Header:
        """Return what the stream's revision answers to the last request."""
        size = len(self.stream.data)
        stop = size if self.wanted_stop is None else min(self.wanted_stop, size)
        return Header(self.stream.info, self.receiver.position, max(stop - self.receiver.position, 0))

    def right_block(self, length: int) -> Block:
        """Return the next bytes, of the stream's revision."""
        at = self.receiver.position
        return self.stream.block(at, min(at + length, len(self.stream.data)))

    def headers(self) -> st.SearchStrategy[Header]:
        """Headers of the stream's revision: right, or wrong in one place."""
        right = self.right_header()
        info = self.stream.info
        wrong_infos = st.sampled_from(
            [
                replace(info, name="models/b.bin"),
                replace(info, size=info.size + 1),
                replace(info, size=-1),
                replace(info, revision=""),
                replace(info, revision="r3"),
                replace(info, crc32c=self.stream.crc32c ^ 1),
            ]
        )
        # A wrong description that is the first to arrive cannot be known to be wrong: there is nothing to compare it with.
        return st.one_of(
            st.just(right),
            st.just(replace(right, info=replace(info, crc32c=self.stream.crc32c))),
            small.map(lambda start: replace(right, start=start)),
            small.map(lambda length: replace(right, length=length - 1)),
            wrong_infos.map(lambda wrong: replace(right, info=wrong))
            if self.pinned and self.stream is self.pinned
            else st.nothing(),
        )

    def blocks(self) -> st.SearchStrategy[Block]:
        """Blocks of the stream's revision: the next, any other, or damaged ones."""
        true = st.tuples(small, small).map(lambda ends: self.stream.block(min(ends), min(max(ends), len(self.stream.data))))
        following = st.integers(1, 30).map(self.right_block)
        return st.one_of(
            following,
            true,
            following.filter(lambda block: len(block.data) > 0).map(damaged),
            st.tuples(following, small).map(lambda pair: replace(pair[0], crc32c=pair[0].crc32c ^ (1 + pair[1]))),
        )

    def summaries(self, block: Block | None) -> st.SearchStrategy[Summary]:
        """Summaries: right for what will have arrived, or wrong in some place."""
        end = block.end if block is not None else self.receiver.position
        right = Summary(end, at_end=end == len(self.stream.data), crc32c=self.stream.crc32c)
        return st.one_of(
            st.just(right),
            st.just(replace(right, crc32c=None)),
            small.map(lambda other: replace(right, end=other)),
            st.just(replace(right, at_end=not right.at_end)),
        )


TestAdversary = Adversary.TestCase
