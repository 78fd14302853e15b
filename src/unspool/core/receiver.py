"""Receives one read as a state machine: frames go in, and verified blocks or errors come out.

A receiver lasts for several attempts. Each attempt is one stream: `next_request` opens it, `receive` takes its frames, and
`end_of_stream` takes its end. The position advances only over verified bytes.

Rule 1: a block is returned only if it begins where the last one ended, lies within the bytes that the header promised, and
        matches its CRC32C. No other code path returns bytes.
Rule 2: the first header pins the revision. Every later attempt asks for that revision, and a header with another one is
        refused.
Rule 3: the header must offer exactly the bytes asked for.
Rule 4: a read is complete only with a summary. A stream that ends without one was cut.
Rule 5: a revision has one checksum. If a header or summary gives one, a later header or summary must not give another.

    state      header        block         summary       heartbeat     end
    IDLE       out of order  out of order  out of order  out of order  cut           (between attempts)
    OPENING    RECEIVING     out of order  out of order  OPENING       cut
    RECEIVING  out of order  RECEIVING     COMPLETE      RECEIVING     cut
    COMPLETE   out of order  out of order  out of order  out of order  COMPLETE

After any error the receiver is IDLE, at the byte after the last verified one. PROTOCOL.md, section 3, lists the checks in their
order and the error for each; a test compares the two.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from unspool.core.checksum import crc32c
from unspool.core.counted import counted
from unspool.core.model import (
    LARGEST_FILE,
    Block,
    Bytes,
    FileInfo,
    Frame,
    Header,
    ReadRequest,
    Summary,
    WantedFile,
    is_heartbeat,
)
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
    """State of the receiver within a stream."""

    __hash__ = object.__hash__  # as each member exists once. An Enum's own is a function in Python, called for every block

    IDLE = auto()
    OPENING = auto()
    RECEIVING = auto()
    COMPLETE = auto()


class Event(Enum):
    """What can arrive: a part of a frame, a heartbeat, or the end of the stream."""

    __hash__ = object.__hash__  # as above

    HEADER = auto()
    BLOCK = auto()
    SUMMARY = auto()
    HEARTBEAT = auto()
    END = auto()


TABLE: dict[tuple[State, Event], State] = {
    (State.OPENING, Event.HEADER): State.RECEIVING,
    (State.OPENING, Event.HEARTBEAT): State.OPENING,
    (State.RECEIVING, Event.BLOCK): State.RECEIVING,
    (State.RECEIVING, Event.SUMMARY): State.COMPLETE,
    (State.RECEIVING, Event.HEARTBEAT): State.RECEIVING,
    (State.COMPLETE, Event.END): State.COMPLETE,
}
"""The allowed transitions. Any other END means that the stream was cut; any other event is out of order."""


class Receiver:
    """Receives one span of one file, in one or more attempts.

    Attributes:
        info: the file's description, from `pinned` or the latest header; None until one is known.
        position: the byte after the last verified one.
        summary: the read's summary, once complete. It has the whole file's checksum if any header or summary gave it.

    Args:
        name: name of the file.
        start: first byte wanted.
        stop: one past the last byte wanted; None for the end of the file.
        pinned: the file's description from an earlier read; requests ask for its revision. None accepts the first revision.
        revision: the revision to ask for, if it is known but the rest of the description is not.
        transfer_id: sent with each request, for the logs.
        sha256: whether to ask for the SHA-256 of the whole file. `info` has it then if the server can compute it.
        checksum: whether a read to the end of the file should bring the checksum of the whole, for which a server may have to
            read the rest of the file. Without it, the read takes what its own bytes take.
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
        sha256: bool = False,
        checksum: bool = True,
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
        self._sha256 = sha256
        self._checksum = checksum

    @property
    def stop(self) -> int | None:
        """One past the last byte that will be returned; None while unknown."""
        return self._stop if self._stop is not None else self._wanted_stop

    @property
    def complete(self) -> bool:
        """Whether every byte of the span was returned and the summary agreed."""
        return self.state is State.COMPLETE

    def whereabouts(self) -> str:
        """Return the file and the position, for a message."""
        return f"{self.name}: at byte {self.position}"

    def next_request(self, attempt: int, block_size: int | None = None) -> ReadRequest:
        """Start an attempt: return a request for the bytes that are still missing, in blocks of at most `block_size`."""
        self.state = State.OPENING
        stop = LARGEST_FILE if self._wanted_stop is None and not self._checksum else self._wanted_stop
        return ReadRequest(
            name=self.name,
            start=self.position,
            length=None if stop is None else stop - self.position,
            revision=self._revision,
            block_size=block_size,
            transfer_id=self._transfer_id,
            attempt=attempt,
            sha256=self._sha256,
        )

    def shorten(self, stop: int) -> None:
        """From the next attempt on, ask only for the bytes before `stop`. The running attempt must keep its promise."""
        self._wanted_stop = stop

    def receive(self, frame: Frame) -> Block | None:
        """Process one frame; return its block, verified, or None if it has none.

        If the frame has a summary, it is checked before the block is returned.

        Raises:
            FileChangedError: the header has a different revision from the pinned one.
            StartIgnoredError: the header offers other bytes than those asked for.
            StartPastEndError: the file ends before the first byte wanted, according to the header.
            SequenceError, TooMuchDataError, BlockCorruptError, TruncatedError, ProtocolError: as their docstrings say.
        """
        try:
            if frame.header is not None:
                self._step(Event.HEADER)
                self._open(frame.header)
            if frame.block is not None:
                self._step(Event.BLOCK)
                self._verify(frame.block)
            if frame.summary is not None:
                self._step(Event.SUMMARY)
                self._close(frame.summary, frame.block.end if frame.block is not None else self.position)
            if is_heartbeat(frame):
                self._step(Event.HEARTBEAT)
        except UnspoolError:
            self.state = State.IDLE
            raise
        if frame.block is not None:
            self.position = frame.block.end
        return frame.block

    def end_of_stream(self) -> None:
        """Process the end of a stream that ended with status OK.

        Raises:
            TruncatedError: the summary had not arrived.
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
            raise self._error(TruncatedError, f"the stream ended without its summary, at byte {self.position}")
        else:
            where = self.state.name.lower()
            raise self._error(SequenceError, f"a {event.name.lower()} arrived out of order (while {where})")

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
                ProtocolError, f"revision {info.revision} had {counted(self.info.size, 'byte')} before and has {info.size} now"
            )
        known, digest = (self.info.crc32c, self.info.sha256) if self.info is not None else (None, None)
        if any(None not in pair and pair[0] != pair[1] for pair in ((known, info.crc32c), (digest, info.sha256))):
            raise self._error(ProtocolError, f"two headers give different checksums for revision {info.revision}")
        self._check_start(header)
        if self.position > info.size:
            raise self._error(StartPastEndError, f"asked for the bytes from {self.position}, but the file ends at {info.size}")
        stop = info.size if self._wanted_stop is None else min(self._wanted_stop, info.size)
        if header.start + header.length != stop:
            raise self._error(
                StartIgnoredError,
                f"asked for the bytes {self.position} to {stop}, "
                f"but the server offers {counted(header.length, 'byte')} from {header.start}",
            )
        self._stop = stop
        self._revision = info.revision
        if known not in (None, info.crc32c) or digest not in (None, info.sha256):
            info = replace(info, crc32c=info.crc32c if known is None else known, sha256=digest or info.sha256)
        self.info = info

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
                f"the block of {counted(len(block.data), 'byte')} at byte {block.offset} does not match its checksum",
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
    """A file that came in one frame.

    Attributes:
        block: the block that holds the whole file.
        confirmed: whether the server also sent the CRC32C of the whole file.
    """

    block: Block
    confirmed: bool


def whole_file(pinned: FileInfo, frame: Frame) -> Whole | None:
    """Return the file in `frame` if the frame holds all of it and passes every check; else None.

    This is a fast path for many small files. It accepts only frames that a Receiver pinned to the file would also accept. None
    does not mean that the frame is bad, only that a Receiver has to check it.
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


