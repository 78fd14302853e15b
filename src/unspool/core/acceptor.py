"""Accepts the stream of one upload, as a state machine: messages go in, and decisions about them come out.

Rule 1: a block is written only if it matches its CRC32C, and begins where the next missing byte is. So the bytes of a file
        arrive in order, though what the server has already is left out.
Rule 2: a block that the server has already is compared with what it has, not believed.
Rule 3: an upload is complete only with a commit whose size and CRC32C agree with what was received.
Rule 4: what the client said when it opened the upload holds until its end.

    state      open          block         commit        heartbeat     end
    OPENING    ACCEPTING     out of order  out of order  OPENING       ENDED
    ACCEPTING  out of order  ACCEPTING     ENDED         ACCEPTING     ENDED
    ENDED      out of order  out of order  out of order  ENDED         ENDED

A stream that ends without a commit leaves the upload as it is: the client may go on with another stream. After any error the
acceptor is ENDED. PROTOCOL.md, section 14, lists the checks in their order and the error for each; a test compares the two.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Literal

from unspool.core.checksum import combine, crc32c
from unspool.core.counted import counted
from unspool.core.model import LARGEST_FILE, Block, Span
from unspool.core.segments import SegmentTable, segment_size_for
from unspool.core.uploading import GoodSpan, UploadCommit, UploadOpen
from unspool.errors import (
    BlockCorruptError,
    FileMismatchError,
    InvalidRangeError,
    InvalidRequestError,
    SequenceError,
    TooLargeError,
    UnspoolError,
)


class State(Enum):
    """State of the acceptor within a stream."""

    OPENING = auto()
    ACCEPTING = auto()
    ENDED = auto()


class Event(Enum):
    """What can arrive: a part of a message, a heartbeat, or the end of the stream."""

    OPEN = auto()
    BLOCK = auto()
    COMMIT = auto()
    HEARTBEAT = auto()
    END = auto()


TABLE: dict[tuple[State, Event], State] = {
    (State.OPENING, Event.OPEN): State.ACCEPTING,
    (State.OPENING, Event.HEARTBEAT): State.OPENING,
    (State.OPENING, Event.END): State.ENDED,
    (State.ACCEPTING, Event.BLOCK): State.ACCEPTING,
    (State.ACCEPTING, Event.COMMIT): State.ENDED,
    (State.ACCEPTING, Event.HEARTBEAT): State.ACCEPTING,
    (State.ACCEPTING, Event.END): State.ENDED,
    (State.ENDED, Event.HEARTBEAT): State.ENDED,
    (State.ENDED, Event.END): State.ENDED,
}
"""The allowed transitions. Any other event is out of order."""

Action = Literal["write", "compare"]
"""What is to be done with a block: write it, or compare it with what is there."""


class Acceptor:
    """Accepts one stream of an upload.

    Attributes:
        state: where the stream is.
        table: the bytes that were accepted, in this stream and before.

    Args:
        block_size: largest block that is taken, in bytes.
        most_bytes: largest file that is taken; None for no limit.
    """

    def __init__(self, *, block_size: int, most_bytes: int | None = None) -> None:
        self.state = State.OPENING
        self.table = SegmentTable(segment_size_for(None))
        self._name = ""
        self._size: int | None = None
        self._block_size = block_size
        self._most = LARGEST_FILE if most_bytes is None else most_bytes
        self._gap = Span(0, self._most)  # where the next block must begin, and where it must end at the latest

    def open(self, opens: UploadOpen) -> None:
        """Process the opening of the upload. Call `begin` next.

        Raises:
            SequenceError: the upload was opened already.
            InvalidRangeError: the spans to be discarded are not ascending.
            TooLargeError: the file is larger than what is taken.
        """
        self._name, self._size = opens.name, opens.size
        self._step(Event.OPEN)
        end = 0
        for span in opens.discard:
            if span.start < end:
                raise self._error(InvalidRangeError, f"the span to discard at byte {span.start} begins before byte {end}")
            end = span.stop
        if opens.size is not None and opens.size > self._most:
            raise self._error(
                TooLargeError, f"has {counted(opens.size, 'byte')}, and this server takes files of at most {self._most}"
            )

    def begin(self, table: SegmentTable) -> None:
        """Say which bytes of the upload there are. They may be beyond the size that was announced."""
        self.table = table
        self._seek()

    def accept(self, block: Block) -> Action:
        """Process a block, and return what is to be done with it.

        Raises:
            SequenceError: the block is not the next one; the error's offset is where that begins.
            InvalidRequestError: the block is empty or too long.
            InvalidRangeError: it lies beyond the size that was announced.
            TooLargeError: it lies beyond the largest file that is taken.
            BlockCorruptError: it does not match its checksum.
        """
        self._step(Event.BLOCK)
        size, start, end = len(block.data), block.offset, block.end
        if not 0 < size <= self._block_size:
            raise self._error(
                InvalidRequestError, f"a block of {counted(size, 'byte')}: a block has 1 to {self._block_size} bytes", start
            )
        if start < 0 or (self._size is not None and end > self._size):
            raise self._error(
                InvalidRangeError, f"a block from byte {start} to {end}: the file was announced to have {self._size}", start
            )
        if end > self._most:
            raise self._error(TooLargeError, f"reaches byte {end}, and this server takes files of at most {self._most}")
        if crc32c(block.data) != block.crc32c:
            raise self._error(
                BlockCorruptError, f"the block of {counted(size, 'byte')} at byte {start} does not match its checksum", start
            )
        if start == self._gap.start and end <= self._gap.stop:
            self.table.record(block)
            if end < self._gap.stop:
                self._gap = Span(end, self._gap.stop)
            else:
                self._seek()
            return "write"
        if self.table.covers(Span(start, end)):
            return "compare"
        raise self._error(
            SequenceError,
            f"a block from byte {start} to {end} arrived, and the next missing byte is {self._gap.start}",
            self._gap.start,
        )

    def commit(self, ends: UploadCommit) -> None:
        """Process the commit: check that what was received is the whole file.

        Raises:
            SequenceError: bytes are missing; the error's offset is the first of them.
            InvalidRangeError: the size is negative, or not the one that was announced.
            FileMismatchError: the bytes are not those that the client means.
        """
        self._step(Event.COMMIT)
        if ends.size < 0 or self._size not in (None, ends.size):
            raise self._error(
                InvalidRangeError, f"the upload ends with a size of {ends.size}: the file was announced to have {self._size}"
            )
        gap = self.table.first_gap(ends.size)
        if gap is not None:
            raise self._error(
                SequenceError,
                f"was committed, and the {counted(gap.length, 'byte')} at byte {gap.start} are missing",
                gap.start,
            )
        checksum = self.table.checksum(ends.size)
        if self.table.good_bytes != ends.size or checksum != ends.crc32c:
            raise self.mismatch()

    def end(self) -> None:
        """Process the end of the client's side of the stream."""
        self._step(Event.END)

    def heartbeat(self) -> None:
        """Process a message without parts."""
        self._step(Event.HEARTBEAT)

    def mismatch(self) -> FileMismatchError:
        """Return the error for bytes that are not those that the client has."""
        self.state = State.ENDED
        return FileMismatchError(
            f"{self._name}: what the server received of it is not what the client has: compare the checksums of its segments",
            name=self._name,
        )

    def _seek(self) -> None:
        """Find the first missing bytes."""
        limit = self._most if self._size is None else self._size
        known = max((self.table.span_of(number).stop for number in self.table.segments), default=0)
        self._gap = next(self.table.gaps(min(known, limit)), Span(known, max(known, limit)))

    def _step(self, event: Event) -> None:
        follows = TABLE.get((self.state, event))
        if follows is None:
            where = self.state.name.lower()
            raise self._error(SequenceError, f"a message to {event.name.lower()} arrived out of order (while {where})")
        self.state = follows

    def _error(self, kind: type[UnspoolError], message: str, offset: int | None = None) -> UnspoolError:
        self.state = State.ENDED
        return kind(f"{self._name}: {message}", name=self._name, offset=offset)


def good_spans(table: SegmentTable, *, merged: bool = True) -> tuple[GoodSpan, ...]:
    """Return the spans of a table with their checksums: adjacent ones merged, or one for each segment."""
    found: list[GoodSpan] = []
    for number, segment in sorted(table.segments.items()):
        span = table.span_of(number)
        last = found[-1] if found else None
        if merged and last is not None and last.span.stop == span.start:
            joined = combine(last.crc32c, segment.crc32c, segment.length)
            found[-1] = GoodSpan(Span(last.span.start, span.stop), joined)
        else:
            found.append(GoodSpan(span, segment.crc32c))
    return tuple(found)
