"""Fetches many small files, or spans of files, over one stream, with retries.

Rule 1: every file is verified as in a read of its own: its revision and size against the listing, each block against its
        checksum, the whole file against the server's checksum. `whole_file` checks a file that arrives in one piece. If that
        check fails, or if the file arrives in several pieces, a Receiver verifies it. Nothing else lets bytes out.
Rule 2: an error in one file ends only that file. The file is requested again if the error is retryable, or another replica may
        have the file.
Rule 3: a file is complete only when its last piece has arrived. A retry requests only the missing bytes and counts against the
        transfer's budget. A verified block is progress.
Rule 4: an older server ignores the start of a batch entry and sends the file again from its first byte. After that happens,
        partial files are dropped between attempts and only a complete file is progress. Otherwise the same blocks, sent again
        and again, would count as progress for ever.

What is wanted, a file or a span, is the `Kind` of the batch; the rules are the same for both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from unspool.client.heartbeats import Heartbeats
from unspool.client.transfer import Attempt, Transfer
from unspool.core.checksum import combine
from unspool.core.counted import counted
from unspool.core.model import BatchRequest, Block, Bytes, Frame, Header, Pack, Piece, WantedFile, is_heartbeat, piece_of
from unspool.core.receiver import Receiver, is_whole, whole_file
from unspool.core.whole import check_whole
from unspool.errors import ProtocolError, SequenceError, TruncatedError, UnspoolError
from unspool.local.outcome import ReceivedFile, Wanted

W = TypeVar("W")
A = TypeVar("A")
W_contra = TypeVar("W_contra", contravariant=True)
A_co = TypeVar("A_co", covariant=True)


class BatchPart(Protocol[A_co]):
    """A file or span that is being received, in one stream or several."""

    @property
    def receiver(self) -> Receiver:
        """What verifies its blocks."""
        ...

    def add(self, block: Block) -> None:
        """Add a block that the receiver has verified."""
        ...

    def received(self) -> A_co:
        """Return what has arrived, once the receiver is complete. Raises an UnspoolError if it is wrong as a whole."""
        ...


class Kind(Protocol[W_contra, A_co]):
    """What a batch is made of: files or spans. The first type describes one that is wanted, the second one that has arrived."""

    @property
    def packs(self) -> bool:
        """Whether small files may come without their descriptions, which are known."""
        ...

    def request(self, one: W_contra, start: int | None) -> WantedFile:
        """Return what to ask for: all of it, or the bytes from `start` on."""
        ...

    def begin(self, one: W_contra, transfer_id: str) -> BatchPart[A_co]:
        """Begin to receive one."""
        ...

    def at_once(self, one: W_contra, frame: Frame) -> tuple[A_co, int] | None:
        """Return what has arrived, and its size, if this first frame holds all of it and passes every check; else None."""
        ...

    def packed(self, one: W_contra, wanted: WantedFile, data: Bytes, checksum: int) -> A_co | None:
        """Return what has arrived in a pack, if it passes every check of `at_once`; else None."""
        ...


@dataclass(slots=True)
class Finished(Generic[W, A]):
    """The files or spans that one message completed, and those that failed with an error that is not retryable."""

    arrived: list[A] = field(default_factory=list)
    failed: list[tuple[W, UnspoolError]] = field(default_factory=list)


async def fetch_batch(wanted: Sequence[W], transfer: Transfer, kind: Kind[W, A]) -> AsyncGenerator[Finished[W, A], None]:
    """Yield the files (or spans) that arrive or fail, message by message. At the end every one has done one or the other.

    Raises:
        UnspoolError: the stream broke, and the budget is spent.
        UnsupportedError: the server does not support batches. Read the files one by one.
    """
    left = list(wanted)
    parts: _Parts[A] = _Parts()
    async for attempt in transfer.attempts():
        batch = _Batch(left, transfer, parts, kind)
        with attempt:
            messages = transfer.transport.read_files(batch.request(attempt))
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
            attempt.again(batch.deciding_error(left))
    yield Finished(failed=[(one, batch.error_of(one)) for one in left])


def _size_of(message: Iterable[Piece]) -> int:
    """Return the number of file bytes in a message."""
    if isinstance(message, Pack):
        return len(message.data)
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


class Files:
    """Whole files, each as its listing says it is; see `Kind`."""

    packs = True

    def request(self, one: Wanted, start: int | None) -> WantedFile:
        """See `Kind.request`."""
        return WantedFile(one.info.name, one.info.revision, start or 0)

    def begin(self, one: Wanted, transfer_id: str) -> SmallFile:
        """See `Kind.begin`."""
        return SmallFile(one, transfer_id)

    def at_once(self, one: Wanted, frame: Frame) -> tuple[ReceivedFile, int] | None:
        """See `Kind.at_once`. Nearly every small file arrives in one frame."""
        whole = whole_file(one.info, frame)
        if whole is None:
            return None
        return ReceivedFile(one, [whole.block.data], whole.block.crc32c, confirmed=whole.confirmed), one.info.size

    def packed(self, one: Wanted, wanted: WantedFile, data: Bytes, checksum: int) -> ReceivedFile | None:
        """See `Kind.packed`."""
        return ReceivedFile(one, [data], checksum, confirmed=True) if is_whole(one.info, wanted, data, checksum) else None


FILES = Files()


def _is_heartbeat(message: Iterable[Piece] | None) -> bool:
    return message is not None and not any(piece.error or (piece.frame and not is_heartbeat(piece.frame)) for piece in message)


class _Parts(Generic[A]):
    """Files or spans of which earlier streams brought a part. The next stream requests the rest."""

    def __init__(self) -> None:
        self._parts: dict[int, BatchPart[A]] = {}  # by id() of what is wanted
        self.can_resume = True  # False once the server has ignored the start of a batch entry

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._parts)

    def start_of(self, wanted: object) -> int | None:
        """Return the first missing byte; None if nothing has arrived."""
        part = self._parts.get(id(wanted))
        return part.receiver.position if part is not None else None

    def keep(self, wanted: object, part: BatchPart[A]) -> None:
        """Keep the part that has arrived."""
        if self.can_resume and part.receiver.position:
            self._parts[id(wanted)] = part

    def take(self, wanted: object, header: Header | None) -> BatchPart[A] | None:
        """Remove and return the part that has arrived; None if there is none, or if the header starts at zero."""
        part = self._parts.pop(id(wanted), None)
        if part is not None and header is not None and header.start == 0:
            self.can_resume = False
            self._parts.clear()
            return None
        return part


class _Batch(Generic[W, A]):
    """The files (or spans) requested with one stream, and the state of each."""

    def __init__(self, wanted: list[W], transfer: Transfer, parts: _Parts[A], kind: Kind[W, A]) -> None:
        self._wanted = wanted
        self._kind = kind
        self._transfer = transfer
        self._parts = parts
        self._over = [False] * len(wanted)
        self._errors: dict[int, UnspoolError] = {}  # of the files to be requested again, by id() of what is wanted
        self.progressed = False
        self._at = -1
        self._part: BatchPart[A] | None = None  # of the file being received; None once it has ended
        self._given_up = False  # ignore the remaining pieces of this file
        self._finished: Finished[W, A] = Finished()
        self._bytes = 0  # verified since the last call of `collect`

    def request(self, attempt: Attempt) -> BatchRequest:
        return BatchRequest(
            files=tuple([self._kind.request(one, self._parts.start_of(one)) for one in self._wanted]),
            block_size=self._transfer.block_size,
            transfer_id=self._transfer.id,
            attempt=attempt.number,
            packs=self._kind.packs,
        )

    def about(self) -> str:
        name = self._name_of(self._wanted[min(max(self._at, 0), len(self._wanted) - 1)])
        return f"{name}: with {counted(len(self._wanted), 'file')}"

    def left(self) -> list[W]:
        """Return the files that have neither arrived nor failed for good."""
        return [one for one, over in zip(self._wanted, self._over, strict=True) if not over]

    def error_of(self, one: W) -> UnspoolError:
        """Return the error of a file that is left."""
        name = self._name_of(one)
        error = self._errors.get(id(one))
        return error or TruncatedError(f"{name}: the stream ended before it", name=name)

    def _name_of(self, one: W) -> str:
        return self._kind.request(one, None).name

    def deciding_error(self, left: Sequence[W]) -> UnspoolError:
        """Return the error of the files that are left by which another attempt is decided: one that is retryable, if any."""
        errors = [self.error_of(one) for one in left]
        return next((error for error in errors if error.retryable), errors[0])

    def collect(self) -> Finished[W, A] | None:
        """Count the bytes, and return the files that arrived or failed since the last call; None if there are none."""
        if self._bytes:  # once for each message: the transfer takes longer to count than a small file to check
            self._transfer.received(self._bytes)
            self._bytes = 0
        finished, self._finished = self._finished, Finished()
        return finished if finished.arrived or finished.failed else None

    def keep(self) -> None:
        """Keep the part of the file that was being received when the stream ended."""
        if self._part is not None:
            self._parts.keep(self._wanted[self._at], self._part)

    def take(self, pieces: Iterable[Piece]) -> None:
        """Process the pieces of a message.

        Raises:
            SequenceError, ProtocolError: the pieces are not in the order of the files.
        """
        if isinstance(pieces, Pack):
            self._take_pack(pieces)
            return
        for piece in pieces:
            if piece.error is None and (piece.frame is None or is_heartbeat(piece.frame)):
                continue  # an empty piece or a heartbeat: its index has no meaning
            begins = piece.index != self._at
            if begins:
                self._go_to(piece.index)
            elif self._given_up:
                continue
            elif self._part is None:
                raise SequenceError(f"{self._name_of(self._wanted[self._at])}: a piece arrived after the last one of this file")
            try:
                if piece.error is not None:
                    raise piece.error
                if piece.frame is not None:
                    self._receive(piece.frame, begins=begins)
            except UnspoolError as error:
                self._give_up(error)

    def _take_pack(self, pack: Pack) -> None:
        """Process a pack as its pieces, which are made only of files that do not pass every check as they are."""
        for index, wanted, data, checksum in pack.contents():
            arrived = None
            if self._at < index < len(self._wanted) and not self._parts:
                arrived = self._kind.packed(self._wanted[index], wanted, data, checksum)
            if arrived is None:
                self.take([piece_of(index, wanted, data, checksum)])
            else:
                self._go_to(index)
                self._arrive(arrived, len(data))

    def _go_to(self, index: int) -> None:
        self.keep()  # keeps a part if the server moved on before the file was complete
        if not self._at < index < len(self._wanted):
            kind = SequenceError if 0 <= index < len(self._wanted) else ProtocolError
            raise kind(f"a piece of file {index} of {len(self._wanted)} arrived out of order (while at {self._at})")
        self._at = index
        self._part = None
        self._given_up = False

    def _receive(self, frame: Frame, *, begins: bool) -> None:
        wanted = self._wanted[self._at]
        if begins:
            self._part = self._parts.take(wanted, frame.header)
            if self._part is None:
                whole = self._kind.at_once(wanted, frame)
                if whole is not None:
                    self._arrive(*whole)
                    return
                self._part = self._kind.begin(wanted, self._transfer.id)
            self._part.receiver.next_request(self._transfer.tally.attempts)
        part = self._part
        assert part is not None
        block = part.receiver.receive(frame)
        if block is not None:
            part.add(block)
            self._bytes += len(block.data)
            self.progressed = self.progressed or self._parts.can_resume
        if part.receiver.complete:
            self._arrive(part.received(), 0)
            self._part = None

    def _arrive(self, arrived: A, size: int) -> None:
        self._finished.arrived.append(arrived)
        self._bytes += size
        self.progressed = self._over[self._at] = True

    def _give_up(self, error: UnspoolError) -> None:
        wanted = self._wanted[self._at]
        if error.retryable or self._transfer.route.may_help(error):
            self.keep()
            self._errors[id(wanted)] = error
        else:
            self._over[self._at] = True
            self._finished.failed.append((wanted, error))
        self._part = None
        self._given_up = True
