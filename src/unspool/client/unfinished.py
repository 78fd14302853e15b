"""What is here of one file, and what is known of it: the part file, and the thread in which the disk works.

Rule 1: what an earlier run left is read again before it is built upon, and used only at the revision it belongs to.
Rule 2: nothing is written before the first header said what the file is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from unspool.client.events import Advanced, Rechecked, Started
from unspool.client.transfer import Transfer
from unspool.core.journal import Journal
from unspool.core.model import NO_ATTRIBUTES, Attributes, Block, FileInfo, Summary
from unspool.core.segments import segment_size_for
from unspool.local.copy import LocalCopy
from unspool.local.destination import Destination
from unspool.local.disk import Disk
from unspool.local.partfile import PartFile
from unspool.options import TransferOptions

_CHECKPOINT_INTERVAL = 2.0
"""Seconds after which progress inside a segment is journalled too: what a kill costs on a slow link. One small file's write."""


class Unfinished:
    """The unfinished copy of one file.

    Args:
        name: the file on the server.
        opens: opens the destination; called once, in the thread that waits for the disk.
        transfer: on behalf of which it is here.

    Attributes:
        info: what the file is, as far as is known.
        size: of the whole; None until somebody says so.
        end: the summary of the read that came to the end of the file, if it says all that the server knows; else None.
        resumed_from: bytes that an earlier run left and that are used.
        good: verified bytes that are here, or with the disk.
        described: whether a header has said what the file is, and bytes may be written.
    """

    def __init__(self, name: str, opens: Callable[[], Destination], transfer: Transfer) -> None:
        self.name = name
        self._opens = opens
        self._source = transfer.seams.transport.source
        self._clock = transfer.seams.clock
        self._observer = transfer.observer
        self._transfer_id = transfer.id
        self._disk = Disk()
        self._part: PartFile | None = None
        self._found: os.stat_result | None = None  # what was at the destination
        self._checkpointed = self._clock.monotonic()
        self.forget()

    def forget(self) -> None:
        """Begin from zero: nothing here is of use, nothing is known of the file."""
        self.info: FileInfo | None = None
        self.size: int | None = None
        self.end: Summary | None = None
        self.resumed_from = self.good = 0
        self.described = False
        self._of_this_download = False  # whether the part file's bytes are

    # Beginning and ending

    async def open(self) -> None:
        """Lock the part file. Raises BusyError if another process holds it."""
        await self._disk.do(self._open)

    def _open(self) -> None:
        self._part = PartFile(self._opens())
        self._part.acquire()

    @property
    def part(self) -> PartFile:
        """The part file, once open. Used in the disk's thread only, but for what it knows without the disk."""
        assert self._part is not None
        return self._part

    def close(self) -> None:
        """Keep what is good. Blocks until the disk is done with its last call, so that nothing is left running."""
        self._disk.close()
        if self._part is not None:
            self._part.close()

    async def finished_copy(self) -> LocalCopy | None:
        """Return what is at the destination, if that is a file."""
        destination = self.part.destination
        self._found = await self._disk.do(destination.status)
        copy = destination.copy()
        return copy if await self._disk.do(copy.is_file) else None

    async def give(self, attributes: Attributes) -> None:
        """Give the finished copy its attributes; what has come to its place meanwhile is left as it is."""
        if self._found is not None:
            await self._disk.do(partial(self.part.destination.give, attributes, self._found))

    async def discard(self) -> None:
        """Remove what is here: it is of no use any more."""
        await self._disk.do(self.part.discard)

    async def commit(self, options: TransferOptions) -> int:
        """Make it the destination; return its CRC32C."""
        assert self.size is not None
        checksum = self.part.checksum(self.size)
        assert checksum is not None
        attributes = options.kept(self.info.attributes) if self.info else NO_ATTRIBUTES
        await self._disk.do(partial(self.part.commit, self.size, overwrite=options.overwrite, attributes=attributes))
        return checksum

    # What an earlier run left

    async def take_up(self) -> None:
        """Build on it, if it is of this file and still what it was."""
        journal = self.part.journal
        if journal is None or not journal.is_about(self.name, self._source):
            return
        await self.recheck()
        self._of_this_download = True
        self.size = journal.size
        if journal.revision is not None and journal.size is not None:
            self.info = FileInfo(self.name, journal.size, journal.revision)
        self.resumed_from = self.good = self.part.good_bytes

    async def recheck(self) -> None:
        """Read what is here again, as far as that was asked for."""
        while (left := await self._disk.do(self.part.recheck)) > 0:
            self._observer.notify(Rechecked(self.part.good_bytes, left, self._transfer_id))

    async def recheck_all(self) -> int:
        """Read again all that is here; return how many bytes of it are damaged, and are missing now."""
        before = self.part.good_bytes
        self.part.recheck_all()
        await self.recheck()
        self.good = self.part.good_bytes
        return before - self.good

    # Going on

    def missing(self) -> list[tuple[int, int | None]]:
        """Return what is missing, as pairs of the first byte and one past the last; None where nobody knows the end."""
        if not self._of_this_download:
            return [(0, None)]
        if self.size is None:
            unbroken = self.part.first_gap(None)
            assert unbroken is not None
            return [(unbroken.start, None)]
        return [(gap.start, gap.stop) for gap in self.part.gaps(self.size)]

    async def describe(self, info: FileInfo | None) -> None:
        """Take note of what the first header says, before the first byte is written; once."""
        if self.described:
            return
        self.described = True
        if info is not None:
            self.info, self.size = info, info.size
        if not self._of_this_download:
            journal = Journal(
                name=self.name,
                source=self._source,
                revision=info.revision if info else None,
                size=self.size,
                segment_size=segment_size_for(self.size),
            )
            await self._disk.do(partial(self.part.begin, journal))
            self._of_this_download = True
        self._observer.notify(Started(self.name, self.size, self.resumed_from, self._transfer_id))

    def ended(self, summary: Summary) -> None:
        """Take note of the summary of a read that came to the end of the file."""
        self.end, self.size = summary, summary.end

    def write(self, block: Block) -> Future[None]:
        """Hand a verified block to the disk; the journal follows now and then."""
        now = self._clock.monotonic()
        checkpoint = now - self._checkpointed >= _CHECKPOINT_INTERVAL
        if checkpoint:
            self._checkpointed = now
        writing = self._disk.submit(partial(self.part.write, block, checkpoint=checkpoint))
        self.good += len(block.data)
        self._observer.notify(Advanced(self.good, self._transfer_id))
        return writing

    async def written(self) -> None:
        """Wait until all is written that was handed to the disk."""
        await self._disk.do(lambda: None)
