"""Fetching what is missing of one file into its part file: with one stream, or with several at once.

Rule 1: all streams want one revision. The first header says which, and before it there is one stream only, unless an earlier
        run has left word of it.
Rule 2: each stream has a range of its own and a connection of its own, and is verified, retried and resumed by itself. Who has
        nothing left takes half of what another has before it (core/ranges.py).
Rule 3: each stream has one block with the disk at most, while it waits for its next one.
Rule 4: the first error that a stream does not get over ends all of them. What has arrived is kept.
Rule 5: what the local disk refuses ends the round, before another attempt is made.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import aclosing

from unspool.client.transfer import Transfer
from unspool.client.unfinished import Unfinished
from unspool.core.model import Block, FileInfo
from unspool.core.ramp import Ramp
from unspool.core.ranges import Range, Ranges
from unspool.core.receiver import Receiver


class Fetch:
    """One round over what is missing of a file.

    Args:
        transfer: of the first stream; the others are made from it.
        here: where the bytes go, and what is known of the file.
    """

    def __init__(self, transfer: Transfer, here: Unfinished) -> None:
        self._transfer = transfer
        self._here = here
        self._ranges = Ranges(here.missing(), here.part.segment_size)
        self._ramp = Ramp(transfer.options.jobs, self._now())
        self._received_before = transfer.tally.bytes_received
        self._streams: set[_Stream] = set()  # those that are to go on
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()

    def _now(self) -> float:
        return self._transfer.seams.clock.monotonic()

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
                await self._here.written()

    async def _next_over(self) -> asyncio.Task[None]:
        task = await self._over.get()
        self._tasks.discard(task)
        return task

    # How many

    def _start_streams(self) -> None:
        """Start as many streams as there are to be, and are of use."""
        while len(self._streams) < self._ramp.streams and (taken := self._ranges.take()) is not None:
            stream = _Stream()
            run = self._run_another(stream, taken) if self._streams else self._run(stream, taken, self._transfer)
            self._streams.add(stream)
            task = asyncio.create_task(run)
            task.add_done_callback(self._over.put_nowait)
            self._tasks.add(task)

    async def _run_another(self, stream: _Stream, taken: Range) -> None:
        async with self._transfer.seams.another() as seams:
            await self._run(stream, taken, self._transfer.beside(seams))

    async def _run(self, stream: _Stream, taken: Range | None, transfer: Transfer) -> None:
        """Fetch one range after another, until there is none left or the stream is one too many."""
        while taken is not None:
            await self._fetch(stream, taken, transfer)
            self._ranges.give_back(taken)
            taken = self._ranges.take() if stream in self._streams else None
        self._streams.discard(stream)

    def _is_wanted(self, stream: _Stream) -> bool:
        """Whether a stream is to go on. Of those that are too many, the one that asks first is not."""
        if len(self._streams) > self._ramp.streams:
            self._streams.discard(stream)
        return stream in self._streams

    def _adapt(self) -> None:
        received = self._transfer.tally.bytes_received - self._received_before
        self._ramp.advance(self._now(), received, self._ranges.left)
        if len(self._streams) < self._ramp.streams:
            self._start_streams()

    # One stream

    async def _fetch(self, stream: _Stream, taken: Range, transfer: Transfer) -> None:
        """Fetch a range, or what others leave of it, or as much as is fetched before the stream is one too many."""
        info = self._here.info
        # Who asks for no length is told a checksum that must be made up first: that is for who fetches the last byte.
        asked = None if len(self._streams) == 1 and info is not None and taken.stop == info.size else taken.stop
        receiver = Receiver(
            self._here.name,
            taken.position,
            asked,
            pinned=info,
            transfer_id=transfer.id,
        )
        async for attempt in transfer.attempts():
            with attempt:
                async with aclosing(transfer.stream(receiver, attempt)) as blocks:
                    async for block in blocks:
                        await self._take(stream, taken, block, receiver.info)
                        more_comes = not receiver.complete and (asked is not None or taken.stop != receiver.stop)
                        if (taken.done and more_comes) or not self._is_wanted(stream):
                            break  # somebody else has what comes; what a summary would say is asked for in the end
            await stream.written()
            if taken.stop is not None and receiver.stop is not None and taken.stop < receiver.stop:
                receiver.shorten(taken.stop)  # somebody has taken the rest
        await self._describe(receiver.info)
        if receiver.summary is not None:
            taken.stop = taken.position
            if receiver.summary.at_end and (asked is None or receiver.summary.crc32c is not None):
                self._here.ended(receiver.summary)

    async def _take(self, stream: _Stream, taken: Range, whole: Block, info: FileInfo | None) -> None:
        await self._describe(info)
        block = taken.cut(whole)
        taken.position = block.end  # before the disk is waited for: meanwhile somebody may take half of what is left
        await stream.written()
        stream.writing = self._here.write(block)
        self._adapt()

    async def _describe(self, info: FileInfo | None) -> None:
        """Take note of what the first header says."""
        if self._here.described:
            return
        await self._here.describe(info)
        if info is not None:
            self._ranges.known_to_end_at(info.size, self._here.part.segment_size)


class _Stream:
    """One of the streams that fetch the file, as far as the disk is concerned: it has one block there at most."""

    def __init__(self) -> None:
        self.writing: Future[None] | None = None

    async def written(self) -> None:
        """Wait until its last block is written."""
        if self.writing is not None:
            await asyncio.wrap_future(self.writing)
            self.writing = None
