"""Fetches the missing bytes of one file into its part file, with one stream or with several at once.

Rule 1: all streams read the same revision. The journal of an earlier run or the first header gives it. Until the revision is
        known there is only one stream.
Rule 2: each stream has its own range and connection, and is verified, retried and resumed separately. A stream that finishes
        its range takes half of the remaining range of another stream (core/ranges.py).
Rule 3: each stream has at most one block being written to disk while it waits for the next block.
Rule 4: the first error that retries do not overcome ends all streams. Bytes that have arrived are kept.
Rule 5: an error of the local disk ends the fetch without another attempt.
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
from unspool.local.disk import Outcome


class Fetch:
    """Fetches once everything that is missing of a file.

    Args:
        transfer: the transfer of the first stream. The transfers of the other streams are made from it.
        here: the part file, and what is known about the file.
    """

    def __init__(self, transfer: Transfer, here: Unfinished) -> None:
        self._transfer = transfer
        self._here = here
        self._ranges = Ranges(here.missing(), here.part.segment_size)
        self._ramp = Ramp(transfer.options.jobs, self._now())
        self._received_before = transfer.tally.bytes_received
        self._streams: set[_Stream] = set()  # without those that should stop
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()

    def _now(self) -> float:
        return self._transfer.seams.clock.monotonic()

    async def run(self) -> None:
        """Fetch all missing bytes.

        Raises:
            UnspoolError: the first error that retries did not overcome.
        """
        # Not a TaskGroup: in Python 3.11, after a task has failed, it may lose a cancellation or report one that never was.
        self._start_streams()
        try:
            while self._tasks:
                # Do not name the task: its error's traceback would refer to this frame, the frame to the task and the task
                # to the error, a cycle that keeps the blocks in memory.
                (await self._next_over()).result()
        finally:
            ended_early = bool(self._tasks)
            for left in self._tasks:
                left.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if ended_early:
                # Finish this fetch's writes before the next fetch can begin.
                await self._here.written()

    async def _next_over(self) -> asyncio.Task[None]:
        task = await self._over.get()
        self._tasks.discard(task)
        return task

    # Number of streams

    def _start_streams(self) -> None:
        """Start streams up to the number wanted, as long as there are ranges for them."""
        while len(self._streams) < self._ramp.streams and (assigned := self._ranges.take()) is not None:
            stream = _Stream()
            run = self._run_another(stream, assigned) if self._streams else self._run(stream, assigned, self._transfer)
            self._streams.add(stream)
            task = asyncio.create_task(run)
            task.add_done_callback(self._over.put_nowait)
            self._tasks.add(task)

    async def _run_another(self, stream: _Stream, assigned: Range) -> None:
        async with self._transfer.seams.another() as seams:
            await self._run(stream, assigned, self._transfer.beside(seams))

    async def _run(self, stream: _Stream, assigned: Range | None, transfer: Transfer) -> None:
        """Fetch one range after another, until no range is left or there are too many streams."""
        while assigned is not None:
            await self._fetch(stream, assigned, transfer)
            self._ranges.give_back(assigned)
            assigned = self._ranges.take() if stream in self._streams else None
        self._streams.discard(stream)

    def _is_wanted(self, stream: _Stream) -> bool:
        """Return whether a stream should go on. If there are too many streams, the first one to ask stops."""
        if len(self._streams) > self._ramp.streams:
            self._streams.discard(stream)
        return stream in self._streams

    def _adapt(self) -> None:
        received = self._transfer.tally.bytes_received - self._received_before
        self._ramp.advance(self._now(), received, self._ranges.left)
        if len(self._streams) < self._ramp.streams:
            self._start_streams()

    # One stream

    async def _fetch(self, stream: _Stream, assigned: Range, transfer: Transfer) -> None:
        """Fetch a range. Ends early if other streams take the rest of it, or if there are too many streams."""
        info = self._here.info
        # A read without a length makes the server compute the checksum of the whole file. Only a stream that runs alone and
        # reads to the end of the file asks for it.
        asked = None if len(self._streams) == 1 and info is not None and assigned.stop == info.size else assigned.stop
        receiver = Receiver(
            self._here.name,
            assigned.position,
            asked,
            pinned=info,
            transfer_id=transfer.id,
        )
        async for attempt in transfer.attempts():
            with attempt:
                self._shorten(receiver, assigned)
                async with aclosing(transfer.stream(receiver, attempt)) as blocks:
                    async for block in blocks:
                        await self._take(stream, assigned, block, receiver.info)
                        self._shorten(receiver, assigned)
                        more_comes = not receiver.complete and (asked is not None or assigned.stop != receiver.stop)
                        if (assigned.done and more_comes) or not self._is_wanted(stream):
                            break  # other streams fetch the rest; `_check_whole` asks for the checksum at the end
            await stream.written()
        await self._describe(receiver.info)
        if receiver.summary is not None:
            assigned.stop = assigned.position
            if receiver.summary.at_end and (asked is None or receiver.summary.crc32c is not None):
                self._here.ended(receiver.summary)

    def _shorten(self, receiver: Receiver, assigned: Range) -> None:
        """Let the receiver ask from now on only for what is left of the range: another stream may have taken the rest."""
        stop = self._here.size if receiver.stop is None else receiver.stop
        if assigned.stop is not None and stop is not None and assigned.stop < stop:
            receiver.shorten(assigned.stop)

    async def _take(self, stream: _Stream, assigned: Range, whole: Block, info: FileInfo | None) -> None:
        await self._describe(info)
        block = assigned.cut(whole)
        assigned.position = block.end  # before the wait for the disk, in which another stream may take half of the rest
        await stream.written()
        stream.writing = self._here.write(block)
        self._adapt()

    async def _describe(self, info: FileInfo | None) -> None:
        """Record the description of the file in the first header."""
        if self._here.described:
            return
        await self._here.describe(info)
        if info is not None:
            self._ranges.known_to_end_at(info.size, self._here.part.segment_size)


class _Stream:
    """One stream's write to disk: at most one block at a time."""

    def __init__(self) -> None:
        self.writing: Future[None] | None = None

    async def written(self) -> None:
        """Wait until the stream's last block is written."""
        if self.writing is not None:
            await Outcome(self.writing)
            self.writing = None
