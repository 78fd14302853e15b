"""What answers a read: an open file and a request in, frames out. Whoever sends them, and however, is somebody else's business.

Rule 1: a small file is one frame. The header travels with the first block, the summary with the last.
Rule 2: the whole file's CRC32C is put together from the blocks that went out, whoever asked for them. What is missing of it
        is read, once per revision, when a client reads to the end of the file without giving a length; a read with a length
        never costs more than its own bytes.
Rule 3: a file that is not steady may be of other bytes by the next read: what one read learns of it is for that one alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol, TypeVar

from unspool.answers.checksums import Checksums
from unspool.core.checksum import crc32c
from unspool.core.model import Block, Bytes, FileInfo, Frame, Header, ReadRequest, Span, Summary
from unspool.errors import DataLossError, ServerError, StartPastEndError
from unspool.options import ServiceOptions
from unspool.stores.base import OpenFile

T = TypeVar("T")


_GROWING_BLOCKS = 8
"""Blocks read at one size while it may still grow: a fast reader is given full blocks after 8 MiB. A few MiB fit into windows
and buffers on the way, and look as if they had been taken."""

_SETTLED_BLOCKS = 16
"""Blocks read at one size when it has grown."""


class Patience(Protocol):
    """How whoever sends the frames waits for the store."""

    async def patiently(self, awaitable: Awaitable[T]) -> T:
        """Wait for something that is not the client."""
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait for a turn at what takes the processor for long: it begins inside, and goes on until the next await outside."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether others wait for a turn: then nothing is gained by doing anything ahead of time."""
        ...


class Sizes(Protocol):
    """How large the blocks of one read are to be."""

    def first(self, length: int) -> int:
        """Return the size of the first block of a read of `length` bytes."""
        ...

    def next(self, seconds: float) -> int:
        """Return the size of the next block, after one that took `seconds` to send."""
        ...

    @property
    def settled(self) -> bool:
        """Whether it is no longer to grow."""
        ...


class AsWanted:
    """Blocks as large as they are asked for."""

    settled = True

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted

    def first(self, length: int) -> int:  # noqa: ARG002 - see Sizes
        """See `Sizes.first`."""
        return self._wanted

    def next(self, seconds: float) -> int:  # noqa: ARG002 - see Sizes
        """See `Sizes.next`."""
        return self._wanted


class FrameMaker:
    """Makes the frames that answer reads, and learns the files' checksums on the way.

    Args:
        checksums: what is known of them.
        options: sizes.
    """

    def __init__(self, checksums: Checksums, options: ServiceOptions) -> None:
        self._checksums = checksums
        self._options = options

    async def frames(
        self,
        file: OpenFile,
        wanted: ReadRequest,
        patience: Patience,
        sizes: Callable[[int], Sizes] = AsWanted,
    ) -> AsyncGenerator[Frame, None]:
        """Yield the frames that answer a read.

        Args:
            file: where the bytes come from, at the revision wanted.
            wanted: which of them.
            patience: how the store is waited for.
            sizes: called with the largest block wanted, returns how large they are to be.

        Raises:
            FileChangedError: the file is not any more what it was when it was opened.
            StartPastEndError: the read begins beyond the end of the file.
            DataLossError: the store returned fewer bytes than it said it holds.
        """
        info = self._checksums.added_to(file.info)
        span = span_of(wanted, info)
        size = sizes(min(wanted.block_size or self._options.block_size, self._options.largest_block))
        header: Header | None = Header(info, span.start, span.length)
        remembered = info.crc32c is not None or await patience.patiently(file.steady())
        checksums = self._checksums if remembered else Checksums()
        summary = None if span.length else _summary(checksums, file.info, wanted, span)
        position = span.start
        async with aclosing(runs_of(file, span, size, patience)) as runs:
            async for data in runs:
                block = Block(position, data, crc32c(data))
                checksums.record(file.info, block)
                position = block.end
                if position == span.stop:
                    summary = _summary(checksums, file.info, wanted, span)
                yield Frame(header, block, summary)
                header = None
                if summary is not None:
                    return
        if position != span.stop:
            raise stopped_short(info, position, span.stop)
        if summary is None:
            if header is not None:
                yield Frame(header)
                header = None
            checksum = await patience.patiently(self._learn_checksum(file, checksums))
            summary = Summary(span.stop, at_end=True, crc32c=checksum)
        yield Frame(header, summary=summary)

    async def _learn_checksum(self, file: OpenFile, checksums: Checksums) -> int:
        """Read what is missing for the whole file's checksum, and return it."""
        for gap in checksums.gaps(file.info):
            position = gap.start
            async with aclosing(file.read(gap, lambda _: self._options.block_size)) as runs:
                async for data in runs:
                    checksums.record(file.info, Block(position, data, crc32c(data)))
                    position += len(data)
                    await asyncio.sleep(0)  # what is in memory is read without a turn for anybody else
        checksum = checksums.added_to(file.info).crc32c
        if checksum is None:
            # Forgotten while it was being put together, because very many other files are being read: come back.
            raise ServerError(f"{file.info.name}: its checksum could not be put together", name=file.info.name)
        return checksum


