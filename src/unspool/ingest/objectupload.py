"""One upload into an object store, while it is open.

Rule 1: the bytes of a part are spooled in a file of the server's, and sent when the part is complete. A few parts are sent at a
        time, of one upload and of all; a block that completes one more waits. So memory and the disk are bounded, and a slow
        store slows the clients down.
Rule 2: the beginning of an incomplete part is kept as an object of its own, if no part became durable since the last time, and
        when the upload is closed.
Rule 3: a file that fits into one part is one object, written at the commit. Other files are made of their parts. The store
        checks the condition at that moment. An answer that is lost is recognised by the mark in the object's metadata.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from unspool.core.checksum import crc32c
from unspool.core.counted import counted
from unspool.core.model import Block, FileInfo, Span
from unspool.core.segments import Segment, SegmentTable
from unspool.core.uploading import UploadOpen
from unspool.core.uploadparts import MOST_PARTS, divided, full_length
from unspool.errors import DataLossError, SequenceError, ServerError, TooLargeError, UnspoolError
from unspool.ingest.bucket import OnlyIf
from unspool.ingest.multipart import GoneError, LostPartError
from unspool.ingest.objectcommit import committed, condition_of, described
from unspool.ingest.objectparts import BucketHome, SentParts, taken_over, unknown
from unspool.ingest.objectplace import Place
from unspool.ingest.refusals import refusing
from unspool.ingest.spool import Spool
from unspool.stores.objectinfo import metadata_of

log = logging.getLogger("unspool.ingest")

_DEPTH = 4
"""Parts of one upload that are sent at the same time, as parts are read (`stores.readahead.DEPTH`)."""


_TAIL = 4 << 20
"""Bytes of an incomplete part that are kept with one request: they are in memory meanwhile."""


class ObjectUpload:
    """See `Upload`.

    Args:
        opens: what the client said.
        home: what the ingester's uploads share.
        place: where it is kept.
        sent: the parts that the store has.
        spools: the beginnings of incomplete parts, by number.
        naming: held while what is at the name is compared and replaced.
        room: called at the beginning of a part with the size that the upload is to have. Returns up to which size it need
            not be called again, or raises NoSpaceError.
        let_go: called when it is closed, and what is to be kept is kept.
    """

    def __init__(
        self,
        opens: UploadOpen,
        home: BucketHome,
        place: Place,
        sent: SentParts,
        spools: dict[int, Spool],
        *,
        naming: asyncio.Lock,
        room: Callable[[int], Awaitable[int]],
        let_go: Callable[[ObjectUpload], None],
    ) -> None:
        self._opens = opens
        self._home = home
        self._place = place
        self._sent = sent
        self._spools = spools
        self._naming = naming
        self._room = room
        self._allowed = 0
        self._let_go = let_go
        self._part_size = sent.record.part_size
        begun = {number: Segment(spool.length, spool.crc32c) for number, spool in spools.items()}
        self._table = SegmentTable(self._part_size, sent.record.segments() | begun)
        self.table = self.known()
        self._moved = False  # whether a part became durable since the last `sync`
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._keeping = asyncio.Lock()  # held while a spool is read or closed
        self._failed: UnspoolError | None = None
        self._closing: asyncio.Future[None] | None = None
        self._committed = False

    @property
    def taken_over(self) -> asyncio.Event:
        """See `Upload.taken_over`."""
        return self._sent.taken_over

    def known(self) -> SegmentTable:
        """Return what there is of it now."""
        return SegmentTable(self._table.segment_size, self._table.segments)

    # Receiving

    def write(self, block: Block) -> Awaitable[None]:
        """See `Upload.write`."""
        return asyncio.ensure_future(self._write(block))

    async def _write(self, block: Block) -> None:
        for number, within, piece in divided(block, self._part_size):
            self._check()
            await self._write_piece(number, within, piece)

    async def _write_piece(self, number: int, within: int, piece: Block) -> None:
        name, size = self._opens.name, self._opens.size
        if number >= MOST_PARTS:
            most = counted(MOST_PARTS * self._part_size, "byte")
            raise TooLargeError(f"{name}: a file of which the size is not told at first has at most {most} here", name=name)
        spool = self._spools.get(number)
        if spool is None or within == 0:
            if piece.end > self._allowed:
                self._allowed = await self._room(piece.end)
            await self._forget(number)
            with refusing(name):
                spool = await self._home.disk.run(Spool)
            if self._closing is not None:  # meanwhile
                spool.close()
                self._check()
            self._spools[number] = spool
        if within != spool.length:
            raise SequenceError(f"{name}: the block at byte {piece.offset} does not continue what there is", name=name)
        with refusing(name):
            await self._home.disk.run(lambda: spool.write(piece.data, piece.crc32c))
        self._table.record(piece)
        is_whole = size is not None and size <= self._part_size
        if not is_whole and spool.length == full_length(number, self._part_size, size):
            while len(self._sending) >= _DEPTH:
                await asyncio.wait(self._sending.values(), return_when=asyncio.FIRST_COMPLETED)
            await self._home.sending.acquire()
            if self._closing is not None:  # meanwhile
                self._home.sending.release()
                self._check()
            self._sending[number] = asyncio.create_task(self._send(number, spool))

    async def _forget(self, number: int) -> None:
        """Forget what there is of a part."""
        if (sending := self._sending.get(number)) is not None:
            await asyncio.wait([sending])
        self._table.forget(number)
        await self._drop(number)
        if self._sent.record.parts.pop(number, None) is not None:
            await self._sent.note()

    async def _drop(self, number: int) -> None:
        """Close the spool of a part."""
        async with self._keeping:
            if (spool := self._spools.pop(number, None)) is not None:
                await self._home.disk.run(spool.close)

    async def _send(self, number: int, spool: Spool) -> None:
        """Send a complete part, and record that the store has it."""
        try:
            self._sent.record.parts[number] = await self._sent.send(number, spool)
            await self._sent.note()
            self._moved = True
            await self._drop(number)
        except UnspoolError as error:
            self._failed = self._failed or error
        finally:
            self._home.sending.release()
            del self._sending[number]

    async def _all_sent(self) -> None:
        """Wait for the parts that are being sent."""
        if self._sending:
            await asyncio.wait(list(self._sending.values()))
        self._check()

    async def checksum(self, span: Span) -> int:
        """See `Upload.checksum`."""
        self._check()
        found, size = 0, self._part_size
        for number in range(span.start // size, -(-span.stop // size)):
            start, stop = max(span.start - number * size, 0), min(span.stop - number * size, size)
            async with self._keeping:
                spool = self._spools.get(number)
                if spool is None or stop > spool.length:
                    name = self._opens.name
                    said = "what the object store has of an unfinished upload cannot be read: open the upload again"
                    raise SequenceError(f"{name}: {said}", name=name, offset=span.start)
                found = await self._home.disk.run(partial(spool.checksum, start, stop, found))
        return found

    # What survives

    async def sync(self) -> int:
        """See `Upload.sync`."""
        self._check()
        await self._all_sent()
        moved, self._moved = self._moved, False
        if not moved:
            await self._keep_tails()
        kept = {number: spool.kept for number, spool in self._spools.items()}
        sent = {number: part.length for number, part in self._sent.durable.items()}
        return sum(max(kept.get(number, 0), sent.get(number, 0)) for number in kept.keys() | sent.keys())

    async def _keep_tails(self) -> None:
        """Keep what the store does not have of incomplete parts."""
        if self._spools and not self._sent.is_recorded:
            await self._sent.note()
        for number in list(self._spools):
            async with self._keeping:
                spool = self._spools.get(number)
                stop = 0 if spool is None or number in self._sending else spool.length
                while spool is not None and (start := spool.kept) < stop:
                    end = min(start + _TAIL, stop)
                    async with self._home.whole:
                        with refusing(self._opens.name):
                            data = await self._home.disk.run(partial(spool.read, start, end))
                        await self._place.keep_tail(number * self._part_size + start, data)
                        del data
                    spool.kept = end

    # Ending

    async def commit(self, size: int) -> FileInfo:
        """See `Upload.commit`."""
        self._check()
        await self._all_sent()
        name, condition, mark = self._opens.name, self._opens.condition, self._sent.record.mark
        bucket, checksum = self._home.bucket, self._table.checksum(size)
        assert checksum is not None, "the caller has verified the whole"
        async with self._naming:
            only_if = condition_of(name, condition, await bucket.current(name))
            in_parts = size > self._part_size or self._sent.record.multipart
            request = (self._complete if in_parts else self._put)(size, checksum, only_if)
            try:
                tag = await committed(bucket, name, condition, mark, request)
            except GoneError:
                raise unknown(name) from None
            except LostPartError:
                for number in await self._sent.forget_lost():
                    self._table.forget(number)
                said = "the object store has lost a part of it: open the upload again"
                raise ServerError(f"{name}: {said}", name=name) from None
        self._committed = True
        info = await described(bucket, FileInfo(name, size, tag.strip('"'), self._opens.attributes, checksum), mark)
        with suppress(UnspoolError):  # the mark says it as well
            await self._place.remember(info)
            await self._place.forget()
        await self.aclose()
        return info

    async def _put(self, size: int, checksum: int, only_if: OnlyIf) -> str:
        """Write the object of a file that fits into one part."""
        metadata = metadata_of(self._opens.attributes, mark=self._sent.record.mark, crc32c=checksum)
        async with self._home.whole:
            spool, data = self._spools.get(0), b""
            if spool is not None:
                with refusing(self._opens.name):
                    data = await self._home.disk.run(lambda: spool.read(0, size))
            if crc32c(data) != checksum:
                raise DataLossError(f"{self._opens.name}: what was received of it cannot be read as it was written")
            return await self._home.bucket.put(self._opens.name, data, metadata, only_if)

    async def _complete(self, size: int, checksum: int, only_if: OnlyIf) -> str:
        """Make the object of its parts. What is not sent is sent now: the last one, if the size was not known."""
        last = {number: await self._sent.send(number, spool) for number, spool in self._spools.items()}
        return await self._sent.complete(last, size, checksum, only_if)

    def _check(self) -> None:
        name = self._opens.name
        if self.taken_over.is_set():
            raise taken_over(name)
        if self._failed is not None:
            raise self._failed
        if self._closing is not None:
            raise ServerError(f"{name}: the upload was closed meanwhile", name=name)

    async def give_up(self) -> None:
        """Let another opening have it: the methods raise TakenOverError from now on."""
        self.taken_over.set()
        await self.aclose()

    async def aclose(self) -> None:
        """See `Upload.aclose`."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._sending:
            await asyncio.wait(list(self._sending.values()))
        try:
            if not self._committed:
                await self._keep_tails()
        except UnspoolError as error:
            log.warning("the end of an unfinished upload of %r was not kept: %s", self._opens.name, error.message)
        self._let_go(self)  # not before: who asks meanwhile would hear of fewer bytes
        for number in list(self._spools):
            await self._drop(number)