def is_whole(pinned: FileInfo, wanted: WantedFile, data: Bytes, checksum: int) -> bool:
    """Whether a file of a pack passes every check: `whole_file` would return it, and it would be confirmed.

    Args:
        pinned: the file, as it was listed.
        wanted: what was asked for.
        data: the file's bytes.
        checksum: the server's CRC32C of them.
    """
    return (
        wanted.name == pinned.name
        and wanted.revision == pinned.revision
        and len(data) == pinned.size > 0
        and pinned.crc32c in (None, checksum)
        and crc32c(data) == checksum
    )


def whole_span(wanted: WantedFile, known: FileInfo | None, frame: Frame) -> Block | None:
    """Return the block in `frame` if the frame holds all of the span and passes every check; else None.

    This is a fast path for many short spans, as `whole_file` is for files. It accepts only frames that a Receiver would also
    accept.

    Args:
        wanted: the span.
        known: the description that an earlier read of the file had; it pins the revision.
        frame: the first frame that came.
    """
    header, block, summary = frame.header, frame.block, frame.summary
    if header is None or block is None or summary is None or header.info is None:
        return None
    info, start = header.info, wanted.start
    stop = info.size if wanted.length is None else min(start + wanted.length, info.size)
    size = stop - start
    if (
        info.name == wanted.name
        and info.revision
        and (known is None or (known.revision, known.size) == (info.revision, info.size))
        and wanted.revision in (None, info.revision)
        and (header.start, header.length, block.offset, len(block.data), summary.end) == (start, size, start, size, stop)
        and size
        and summary.at_end == (stop == info.size)
        and info.crc32c == summary.crc32c
        and (known is None or known.crc32c in (None, info.crc32c))
        and info.sha256 is None
        and crc32c(block.data) == block.crc32c
    ):
        return block
    return None
