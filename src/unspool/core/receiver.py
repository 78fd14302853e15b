"""One read as a table of states: frames in, verified blocks out, or a named error.

A receiver outlives attempts. Each attempt is one stream: `next_request` opens it, `receive` takes its frames, `end_of_stream`
takes its end. Whatever an attempt does, the receiver only ever moves forward over bytes it has verified.

Rule 1: a block is given out only when it begins where the last one ended, lies within what the header promised, and agrees
        with its CRC32C. There is no other way for bytes to get out.
Rule 2: the first header pins the revision. Every later attempt asks for it, and a header with another one is refused even if
        the server offers it.
Rule 3: the header must offer exactly the bytes asked for.
Rule 4: the end is said, not inferred: without its summary a stream was cut.
Rule 5: what a revision's checksum is, is said once: whichever header or summary says it, no other may say otherwise.

    state      header        block         summary       heartbeat     end
    IDLE       out of order  out of order  out of order  out of order  cut           (between attempts)
    OPENING    RECEIVING     out of order  out of order  OPENING       cut
    RECEIVING  out of order  RECEIVING     COMPLETE      RECEIVING     cut
    COMPLETE   out of order  out of order  out of order  out of order  COMPLETE

Any error leaves the receiver IDLE, at the byte after the last verified one. What is checked in which order, and what a fault is
called, is told in PROTOCOL.md, section 3; the tests compare.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Frame, Header, ReadRequest, Summary, is_heartbeat
from unspool.core.value import value
from unspool.core.whole import agreement
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


class State(Enum):
    """Where in a stream the receiver is."""

    IDLE = auto()
    OPENING = auto()
    RECEIVING = auto()
    COMPLETE = auto()


class Piece(Enum):
    """What can arrive."""

    HEADER = auto()
    BLOCK = auto()
    SUMMARY = auto()
    HEARTBEAT = auto()
    END = auto()


TABLE: dict[tuple[State, Piece], State] = {
    (State.OPENING, Piece.HEADER): State.RECEIVING,
    (State.OPENING, Piece.HEARTBEAT): State.OPENING,
    (State.RECEIVING, Piece.BLOCK): State.RECEIVING,
    (State.RECEIVING, Piece.SUMMARY): State.COMPLETE,
    (State.RECEIVING, Piece.HEARTBEAT): State.RECEIVING,
    (State.COMPLETE, Piece.END): State.COMPLETE,
}
"""What may follow what. A pair that is not here is an error: a cut for an END, else something out of order."""


class Receiver:
    """Receives one span of one file, over as many attempts as it takes.

    Attributes:
        info: what the file is, as far as is known: from `pinned` or the headers.
        position: the byte after the last verified one.
        summary: of the read, once complete; with the whole file's checksum if any header or summary told it.

    Args:
        name: of the file.
        start: first byte wanted.
        stop: one past the last byte wanted; None for the end of the file.
        pinned: what the file is known to be, from earlier reads; its revision is asked for. None takes what comes first.
        revision: a revision to ask for where no more than that is known of the file.
        transfer_id: passed on for the logs.
    """

    def __init__(
        self,
        name: str,
        start: int = 0,
        stop: int | None = None,
        *,
        pinned: FileInfo | None = None,
        revision: str | None = None,
        transfer_id: str = "",
    ) -> None:
        self.name = name
        self.state = State.IDLE
        self.info = pinned
        self.position = start
        self.summary: Summary | None = None
        self._revision = pinned.revision if pinned else revision
        self._wanted_stop = stop
        self._stop: int | None = None  # what this attempt's header promised
        self._transfer_id = transfer_id

    @property
    def stop(self) -> int | None:
        """One past the last byte that will be given out; None while nobody knows."""
        return self._stop if self._stop is not None else self._wanted_stop

    @property
    def complete(self) -> bool:
        """Whether every byte of the span was given out and the summary agreed."""
        return self.state is State.COMPLETE

    def whereabouts(self) -> str:
        """Say where it is, for a message."""
        return f"{self.name}: at byte {self.position}"

    def next_request(self, attempt: int, block_size: int | None = None) -> ReadRequest:
        """Open an attempt: return the request for exactly the bytes that are still missing, in blocks of at most that size."""
        self.state = State.OPENING
        return ReadRequest(
            name=self.name,
            start=self.position,
            length=None if self._wanted_stop is None else self._wanted_stop - self.position,
            revision=self._revision,
            block_size=block_size,
            transfer_id=self._transfer_id,
            attempt=attempt,
        )

    def shorten(self, stop: int) -> None:
        """Want only the bytes before `stop`, from the next attempt on; the present one was promised more."""
        self._wanted_stop = stop

    def receive(self, frame: Frame) -> Block | None:
        """Take one frame; return its block, verified, or None if it has none.

        A frame's summary is checked before its block is given out.

        Raises:
            FileChangedError: the header is of another revision than the pinned one.
            StartIgnoredError: the header offers other bytes than the ones asked for.
            StartPastEndError: the header is of a file that ends before the first byte wanted.
            SequenceError, TooMuchDataError, BlockCorruptError, TruncatedError, ProtocolError: as their docstrings say.
        """
        try:
            if frame.header is not None:
                self._step(Piece.HEADER)
                self._open(frame.header)
            if frame.block is not None:
                self._step(Piece.BLOCK)
                self._verify(frame.block)
            if frame.summary is not None:
                self._step(Piece.SUMMARY)
                self._close(frame.summary, frame.block.end if frame.block is not None else self.position)
            if is_heartbeat(frame):
                self._step(Piece.HEARTBEAT)
        except UnspoolError:
            self.state = State.IDLE
            raise
        if frame.block is not None:
            self.position = frame.block.end
        return frame.block

    def end_of_stream(self) -> None:
        """Take the stream's end with status OK.

        Raises:
            TruncatedError: the summary had not arrived.
        """
        try:
            self._step(Piece.END)
        except UnspoolError:
            self.state = State.IDLE
            raise

    def _step(self, piece: Piece) -> None:
        follows = TABLE.get((self.state, piece))
        if follows is not None:
            self.state = follows
        elif piece is Piece.END:
            raise self._error(TruncatedError, f"the stream ended without its summary, at byte {self.position}")
        else:
            where = self.state.name.lower()
            raise self._error(SequenceError, f"a {piece.name.lower()} arrived out of order (while {where})")

    def _open(self, header: Header) -> None:
        info = header.info
        if info is None:
            if self._revision is not None:
                raise self._error(ProtocolError, "the header does not say which file and revision the bytes are of")
            self._check_start(header)
            self._stop = None  # nothing was promised
            return
        if info.name != self.name:
            raise self._error(ProtocolError, f"asked for {self.name!r}, but the server offers {info.name!r}")
        if not info.revision or info.size < 0 or header.length is None or header.length < 0:
            raise self._error(ProtocolError, "the header lacks a revision, or has a negative size or length")
        if self._revision is not None and info.revision != self._revision:
            raise self._error(
                FileChangedError,
                f"the file changed on the server: revision {self._revision} was asked for, {info.revision} is offered",
            )
        if self.info is not None and info.size != self.info.size:
            raise self._error(
                ProtocolError, f"revision {info.revision} had {self.info.size} bytes before and has {info.size} now"
            )
        known = self.info.crc32c if self.info is not None else None
        if known is not None and info.crc32c not in (None, known):
            raise self._error(ProtocolError, f"two headers give different checksums for revision {info.revision}")
        self._check_start(header)
        if self.position > info.size:
            raise self._error(StartPastEndError, f"asked for the bytes from {self.position}, but the file ends at {info.size}")
        stop = info.size if self._wanted_stop is None else min(self._wanted_stop, info.size)
        if header.start + header.length != stop:
            raise self._error(
                StartIgnoredError,
                f"asked for the bytes {self.position} to {stop}, "
                f"but the server offers {header.length} bytes from {header.start}",
            )
        self._stop = stop
        self._revision = info.revision
        self.info = info if known in (None, info.crc32c) else replace(info, crc32c=known)

    def _check_start(self, header: Header) -> None:
        if header.start != self.position:
            raise self._error(
                StartIgnoredError,
                f"asked for the bytes from {self.position}, but the server or a proxy offers them from {header.start}",
            )

    def _verify(self, block: Block) -> None:
        if block.offset != self.position:
            raise self._error(
                SequenceError, f"a block begins at byte {block.offset}, but the one before it ended at {self.position}"
            )
        if not block.data:
            raise self._error(ProtocolError, f"an empty block arrived at byte {block.offset}")
        if self.stop is not None and block.end > self.stop:
            raise self._error(
                TooMuchDataError, f"the bytes up to {self.stop} were promised, but a block reaches to {block.end}"
            )
        if crc32c(block.data) != block.crc32c:
            raise self._error(
                BlockCorruptError,
                f"the {len(block.data)} bytes at byte {block.offset} are not what their checksum says",
            )

    def _close(self, summary: Summary, end: int) -> None:
        if summary.end != end or (self._stop is not None and end < self._stop):
            promised = f", {self._stop} were promised" if self._stop is not None else ""
            raise self._error(
                TruncatedError,
                f"the summary says the stream ends at byte {summary.end}; bytes up to {end} arrived{promised}",
            )
        if self.info is None:
            if not summary.at_end and (self._wanted_stop is None or end < self._wanted_stop):
                raise self._error(TruncatedError, f"the stream ended at byte {end}, which is not the end of the file")
            self.summary = summary
            return
        if summary.at_end != (end == self.info.size):
            raise self._error(ProtocolError, f"the summary is wrong about byte {end} being the end of the file")
        known = self.info.crc32c
        if known is None:
            known = summary.crc32c
        elif summary.crc32c not in (None, known):
            raise self._error(ProtocolError, "header and summary give different checksums for the same revision")
        self.summary = summary if summary.crc32c == known else replace(summary, crc32c=known)

    def _error(self, kind: type[UnspoolError], message: str) -> UnspoolError:
        return kind(f"{self.name}: {message}", name=self.name, offset=self.position)


@value
class Whole:
    """A file that came in one frame: its one block, and whether the server said the CRC32C of the whole as well."""

    block: Block
    confirmed: bool


def whole_file(pinned: FileInfo, frame: Frame) -> Whole | None:
    """Return the whole of a file, if the frame is that and there is nothing whatever to object to; else None.

    For files of which there are very many: it finds out at once what a Receiver does in small steps, and never gives out
    what one that is pinned to the file would not. None means no more than that a Receiver has to be asked.
    """
    header, block, summary = frame.header, frame.block, frame.summary
    if header is None or block is None or summary is None or header.info is None:
        return None
    info, size, checksum = header.info, pinned.size, block.crc32c
    agrees = agreement(checksum, pinned.crc32c, info.crc32c, summary.crc32c)
    if (
        (info.name, info.revision, info.size) == (pinned.name, pinned.revision, size)
        and (header.start, header.length, block.offset, len(block.data), summary.end) == (0, size, 0, size, size)
        and size
        and summary.at_end
        and agrees is not False
        and crc32c(block.data) == checksum
    ):
        return Whole(block, confirmed=agrees is True)
    return None
