"""Many small files with one stream, as many attempts as it takes.

Rule 1: every file is verified as if it were alone: at the revision and of the size listed, every block against its checksum,
        the whole against the server's. A file that comes in one piece is looked at once, and if there is anything to object
        to, or it comes in several, a receiver of its own decides. There is no other way for a file to get out.
Rule 2: what goes wrong with one file ends that file, and no other; it is asked for again if that may help.
Rule 3: a file whose last piece has not arrived when the stream ends has not arrived. What is asked for again is just what is
        missing, under the transfer's budget; a verified block is progress.
Rule 4: an older server knows no start in a batch and sends a file again from its first byte. From then on nothing of a file
        is kept, and only a whole file is progress: what comes again and again is none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from unspool.client.transfer import Attempt, Transfer
from unspool.core.checksum import combine
from unspool.core.model import BatchRequest, Block, Bytes, Frame, Header, Piece, WantedFile, is_heartbeat
from unspool.core.receiver import Receiver, whole_file
from unspool.core.whole import check_whole
from unspool.errors import ProtocolError, SequenceError, TruncatedError, UnspoolError
from unspool.local.outcome import Arrived, Wanted


@dataclass(slots=True)
class Came:
    """What one message brought to an end: files that are whole, and files that failed for good."""

    arrived: list[Arrived] = field(default_factory=list)
    failed: list[tuple[Wanted, UnspoolError]] = field(default_factory=list)


async def fetch_batch(wanted: Sequence[Wanted], transfer: Transfer) -> AsyncGenerator[Came, None]:
    """Yield what becomes of some files, message by message. In the end each has arrived or failed.

    Raises:
        UnspoolError: the stream broke, and the budget is spent.
        UnsupportedError: the server does not speak this; files may be read one by one.
    """
    left = list(wanted)
    begun = _Begun()
    async for attempt in transfer.attempts():
        batch = _Batch(left, transfer, begun)
        with attempt:
            messages = transfer.seams.transport.read_files(batch.request(attempt))
            async with aclosing(messages):
                while (message := await transfer.bounded(anext(messages, None), batch.about)) is not None:
                    batch.take(message)
                    await transfer.slow_down(_size_of(message))
                    if came := batch.collect():
                        yield came
        batch.keep()
        if came := batch.collect():  # what came before the piece that broke it
            yield came
        left = batch.left()
        if not left:
            return
        attempt.progressed = batch.progressed
        if attempt.error is None:
            attempt.again(batch.error_of(left[0]))
    yield Came(failed=[(one, batch.error_of(one)) for one in left])


def _size_of(message: Iterable[Piece]) -> int:
    """Return how many bytes of files a message brought."""
    frames = (piece.frame for piece in message)
    return sum(len(frame.block.data) for frame in frames if frame is not None and frame.block is not None)


class SmallFile:
    """A small file on its way: the receiver that verifies it, and what came out of that so far.

    Args:
        wanted: the file. It is asked for at the revision listed, and nothing but as many bytes as were listed is accepted.
        transfer_id: for the logs.
    """

    def __init__(self, wanted: Wanted, transfer_id: str) -> None:
        self.receiver = Receiver(wanted.info.name, pinned=wanted.info, transfer_id=transfer_id)
        self._wanted = wanted
        self._blocks: list[Bytes] = []
        self._checksum = 0

    def add(self, block: Block) -> None:
        """Take a block that the receiver gave out."""
        self._checksum = combine(self._checksum, block.crc32c, len(block.data)) if self._blocks else block.crc32c
        self._blocks.append(block.data)

    def arrived(self) -> Arrived:
        """Return the whole, once the receiver is complete. Raises FileMismatchError if it is not what the server says."""
        assert self.receiver.summary is not None
        verified = check_whole(self._wanted.info.name, self._checksum, self.receiver.summary.crc32c)
        return Arrived(self._wanted, self._blocks, self._checksum, confirmed=verified == "file")


class _Begun:
    """What streams that ended left of files: the next one is asked for the rest."""

    def __init__(self) -> None:
        self._files: dict[int, SmallFile] = {}  # by the identity of what is wanted
        self.possible = True  # as far as is known, the server can begin a file elsewhere than at its start

    def start_of(self, wanted: Wanted) -> int:
        """Return the first byte that is missing."""
        small = self._files.get(id(wanted))
        return small.receiver.position if small is not None else 0

    def keep(self, wanted: Wanted, small: SmallFile) -> None:
        """Keep what has come of a file."""
        if self.possible and small.receiver.position:
            self._files[id(wanted)] = small

    def take(self, wanted: Wanted, header: Header | None) -> SmallFile | None:
        """Return what has come of a file, and forget it; None if there is nothing that this header goes on from."""
        small = self._files.pop(id(wanted), None)
        if small is not None and header is not None and header.start == 0:
            self.possible = False
            self._files.clear()
            return None
        return small


class _Batch:
    """One stream's worth of files, taken piece by piece."""

    def __init__(self, wanted: list[Wanted], transfer: Transfer, begun: _Begun) -> None:
        self._wanted = wanted
        self._transfer = transfer
        self._begun = begun
        self._over = [False] * len(wanted)
        self._errors: dict[int, UnspoolError] = {}  # of the files to be asked for again, by name
        self.progressed = False
        self._at = -1
        self._small: SmallFile | None = None  # the file the stream is at; None when that is over
        self._given_up = False  # the rest of that file's pieces are of no use
        self._came = Came()

    def request(self, attempt: Attempt) -> BatchRequest:
        return BatchRequest(
            files=tuple([WantedFile(one.info.name, one.info.revision, self._begun.start_of(one)) for one in self._wanted]),
            block_size=self._transfer.block_size,
            transfer_id=self._transfer.id,
            attempt=attempt.number,
        )

    def about(self) -> str:
        return f"{self._wanted[min(max(self._at, 0), len(self._wanted) - 1)].info.name}: with {len(self._wanted)} files"

    def left(self) -> list[Wanted]:
        """Return what has neither arrived nor failed for good."""
        return [one for one, over in zip(self._wanted, self._over, strict=True) if not over]

    def error_of(self, one: Wanted) -> UnspoolError:
        """Return what became of a file that is left."""
        name = one.info.name
        error = self._errors.get(id(one))
        return error or TruncatedError(f"{name}: the stream ended before it", name=name)

    def collect(self) -> Came | None:
        """Return what has come to an end since this was last asked, if anything has."""
        came, self._came = self._came, Came()
        return came if came.arrived or came.failed else None

    def keep(self) -> None:
        """Keep what has come of the file at which the stream ended."""
        if self._small is not None:
            self._begun.keep(self._wanted[self._at], self._small)

    def take(self, pieces: Iterable[Piece]) -> None:
        """Take a message.

        Raises:
            SequenceError, ProtocolError: the server does not keep to the order of the files.
        """
        for piece in pieces:
            if piece.error is None and (piece.frame is None or is_heartbeat(piece.frame)):
                continue  # it says nothing, and so its index says nothing either
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
        self.keep()  # the server left it without an end
        if not self._at < index < len(self._wanted):
            kind = SequenceError if 0 <= index < len(self._wanted) else ProtocolError
            raise kind(f"a piece of file {index} of {len(self._wanted)} arrived out of order (while at {self._at})")
        self._at = index
        self._small = None
        self._given_up = False

    def _receive(self, frame: Frame, *, begins: bool) -> None:
        wanted = self._wanted[self._at]
        if begins:
            self._small = self._begun.take(wanted, frame.header)
            if self._small is None:
                whole = whole_file(wanted.info, frame)  # as nearly every small file comes
                if whole is not None:
                    self._arrive(Arrived(wanted, [whole.block.data], whole.block.crc32c, confirmed=whole.confirmed))
                    return
                self._small = SmallFile(wanted, self._transfer.id)
            self._small.receiver.next_request(self._transfer.tally.attempts)
        small = self._small
        assert small is not None
        block = small.receiver.receive(frame)
        if block is not None:
            small.add(block)
            self.progressed = self.progressed or self._begun.possible
        if small.receiver.complete:
            self._arrive(small.arrived())
            self._small = None

    def _arrive(self, arrived: Arrived) -> None:
        self._came.arrived.append(arrived)
        self._transfer.tally.bytes_received += arrived.wanted.info.size
        self.progressed = self._over[self._at] = True

    def _give_up(self, error: UnspoolError) -> None:
        wanted = self._wanted[self._at]
        if error.retryable:
            self.keep()
            self._errors[id(wanted)] = error
        else:
            self._over[self._at] = True
            self._came.failed.append((wanted, error))
        self._small = None
        self._given_up = True
