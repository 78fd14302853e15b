"""Fetching what is missing of one file into its part file: with one stream, or with several at once.

Rule 1: all streams want one revision. The first header says which, and before it there is one stream only, unless an earlier
        run has left word of it.
Rule 2: each stream has a range of its own and a connection of its own, and is verified, retried and resumed by itself. Who has
        nothing left takes half of what another has before it (core/ranges.py).
Rule 3: each stream has one block with the disk at most, while it waits for its next one.
Rule 4: the first error that a stream does not get over ends all of them. What has arrived is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import aclosing

from unspool.client.events import Advanced, Observer
from unspool.client.transfer import Seams, Transfer
from unspool.core.model import Block, FileInfo, Summary
from unspool.core.ramp import Ramp
from unspool.core.ranges import Range, Ranges
from unspool.core.receiver import Receiver
from unspool.local.disk import Disk
from unspool.local.partfile import PartFile
from unspool.options import TransferOptions

_CHECKPOINT_INTERVAL = 2.0
"""Seconds after which progress inside a segment is journalled too: what a kill costs on a slow link. One small file's write."""


class Fetch:
    """One round over what is missing of a file.

    Args:
        name: the file on the server.
        part, disk: where the bytes go, and the thread that writes them.
        ranges: what is missing.
        pinned: what the file is known to be; None takes what the first header says.
        begin: called once, with what the first header says, before the first byte is written.
        seams, options, observer: the world, what is wished, and who is told.
        transfer: of the first stream; the others are made from it.

    Attributes:
        end: the summary of the stream that came to the end of the file, if it says all that the server knows; else None.
    """

    def __init__(
        self,
        name: str,
        part: PartFile,
        disk: Disk,
        ranges: Ranges,
        *,
        pinned: FileInfo | None,
        begin: Callable[[FileInfo | None], Awaitable[None]],
        seams: Seams,
        options: TransferOptions,
        observer: Observer,
        transfer: Transfer,
    ) -> None:
        self.end: Summary | None = None
        self._name = name
        self._part = part
        self._disk = disk
        self._ranges = ranges
        self._info = pinned
        self._begin = begin
        self._begun = False
        self._seams = seams
        self._options = options
        self._observer = observer
        self._transfer = transfer
        self._received_before = transfer.tally.bytes_received
        self._ramp = Ramp(options.jobs, seams.clock.monotonic())
        self._streams = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
        self._here = part.good_bytes
        self._checkpointed = seams.clock.monotonic()

    async def run(self) -> None:
        """Fetch it all. On return every byte is here.

        Raises:
            UnspoolError: what ended the first stream that did not get over it.
        """
        # Not a TaskGroup: one whose tasks have failed may forget, or make up, that it was cancelled (Python 3.11).
        self._start_streams()
        try:
            while self._tasks:
                # By no name: an error whose traceback leads to a task that holds the error would keep its blocks alive.
                (await self._next_over()).result()
        finally:
            ended_early = bool(self._tasks)
            for left in self._tasks:
                left.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if ended_early:
                # What they had handed to the disk belongs to this round: nobody begins another before it is written.
                await self._disk.do(lambda: None)

    async def _next_over(self) -> asyncio.Task[None]:
        task = await self._over.get()
        self._tasks.discard(task)
        return task

    # How many

    def _start_streams(self) -> None:
        """Start as many streams as there are to be, and are of use."""
        while self._streams < self._ramp.streams and (taken := self._ranges.take()) is not None:
            run = self._run_another if self._streams else self._run_first
            self._streams += 1
            task = asyncio.create_task(run(taken))
            task.add_done_callback(self._over.put_nowait)
            self._tasks.add(task)

    async def _run_first(self, taken: Range) -> None:
        await self._run_stream(taken, self._transfer)

    async def _run_another(self, taken: Range) -> None:
        async with self._seams.another() as seams:
            await self._run_stream(taken, self._transfer.beside(seams))

    async def _run_stream(self, taken: Range | None, transfer: Transfer) -> None:
        """Fetch one range after another, until there is none left or the stream is one too many."""
        while taken is not None:
            stays = await self._fetch(taken, transfer)
            self._ranges.give_back(taken)
            taken = self._ranges.take() if stays else None
            if stays and taken is None:
                self._streams -= 1

    # One stream

    async def _fetch(self, taken: Range, transfer: Transfer) -> bool:
        """Fetch a range, or what others leave of it. Return whether the stream is still wanted."""
        # Who asks for no length is told a checksum that must be made up first: that is for who fetches the last byte.
        alone = self._streams == 1 and self._info is not None and taken.stop == self._info.size
        asked = None if alone else taken.stop
        receiver = Receiver(
            self._name,
            taken.position,
            asked,
            pinned=self._info,
            block_size=self._options.block_size,
            transfer_id=transfer.id,
        )
        pen = _Pen(self._disk)

        async def settle() -> None:
            await pen.written()
            if taken.stop is not None and receiver.stop is not None and taken.stop < receiver.stop:
                receiver.shorten(taken.stop)

        transfer.settle = settle
        stays = True
        async with aclosing(transfer.blocks(receiver)) as blocks:
            async for whole in blocks:
                if not self._begun:
                    await self._take_note(receiver.info)
                block = taken.cut(whole)
                taken.position = block.end  # before the disk is waited for: meanwhile somebody may take half of what is left
                await self._write(block, pen)
                self._adapt()
                if taken.done and not receiver.complete and (asked is not None or taken.stop != receiver.stop):
                    break  # somebody else has what comes now; what a summary would say is asked for in the end
                if self._streams > self._ramp.streams:
                    self._streams -= 1
                    stays = False
                    break
        await pen.written()
        if not self._begun:
            await self._take_note(receiver.info)
        if receiver.summary is not None:
            taken.stop = taken.position
            if receiver.summary.at_end and (asked is None or receiver.summary.crc32c is not None):
                self.end = receiver.summary
        return stays

    async def _take_note(self, info: FileInfo | None) -> None:
        """Take note of what the first header says."""
        self._begun = True
        await self._begin(info)
        self._here = self._part.good_bytes
        if info is not None:
            self._info = info
            self._ranges.known_to_end_at(info.size, self._part.segment_size)

    async def _write(self, block: Block, pen: _Pen) -> None:
        now = self._seams.clock.monotonic()
        checkpoint = now - self._checkpointed >= _CHECKPOINT_INTERVAL
        if checkpoint:
            self._checkpointed = now
        await pen.write(lambda: self._part.write(block, checkpoint=checkpoint))
        self._here += len(block.data)
        self._observer.notify(Advanced(self._here))

    def _adapt(self) -> None:
        received = self._transfer.tally.bytes_received - self._received_before
        self._ramp.advance(self._seams.clock.monotonic(), received, self._ranges.left)
        if self._streams < self._ramp.streams:
            self._start_streams()


class _Pen:
    """What one stream has the disk do: one block at a time."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._writing: Future[None] | None = None

    async def write(self, work: Callable[[], None]) -> None:
        """Have a block written, once the one before it is."""
        await self.written()
        self._writing = self._disk.submit(work)

    async def written(self) -> None:
        """Wait until the last block is written."""
        if self._writing is not None:
            await asyncio.wrap_future(self._writing)
            self._writing = None
