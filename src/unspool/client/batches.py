"""Fetches many small files over one stream, with retries.

Rule 1: every file is verified as in a read of its own: its revision and size against the listing, each block against its
        checksum, the whole file against the server's checksum. `whole_file` checks a file that arrives in one piece. If that
        check fails, or if the file arrives in several pieces, a Receiver verifies it. Nothing else lets bytes out.
Rule 2: an error in one file ends only that file. The file is requested again if the error is retryable.
Rule 3: a file is complete only when its last piece has arrived. A retry requests only the missing bytes and counts against the
        transfer's budget. A verified block is progress.
Rule 4: an older server ignores the start of a batch entry and sends the file again from its first byte. After that happens,
        partial files are dropped between attempts and only a complete file is progress. Otherwise the same blocks, sent again
        and again, would count as progress for ever.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from unspool.client.heartbeats import Heartbeats
from unspool.client.transfer import Attempt, Transfer
from unspool.core.checksum import combine
from unspool.core.counted import counted
from unspool.core.model import BatchRequest, Block, Bytes, Frame, Header, Piece, WantedFile, is_heartbeat
from unspool.core.receiver import Receiver, whole_file
from unspool.core.whole import check_whole
from unspool.errors import ProtocolError, SequenceError, TruncatedError, UnspoolError
from unspool.local.outcome import ReceivedFile, Wanted


@dataclass(slots=True)
class Finished:
    """The files that one message completed, and those that failed with an error that is not retryable."""

    arrived: list[ReceivedFile] = field(default_factory=list)
    failed: list[tuple[Wanted, UnspoolError]] = field(default_factory=list)


async def fetch_batch(wanted: Sequence[Wanted], transfer: Transfer) -> AsyncGenerator[Finished, None]:
    """Yield the files that arrive or fail, message by message. At the end every file has done one or the other.

    Raises:
        UnspoolError: the stream broke, and the budget is spent.
        UnsupportedError: the server does not support batches. Read the files one by one.
    """
    left = list(wanted)
    parts = _Parts()
    async for attempt in transfer.attempts():
        batch = _Batch(left, transfer, parts)
        with attempt:
            messages = transfer.seams.transport.read_files(batch.request(attempt))
            async with aclosing(messages):
                heartbeats = Heartbeats(transfer, batch.about, _is_heartbeat)
                while (message := await heartbeats.next(anext(messages, None))) is not None:
                    batch.take(message)
                    await transfer.slow_down(_size_of(message))
                    if finished := batch.collect():
                        yield finished
        batch.keep()
        if finished := batch.collect():  # files completed by the message in which an error was found
            yield finished
        left = batch.left()
        if not left:
            return
        attempt.progressed = batch.progressed
        if attempt.error is None:
            attempt.again(batch.error_of(left[0]))
    yield Finished(failed=[(one, batch.error_of(one)) for one in left])


def _size_of(message: Iterable[Piece]) -> int:
    """Return the number of file bytes in a message."""
    frames = (piece.frame for piece in message)
    return sum(len(frame.block.data) for frame in frames if frame is not None and frame.block is not None)


class SmallFile:
    """A small file that is being received: its receiver, and the blocks verified so far.

    Args:
        wanted: the file. The receiver accepts only the listed revision and size.
        transfer_id: for the logs.
    """

    def __init__(self, wanted: Wanted, transfer_id: str) -> None:
        self.receiver = Receiver(wanted.info.name, pinned=wanted.info, transfer_id=transfer_id)
        self._wanted = wanted
        self._blocks: list[Bytes] = []
        self._checksum = 0

    def add(self, block: Block) -> None:
        """Add a block that the receiver has verified."""
        self._checksum = combine(self._checksum, block.crc32c, len(block.data)) if self._blocks else block.crc32c
        self._blocks.append(block.data)

    def received(self) -> ReceivedFile:
        """Return the whole file, once the receiver is complete. Raises FileMismatchError if its checksum is wrong."""
        assert self.receiver.summary is not None
        verified = check_whole(self._wanted.info.name, self._checksum, self.receiver.summary.crc32c)
        return ReceivedFile(self._wanted, self._blocks, self._checksum, confirmed=verified == "file")


def _is_heartbeat(message: Iterable[Piece] | None) -> bool:
    return message is not None and not any(piece.error or (piece.frame and not is_heartbeat(piece.frame)) for piece in message)


class _Parts:
    """Files of which earlier streams brought a part. The next stream requests the rest."""

    def __init__(self) -> None:
        self._files: dict[int, SmallFile] = {}  # by id() of the Wanted
        self.can_resume = True  # False once the server has ignored the start of a batch entry

    def start_of(self, wanted: Wanted) -> int:
        """Return the first missing byte."""
        small = self._files.get(id(wanted))
        return small.receiver.position if small is not None else 0

    def keep(self, wanted: Wanted, small: SmallFile) -> None:
        """Keep the part of a file that has arrived."""
        if self.can_resume and small.receiver.position:
            self._files[id(wanted)] = small

    def take(self, wanted: Wanted, header: Header | None) -> SmallFile | None:
        """Remove and return the part of a file that has arrived; None if there is none, or if the header starts at zero."""
        small = self._files.pop(id(wanted), None)
        if small is not None and header is not None and header.start == 0:
            self.can_resume = False
            self._files.clear()
            return None
        return small


class _Batch:
    """The files requested with one stream, and the state of each."""

    def __init__(self, wanted: list[Wanted], transfer: Transfer, parts: _Parts) -> None:
        self._wanted = wanted
        self._transfer = transfer
        self._parts = parts
        self._over = [False] * len(wanted)
        self._errors: dict[int, UnspoolError] = {}  # of the files to be requested again, by id() of the Wanted
        self.progressed = False
        self._at = -1
        self._small: SmallFile | None = None  # the file being received; None once it has ended
        self._given_up = False  # ignore the remaining pieces of this file
        self._finished = Finished()

    def request(self, attempt: Attempt) -> BatchRequest:
        return BatchRequest(
            files=tuple([WantedFile(one.info.name, one.info.revision, self._parts.start_of(one)) for one in self._wanted]),
            block_size=self._transfer.block_size,
            transfer_id=self._transfer.id,
            attempt=attempt.number,
        )

    def about(self) -> str:
        return (
            f"{self._wanted[min(max(self._at, 0), len(self._wanted) - 1)].info.name}: with {counted(len(self._wanted), 'file')}"
        )

    def left(self) -> list[Wanted]:
        """Return the files that have neither arrived nor failed for good."""
        return [one for one, over in zip(self._wanted, self._over, strict=True) if not over]

    def error_of(self, one: Wanted) -> UnspoolError:
        """Return the error of a file that is left."""
        name = one.info.name
        error = self._errors.get(id(one))
        return error or TruncatedError(f"{name}: the stream ended before it", name=name)

    def collect(self) -> Finished | None:
        """Return the files that arrived or failed since the last call; None if there are none."""
        finished, self._finished = self._finished, Finished()
        return finished if finished.arrived or finished.failed else None

    def keep(self) -> None:
        """Keep the part of the file that was being received when the stream ended."""
        if self._small is not None:
            self._parts.keep(self._wanted[self._at], self._small)

    def take(self, pieces: Iterable[Piece]) -> None:
        """Process the pieces of a message.

        Raises:
            SequenceError, ProtocolError: the pieces are not in the order of the files.
        """
        for piece in pieces:
            if piece.error is None and (piece.frame is None or is_heartbeat(piece.frame)):
                continue  # an empty piece or a heartbeat: its index has no meaning
            begins = piece.index != self._at
            if begins:
                self._go_to(piece.index)
            elif self._given_up:
                continue
            elif self._small is None:
                raise SequenceError(f"{self._wanted[self._at].info.name}: a piece arrived after the last one of this file")
            try:
                if piece.error is not None:
                    raise piece.error
                if piece.frame is not None:
                    self._receive(piece.frame, begins=begins)
            except UnspoolError as error:
                self._give_up(error)

    def _go_to(self, index: int) -> None:
        self.keep()  # keeps a part if the server moved on before the file was complete
        if not self._at < index < len(self._wanted):
            kind = SequenceError if 0 <= index < len(self._wanted) else ProtocolError
            raise kind(f"a piece of file {index} of {len(self._wanted)} arrived out of order (while at {self._at})")
        self._at = index
        self._small = None
        self._given_up = False

    def _receive(self, frame: Frame, *, begins: bool) -> None:
        wanted = self._wanted[self._at]
        if begins:
            self._small = self._parts.take(wanted, frame.header)
            if self._small is None:
                whole = whole_file(wanted.info, frame)  # nearly every small file arrives in one frame
                if whole is not None:
                    self._arrive(ReceivedFile(wanted, [whole.block.data], whole.block.crc32c, confirmed=whole.confirmed))
                    return
                self._small = SmallFile(wanted, self._transfer.id)
            self._small.receiver.next_request(self._transfer.tally.attempts)
        small = self._small
        assert small is not None
        block = small.receiver.receive(frame)
        if block is not None:
            small.add(block)
            self.progressed = self.progressed or self._parts.can_resume
        if small.receiver.complete:
            self._arrive(small.received())
            self._small = None

    def _arrive(self, arrived: ReceivedFile) -> None:
        self._finished.arrived.append(arrived)
        self._transfer.tally.bytes_received += arrived.wanted.info.size
        self.progressed = self._over[self._at] = True

    def _give_up(self, error: UnspoolError) -> None:
        wanted = self._wanted[self._at]
        if error.retryable:
            self.keep()
            self._errors[id(wanted)] = error
        else:
            self._over[self._at] = True
            self._finished.failed.append((wanted, error))
        self._small = None
        self._given_up = True
