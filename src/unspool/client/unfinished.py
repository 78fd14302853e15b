"""The unfinished copy of one file: its part file, what is known about the file, and the thread for disk access.

Rule 1: an earlier run's part file is read again before it is used, and used only for the revision that it belongs to.
Rule 2: nothing is written before the first header has described the file.
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
"""Seconds after which the journal notes progress inside a segment, too. This bounds what a kill loses on a slow link, and costs
one write of a small file."""


class Unfinished:
    """The unfinished copy of one file.

    Args:
        name: the file on the server.
        opens: opens the destination; called once, in the disk's thread.
        transfer: the transfer that fetches the file.

    Attributes:
        info: the description of the file; None if it is not known.
        size: of the whole file, in bytes; None if it is not known.
        end: the summary of the read that reached the end of the file, if the server has no more to say; else None.
        resumed_from: bytes of an earlier run that are used.
        good: verified bytes that are written or being written.
        described: whether the file has been described, so that bytes may be written.
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
        """Forget the bytes in the part file and all that is known about the file, to begin from zero."""
        self.info: FileInfo | None = None
        self.size: int | None = None
        self.end: Summary | None = None
        self.resumed_from = self.good = 0
        self.described = False
        self._of_this_download = False  # whether the part file's bytes belong to this download

    # Opening and closing

    async def open(self) -> None:
        """Lock the part file. Raises BusyError if another process holds it."""
        await self._disk.do(self._open)

    def _open(self) -> None:
        self._part = PartFile(self._opens())
        self._part.acquire()

    @property
    def part(self) -> PartFile:
        """The part file, once open. Its methods that access the disk are called only in the disk's thread."""
        assert self._part is not None
        return self._part

    def close(self) -> None:
        """Save the progress and close the part file. Blocks until the last call in the disk's thread has ended."""
        self._disk.close()
        if self._part is not None:
            self._part.close()

    async def finished_copy(self) -> LocalCopy | None:
        """Return the file at the destination; None if there is none."""
        destination = self.part.destination
        self._found = await self._disk.do(destination.status)
        copy = destination.copy()
        return copy if await self._disk.do(copy.is_file) else None

    async def give(self, attributes: Attributes) -> None:
        """Set the attributes of the finished copy, unless another file has replaced it since `finished_copy`."""
        if self._found is not None:
            await self._disk.do(partial(self.part.destination.give, attributes, self._found))

    async def discard(self) -> None:
        """Remove the part file and its journal."""
        await self._disk.do(self.part.discard)

    async def commit(self, options: TransferOptions) -> int:
        """Move the complete part file to the destination; return its CRC32C."""
        assert self.size is not None
        checksum = self.part.checksum(self.size)
        assert checksum is not None
        attributes = options.kept(self.info.attributes) if self.info else NO_ATTRIBUTES
        await self._disk.do(partial(self.part.commit, self.size, overwrite=options.overwrite, attributes=attributes))
        return checksum

    # Resuming

    async def take_up(self) -> None:
        """Resume from an earlier run's part file, if it belongs to this file. Its damaged segments count as missing."""
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
        """Read again the segments that are marked to be checked."""
        while (left := await self._disk.do(self.part.recheck)) > 0:
            self._observer.notify(Rechecked(self.part.good_bytes, left, self._transfer_id))

    async def recheck_all(self) -> int:
        """Read the whole part file again; return the number of damaged bytes. They count as missing from now on."""
        before = self.part.good_bytes
        self.part.recheck_all()
        await self.recheck()
        self.good = self.part.good_bytes
        return before - self.good

    # Fetching

    def missing(self) -> list[tuple[int, int | None]]:
        """Return the missing ranges: the first byte, and one past the last (None if the size of the file is not known)."""
        if not self._of_this_download:
            return [(0, None)]
        if self.size is None:
            unbroken = self.part.first_gap(None)
            assert unbroken is not None
            return [(unbroken.start, None)]
        return [(gap.start, gap.stop) for gap in self.part.gaps(self.size)]

    async def describe(self, info: FileInfo | None) -> None:
        """Record the file's description, and begin a new journal unless one is resumed, before the first write. Runs once."""
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
        """Record the summary of a read that reached the end of the file."""
        self.end, self.size = summary, summary.end

    def write(self, block: Block) -> Future[None]:
        """Write a verified block in the disk's thread, and at intervals the journal."""
        now = self._clock.monotonic()
        checkpoint = now - self._checkpointed >= _CHECKPOINT_INTERVAL
        if checkpoint:
            self._checkpointed = now
        writing = self._disk.submit(partial(self.part.write, block, checkpoint=checkpoint))
        self.good += len(block.data)
        self._observer.notify(Advanced(self.good, self._transfer_id))
        return writing

    async def written(self) -> None:
        """Wait until all blocks passed to `write` are written."""
        await self._disk.do(lambda: None)
