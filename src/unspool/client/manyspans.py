"""Reads many spans of many files, a batch of them with each stream.

Rule 1: every span is verified as in a read of its own: `whole_span` checks one that comes in one frame, a Receiver all others.
Rule 2: all spans of one file are of one revision: that of the first header, or the one asked for. A span of another is
        FileChangedError.
Rule 3: a span that fails stops no other. An error that all would get (the server is gone) is waited for once.
Rule 4: what a batch gains nothing for has a stream of its own: a long span, and all spans of a server that knows no lengths in
        a batch, or no batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from unspool.client.batches import fetch_batch
from unspool.client.endings import ENDS_SPANS
from unspool.client.events import Observer
from unspool.client.seams import Seams
from unspool.client.tasks import all_done
from unspool.client.transfer import Transfer
from unspool.core.model import Block, Bytes, FileInfo, Frame, NamedSpan, WantedFile
from unspool.core.names import check_name
from unspool.core.receiver import Receiver, whole_span
from unspool.errors import (
    FileChangedError,
    InvalidRangeError,
    StartIgnoredError,
    UnspoolError,
    UnsupportedError,
)
from unspool.options import MIB, TransferOptions

_BATCH_SPANS = 1000
"""Most spans of one batch: as many as a server accepts by default."""

_BATCH_BYTES = 16 * MIB
"""Bytes of one batch, approximately: so many streams have work, and a stream that breaks has not much to send again."""

_LONG = MIB
"""Bytes from which on a span has a stream of its own, whose blocks are read in place. A batch copies them once more."""

_STREAMS = 4
"""Streams at the same time: batches as in a tree (`JOBS` in tasks.py), and long spans."""


@dataclass(slots=True, eq=False)
class _Asked:
    """One span that is asked for: its place in the list, and the span."""

    index: int
    name: str
    start: int
    length: int


async def read_spans(
    spans: Sequence[NamedSpan],
    seams: Seams,
    options: TransferOptions,
    observer: Observer,
    revisions: Mapping[str, str],
    *,
    keep_errors: bool,
) -> Sequence[bytes | UnspoolError]:
    """Return the bytes of each span, or its error; see `Client.read_many`. Unless errors are kept, the first one is raised."""
    return await _Spans(seams, options, observer, revisions, keep_errors=keep_errors).read(spans)


class _Spans:
    """The reads of one call. It is also the `Kind` of its batches."""

    packs = False

    def __init__(
        self, seams: Seams, options: TransferOptions, observer: Observer, revisions: Mapping[str, str], *, keep_errors: bool
    ) -> None:
        self._seams = seams
        self._options = options
        self._observer = observer
        self._revisions = revisions
        self._keep_errors = keep_errors
        self._known: dict[str, FileInfo] = {}  # what the first header said of each file
        self._found: dict[int, bytes | UnspoolError] = {}
        self._one_by_one = False  # the server does not know spans in batches
        self._silent: UnspoolError | None = None  # the error that all further spans would get

    async def read(self, spans: Sequence[NamedSpan]) -> Sequence[bytes | UnspoolError]:
        work = self._divided(spans)
        streams = min(self._options.jobs or _STREAMS, len(spans))
        await all_done([asyncio.create_task(self._work(work)) for _ in range(streams)])
        return [self._found[index] for index in range(len(spans))]

    def _divided(self, spans: Sequence[NamedSpan]) -> Iterator[list[_Asked]]:
        """Yield batches, and long spans alone. The spans of one file follow each other: the server has it open then."""
        batch: list[_Asked] = []
        size = 0
        asked = [_Asked(index, *span) for index, span in enumerate(spans)]
        for one in sorted(asked, key=lambda one: (one.name, one.start)):
            try:
                check_name(one.name)
                if one.start < 0 or one.length < 0:
                    numbers = f"start {one.start} and length {one.length}"
                    raise InvalidRangeError(f"{one.name}: {numbers} must not be negative", name=one.name)
            except UnspoolError as error:
                self._settle(one, error)
                continue
            if one.length > _LONG:
                yield [one]
                continue
            batch.append(one)
            size += one.length
            if len(batch) == _BATCH_SPANS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def _work(self, work: Iterator[list[_Asked]]) -> None:
        for batch in work:
            if self._one_by_one or batch[0].length > _LONG:
                for one in batch:
                    await self._read_alone(one)
            else:
                await self._read_batch(batch)

    async def _read_batch(self, batch: list[_Asked]) -> None:
        transfer = Transfer(self._seams, self._options, self._observer)
        try:
            with transfer.observed("batch", ""):
                self._go_on()
                async with aclosing(fetch_batch(batch, transfer, self)) as messages:
                    async for finished in messages:
                        for one, data in finished.arrived:
                            self._found[one.index] = data
                        if any(isinstance(error, StartIgnoredError) for _, error in finished.failed):
                            self._one_by_one = True
                            break
                        for one, error in finished.failed:
                            self._settle(one, error)
        except UnsupportedError:
            self._one_by_one = True
        except UnspoolError as error:
            self._end(batch, error)
        if self._one_by_one:
            for one in batch:
                if one.index not in self._found:
                    await self._read_alone(one)

    async def _read_alone(self, one: _Asked) -> None:
        transfer = Transfer(self._seams, self._options, self._observer)
        part = self.begin(one, transfer.id)
        try:
            with transfer.observed("open", one.name):
                self._go_on()
                async with aclosing(transfer.blocks(part.receiver)) as blocks:
                    async for block in blocks:
                        part.add(block)
                self._found[one.index] = part.received()[1]
        except UnspoolError as error:
            self._end([one], error)

    def _go_on(self) -> None:
        """Raise the error that a server has for everything, if it had one."""
        if self._silent is not None:
            raise self._silent

    def _end(self, batch: list[_Asked], error: UnspoolError) -> None:
        """Give the error to all spans of a batch that have nothing else."""
        if isinstance(error, ENDS_SPANS):
            self._silent = error
        for one in batch:
            if one.index not in self._found:
                self._settle(one, error)

    def _settle(self, one: _Asked, error: UnspoolError) -> None:
        if not self._keep_errors:
            raise error
        self._found[one.index] = error

    # What a batch is made of: see `Kind`

    def request(self, one: _Asked, start: int | None) -> WantedFile:
        """See `Kind.request`."""
        if start is None:
            start = one.start
        known = self._known.get(one.name)
        revision = self._revisions.get(one.name) if known is None else known.revision
        return WantedFile(one.name, revision, start, length=one.start + one.length - start)

    def begin(self, one: _Asked, transfer_id: str) -> _Part:
        """See `Kind.begin`."""
        known = self._known.get(one.name)
        revision = self._revisions.get(one.name)
        stop = one.start + one.length
        receiver = Receiver(one.name, one.start, stop, pinned=known, revision=revision, transfer_id=transfer_id)
        return _Part(one, receiver, self._agree)

    def packed(self, one: _Asked, wanted: WantedFile, data: Bytes, checksum: int) -> None:
        """See `Kind.packed`. Spans do not come in packs."""

    def at_once(self, one: _Asked, frame: Frame) -> tuple[tuple[_Asked, bytes], int] | None:
        """See `Kind.at_once`."""
        known = self._known.get(one.name)
        wanted = WantedFile(one.name, self._revisions.get(one.name), one.start, length=one.length)
        block = whole_span(wanted, known, frame)
        if block is None:
            return None
        if known is None:
            assert frame.header is not None
            assert frame.header.info is not None
            self._known[one.name] = frame.header.info
        return (one, bytes(block.data)), len(block.data)

    def _agree(self, info: FileInfo | None) -> None:
        """Pin the file to the revision of the first span that arrived. Raises FileChangedError for a span of another."""
        if info is None:  # a dialect without revisions
            return
        known = self._known.setdefault(info.name, info)
        if known.revision != info.revision:
            raise FileChangedError(
                f"{info.name}: the file changed while spans of it were read: read them again", name=info.name
            )


class _Part:
    """A span that is being received; see `BatchPart`."""

    def __init__(self, one: _Asked, receiver: Receiver, agree: Callable[[FileInfo | None], None]) -> None:
        self.receiver = receiver
        self._one = one
        self._agree = agree
        self._blocks: list[Bytes] = []

    def add(self, block: Block) -> None:
        """See `BatchPart.add`."""
        self._blocks.append(block.data)

    def received(self) -> tuple[_Asked, bytes]:
        """See `BatchPart.received`."""
        self._agree(self.receiver.info)
        return self._one, b"".join(self._blocks)
