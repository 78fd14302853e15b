"""Sends one upload as a state machine: answers of the server go in, and what to send next comes out.

A sender lasts for several attempts. Each attempt is one stream: `next_open` opens it, `receive` takes the answers, `next_span`
says which bytes to send, `commit` ends them, and `end_of_stream` takes the stream's end.

Rule 1: the server owns the offset. What is sent follows only from the spans that it says it has in answer to `open`.
Rule 2: a span that the server has is compared with the own file before a byte is sent. The server is told to discard those that
        differ, with another `open`. So an upload never has bytes of two versions of a file.
Rule 3: missing bytes are sent in ascending order, and committed only when none is missing.
Rule 4: an upload is complete only when the server says that it is committed, with the size and the checksum of the own file. A
        stream that ends before was cut.

    state       opened        progress      committed     refused       heartbeat     end
    IDLE        out of order  out of order  out of order  out of order  out of order  cut         (between attempts)
    OPENING     SENDING       out of order  COMMITTED     IDLE          OPENING       cut
    SENDING     out of order  SENDING       out of order  IDLE          SENDING       cut
    COMMITTING  out of order  COMMITTING    COMMITTED     IDLE          COMMITTING    cut
    COMMITTED   out of order  out of order  out of order  out of order  out of order  COMMITTED

A server may answer `open` with `committed`: a reply was lost, or the name has these bytes already. Whether the committed bytes
are those of the own file is then for the caller to find out (`committed_early`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from unspool.core.counted import counted
from unspool.core.model import NO_ATTRIBUTES, Attributes, Block, FileInfo, Span
from unspool.core.uploading import (
    ANYTHING,
    Condition,
    GoodSpan,
    UploadAnswer,
    UploadCommit,
    UploadCommitted,
    UploadOpen,
    UploadOpened,
    UploadProgress,
    UploadRefused,
)
from unspool.errors import ProtocolError, SequenceError, TruncatedError, UnspoolError


class State(Enum):
    """State of the sender within a stream."""

    IDLE = auto()
    OPENING = auto()
    SENDING = auto()
    COMMITTING = auto()
    COMMITTED = auto()


class Event(Enum):
    """What can arrive: an answer, a heartbeat, or the end of the stream."""

    OPENED = auto()
    PROGRESS = auto()
    COMMITTED = auto()
    REFUSED = auto()
    HEARTBEAT = auto()
    END = auto()


TABLE: dict[tuple[State, Event], State] = {
    (State.OPENING, Event.OPENED): State.SENDING,
    (State.OPENING, Event.COMMITTED): State.COMMITTED,
    (State.OPENING, Event.REFUSED): State.IDLE,
    (State.OPENING, Event.HEARTBEAT): State.OPENING,
    (State.SENDING, Event.PROGRESS): State.SENDING,
    (State.SENDING, Event.REFUSED): State.IDLE,
    (State.SENDING, Event.HEARTBEAT): State.SENDING,
    (State.COMMITTING, Event.PROGRESS): State.COMMITTING,
    (State.COMMITTING, Event.COMMITTED): State.COMMITTED,
    (State.COMMITTING, Event.REFUSED): State.IDLE,
    (State.COMMITTING, Event.HEARTBEAT): State.COMMITTING,
    (State.COMMITTED, Event.END): State.COMMITTED,
}
"""The allowed transitions. Any other END means that the stream was cut; any other event is out of order."""


class Sender:
    """Sends one file, in one or more attempts.

    Attributes:
        upload_id: names the upload at the server.
        size: of the file; None if it is known only at its end.
        crc32c: of the whole file, once it is known. The next `open` tells it.
        claimed: the spans that the server says it has, to be compared with the own file. Those that reach beyond the end of the
            file differ, and are not among them.
        received: bytes of the file that the server has, as far as it has said.
        durable: the part of them that would survive a power cut of the server.
        progress: a number that grows whenever the server has more bytes than ever before: received, durable, or still there at
            the opening of a stream. The last two count because a server that was killed may lack bytes that it had: of those
            that it is sent again, some are new to it. All three end at the size of the file, so this cannot grow for ever.
        info: what the server committed; None until then.
        asked_to_commit: whether `commit` was sent in any attempt.
        committed_early: whether the server committed in answer to `open`.

    Args:
        name: name that the file gets.
        upload_id: 16 bytes.
        size: of the file; None if it is not known.
        condition: what must be at the name.
        attributes: what the file gets.
        transfer_id: sent with each `open`, for the logs.
    """

    def __init__(
        self,
        name: str,
        upload_id: bytes,
        size: int | None,
        *,
        condition: Condition = ANYTHING,
        attributes: Attributes = NO_ATTRIBUTES,
        transfer_id: str = "",
    ) -> None:
        self.name = name
        self.upload_id = upload_id
        self.size = size
        self.state = State.IDLE
        self.crc32c: int | None = None
        self.claimed: tuple[GoodSpan, ...] = ()
        self.received = self.durable = 0
        self.info: FileInfo | None = None
        self.asked_to_commit = False
        self.committed_early = False
        self._condition = condition
        self._attributes = attributes
        self._transfer_id = transfer_id
        self._discard: tuple[Span, ...] = ()
        self._block_size = 0
        self._missing: list[Span] = []  # in descending order; without a size the first one has no known end
        self._position = 0
        self._most_received = self._most_durable = self._most_opened = 0

    @property
    def progress(self) -> int:
        """See the class."""
        return self._most_received + self._most_durable + self._most_opened

    @property
    def complete(self) -> bool:
        """Whether the server has committed the file."""
        return self.state is State.COMMITTED

    @property
    def discarded(self) -> int:
        """Number of bytes that the next `open` tells the server to discard."""
        return sum(span.length for span in self._discard)

    def whereabouts(self) -> str:
        """Return the file and the position, for a message."""
        return f"{self.name}: at byte {self._position}"

    # What to send

    def next_open(self, attempt: int) -> UploadOpen:
        """Start an attempt: return the message that opens its stream."""
        self.state = State.OPENING
        self._position = 0
        return UploadOpen(
            upload_id=self.upload_id,
            name=self.name,
            condition=self._condition,
            size=self.size,
            crc32c=self.crc32c,
            attributes=self._attributes,
            discard=self._discard,
            transfer_id=self._transfer_id,
            attempt=attempt,
        )

    def compare(self, ours: Sequence[int]) -> bool:
        """Compare the spans that the server claims with the own file; return whether all agree.

        If not, the stream is of no use: the next `open` discards the spans that differ.

        Args:
            ours: CRC32C of the own file in each span of `claimed`.
        """
        differing = [claim.span for claim, checksum in zip(self.claimed, ours, strict=True) if claim.crc32c != checksum]
        self._discard = tuple(sorted((*self._discard, *differing), key=lambda span: span.start))
        if self._discard:
            self.state = State.IDLE
        return not self._discard

    def next_span(self, most: int | None = None) -> Span | None:
        """Return the next bytes to send, at most as many as one block may have, or `most`; None if none is missing.

        If the size of the file is not known, there is always a next span, and the file's end may lie in it.
        """
        size = self._block_size if most is None else min(self._block_size, most)
        if self.size is None:
            return Span(self._position, self._position + size)
        if not self._missing:
            return None
        gap = self._missing[-1]
        return Span(gap.start, min(gap.start + size, gap.stop))

    def sent(self, block: Block) -> None:
        """Record that a block, which begins where `next_span` said, is sent."""
        self._position = block.end
        if self._missing:
            gap = self._missing.pop()
            if block.end < gap.stop:
                self._missing.append(Span(block.end, gap.stop))

    def commit(self, size: int, checksum: int) -> UploadCommit:
        """Return the message that ends the file: its size, and the CRC32C of the whole. No byte may be missing."""
        assert self.state is State.SENDING
        assert not self._missing
        self.state = State.COMMITTING
        self.size, self.crc32c, self.asked_to_commit = size, checksum, True
        return UploadCommit(size, checksum)

    # What arrives

    def receive(self, answer: UploadAnswer) -> None:
        """Process one answer.

        Raises:
            UnspoolError: the server refused the upload, and says why. With a FileMismatchError, `claimed` has the segments.
            SequenceError, ProtocolError: the answer comes at the wrong time, or makes no sense.
        """
        try:
            match answer:
                case UploadOpened():
                    self._step(Event.OPENED)
                    self._open(answer)
                case UploadProgress():
                    self._step(Event.PROGRESS)
                    self._advance(answer)
                case UploadCommitted(info):
                    early = self.state is State.OPENING
                    self._step(Event.COMMITTED)
                    self._check(info)
                    self.info, self.committed_early = info, early
                case UploadRefused(error, good):
                    self._step(Event.REFUSED)
                    self._claim(good)
                    raise error
                case _:
                    self._step(Event.HEARTBEAT)
        except UnspoolError:
            self.state = State.IDLE
            raise

    def end_of_stream(self) -> None:
        """Process the end of a stream that ended with status OK.

        Raises:
            TruncatedError: the file was not committed.
        """
        try:
            self._step(Event.END)
        except UnspoolError:
            self.state = State.IDLE
            raise

    def _step(self, event: Event) -> None:
        follows = TABLE.get((self.state, event))
        if follows is not None:
            self.state = follows
        elif event is Event.END:
            raise self._error(TruncatedError, "the stream ended before the server had committed the file")
        else:
            where = self.state.name.lower()
            raise self._error(SequenceError, f"the server's answer {event.name.lower()!r} came out of order (while {where})")

    def _open(self, opened: UploadOpened) -> None:
        if opened.block_size < 1:
            raise self._error(
                ProtocolError, f"the server takes blocks of {counted(opened.block_size, 'byte')}, so it takes none"
            )
        self._block_size = opened.block_size
        self._claim(opened.good)
        self._most_opened = max(self._most_opened, self.received)
        self._missing = list(self._gaps())[::-1]
        if self.size is None:
            self._position = self.claimed[0].span.stop if self.claimed and not self.claimed[0].span.start else 0

    def _claim(self, good: tuple[GoodSpan, ...]) -> None:
        """Record what the server has. What lies beyond the end of the file differs from it."""
        end = self.size
        beyond = tuple(one.span for one in good if end is not None and one.span.stop > end)
        self._discard = beyond
        self.claimed = tuple(one for one in good if end is None or one.span.stop <= end)
        self.received = sum(one.span.length for one in self.claimed)
        self.durable = 0
        self._most_received = max(self._most_received, self.received)

    def _gaps(self) -> list[Span]:
        """Return the spans that the server lacks."""
        gaps, position = [], 0
        for one in self.claimed if self.size is not None else ():
            if one.span.start > position:
                gaps.append(Span(position, one.span.start))
            position = one.span.stop
        if self.size is not None and position < self.size:
            gaps.append(Span(position, self.size))
        return gaps

    def _advance(self, progress: UploadProgress) -> None:
        if progress.received < self.received or progress.durable < self.durable:
            raise self._error(
                ProtocolError,
                f"the server had {self.received} bytes ({self.durable} durable), "
                f"and now says {progress.received} ({progress.durable} durable)",
            )
        self.received, self.durable = progress.received, progress.durable
        self._most_received = max(self._most_received, self.received)
        self._most_durable = max(self._most_durable, self.durable)

    def _check(self, info: FileInfo) -> None:
        if info.name != self.name:
            raise self._error(ProtocolError, f"the server says that it committed {info.name!r}")
        if not info.revision:
            raise self._error(ProtocolError, "the server says that it committed the file, and names no revision")
        if not self.asked_to_commit:
            return  # it is what an earlier run has committed, or another one
        if info.size != self.size or info.crc32c not in (None, self.crc32c):
            raise self._error(
                ProtocolError,
                f"the server says that it committed {counted(info.size, 'byte')} (crc32c {info.crc32c or 0:08x}); "
                f"it was sent {self.size} ({self.crc32c or 0:08x})",
            )

    def _error(self, kind: type[UnspoolError], message: str) -> UnspoolError:
        return kind(f"{self.name}: {message}", name=self.name, offset=self._position)