def _summary(checksums: Checksums, info: FileInfo, wanted: ReadRequest, span: Span) -> Summary | None:
    """Return the summary, or None if the checksum has to be learned first (rule 2)."""
    info = checksums.added_to(info)
    if info.crc32c is None and wanted.length is None:
        return None
    return Summary(span.stop, at_end=span.stop == info.size, crc32c=info.crc32c)


class _RunSizes:
    """How long the runs of one read are: they follow the reader's speed, which is looked at anew after every few blocks.

    Args:
        span: what is read.
        sizes: how large blocks are to be.
    """

    def __init__(self, span: Span, sizes: Sizes) -> None:
        self._stop = span.stop
        self._sizes = sizes
        self._size = sizes.first(span.length)
        self._waited, self._sent = 0.0, 0

    def __call__(self, offset: int) -> int:
        """See `RunSize`."""
        # Blocks that begin at multiples of their size never lie across the edge of a segment, here or at the client.
        within = offset % self._size if self._stop - offset > self._size else 0
        return self._size - within

    def sent(self, seconds: float) -> None:
        """Take note that a block took so long to send."""
        self._waited, self._sent = self._waited + seconds, self._sent + 1
        if self._sent == (_SETTLED_BLOCKS if self._sizes.settled else _GROWING_BLOCKS):
            self._size = self._sizes.next(self._waited / self._sent)
            self._waited, self._sent = 0.0, 0


async def runs_of(file: OpenFile, span: Span, sizes: Sizes, patience: Patience) -> AsyncGenerator[Bytes, None]:
    """Yield the bytes of a span in runs that follow the reader's speed: how long it takes until the next one is asked for."""
    run_sizes = _RunSizes(span, sizes)
    async with aclosing(file.read(span, run_sizes)) as runs:
        while (data := await patience.patiently(anext(runs, None))) is not None:
            given = time.monotonic()
            yield data
            run_sizes.sent(time.monotonic() - given)


def unchanged(info: FileInfo) -> Frame:
    """Return the frame that says that a file is still at the revision whose bytes the client has."""
    return Frame(Header(info, info.size, 0), summary=Summary(info.size, at_end=True, crc32c=info.crc32c))


def stopped_short(info: FileInfo, position: int, stop: int) -> DataLossError:
    """Return the error that the store returned fewer bytes than it said it holds."""
    return DataLossError(f"{info.name}: the store stopped at byte {position}, before {stop}", name=info.name, offset=position)


def span_of(wanted: ReadRequest, info: FileInfo) -> Span:
    """Return the bytes of the file that a request means, cut at the file's end.

    Raises:
        StartPastEndError: the request begins beyond the end of the file; at the end is fine.
    """
    if wanted.start > info.size:
        raise StartPastEndError(
            f"{info.name}: asked for the bytes from {wanted.start}, but the file ends at {info.size}",
            name=info.name,
            offset=wanted.start,
        )
    length = info.size - wanted.start if wanted.length is None else wanted.length
    return Span(wanted.start, min(wanted.start + length, info.size))
