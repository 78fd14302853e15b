"""Answers reads: turns an open file and a request into frames. The caller sends them.

Rule 1: a small file is one frame. The header travels with the first block, the summary with the last.
Rule 2: the CRC32C of the whole file is combined from those of the blocks sent, by any read. If a client reads to the end of the
        file without giving a length, the missing parts are read too, once per revision. A read with a length never reads more
        than its own bytes.
Rule 3: a file that is not steady may have other bytes at the next read, so checksums learned by one read are used by that read
        only.
Rule 4: the SHA-256 of the whole file is computed only if the read asks for it, and before its header.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from unspool.answers.checksums import Checksums
from unspool.answers.digests import Digests
from unspool.answers.kept import KeptChecksums
from unspool.answers.patience import AsWanted, Patience, Sizes
from unspool.answers.spans import span_of, stopped_short_error
from unspool.core.checksum import crc32c
from unspool.core.model import Block, Bytes, FileInfo, Frame, Header, ReadRequest, Span, Summary
from unspool.errors import ServerError
from unspool.options import ServiceOptions
from unspool.stores.base import AtOnce, OpenFile
from unspool.stores.revisions import check_revision

_GROWING_BLOCKS = 8
"""Blocks of one size before the size may grow. A fast client gets the largest blocks after 8 MiB. Fewer blocks would measure
nothing: flow control windows and buffers hold a few MiB, which look as if the client had read them."""

_LARGEST_BLOCKS = 16
"""Blocks of one size before the size may change, once it has reached its largest."""


class FrameMaker:
    """Makes the frames that answer reads, and collects the checksums of the files on the way.

    Args:
        checksums: the checksums known so far.
        options: block sizes.
        kept: the file that keeps SHA-256s; None keeps none.
    """

    def __init__(self, checksums: Checksums, options: ServiceOptions, kept: KeptChecksums | None = None) -> None:
        self._checksums = checksums
        self._digests = Digests(options.block_size, kept)
        self._options = options

    def at_once(self, store: AtOnce, wanted: ReadRequest, sizes: Callable[[int], Sizes] = AsWanted) -> Frame | None:
        """Return the only frame that answers a read, if it needs no waiting and is one block; else None.

        Raises:
            FileChangedError: the file is at another revision than the one asked for, or has changed meanwhile.
        """
        if wanted.sha256:
            return None
        largest = sizes(min(wanted.block_size or self._options.block_size, self._options.largest_block)).first(
            self._options.block_size if wanted.length is None else wanted.length
        )
        found = store.read_at_once(wanted.name, wanted.start, wanted.length, largest)
        if found is None:
            return None
        info, data = found
        check_revision(info, wanted.revision)
        known = self._checksums.added_to(info)
        block = Block(wanted.start, data, crc32c(data))
        self._checksums.record(info, block)
        summary = _summary(self._checksums, info, wanted, Span(block.offset, block.end))
        return None if summary is None else Frame(Header(known, block.offset, len(data)), block, summary)

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
            wanted: the request.
            patience: how to wait for the store.
            sizes: called with the largest block wanted; returns the sizes to use.

        Raises:
            FileChangedError: the file has changed since it was opened.
            StartPastEndError: the read begins beyond the end of the file.
            DataLossError: the store returned fewer bytes than it said it holds.
        """
        info = self._checksums.added_to(file.info)
        span = span_of(wanted, info)
        size = sizes(min(wanted.block_size or self._options.block_size, self._options.largest_block))
        remembered = info.crc32c is not None or await patience.patiently(file.steady())
        checksums = self._checksums if remembered else Checksums()
        if wanted.sha256:
            digests = self._digests if remembered else Digests(self._options.block_size)
            digest = await patience.patiently(digests.sha256(file, checksums, patience))
            info = replace(checksums.added_to(file.info), sha256=digest)
        header: Header | None = Header(info, span.start, span.length)
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
            raise stopped_short_error(info, position, span.stop)
        if summary is None:
            if header is not None:
                yield Frame(header)
                header = None
            checksum = await patience.patiently(self._learn_checksum(file, checksums))
            summary = Summary(span.stop, at_end=True, crc32c=checksum)
        yield Frame(header, summary=summary)

    async def _learn_checksum(self, file: OpenFile, checksums: Checksums) -> int:
        """Read the parts of the file whose checksums are missing; return the checksum of the whole file."""
        for gap in checksums.gaps(file.info):
            position = gap.start
            async with aclosing(file.read(gap, lambda _: self._options.block_size)) as runs:
                async for data in runs:
                    checksums.record(file.info, Block(position, data, crc32c(data)))
                    position += len(data)
                    await asyncio.sleep(0)  # reads from memory do not yield to the event loop
        checksum = checksums.added_to(file.info).crc32c
        if checksum is None:
            # The cache dropped its parts because very many other files are being read. The client may retry.
            raise ServerError(f"{file.info.name}: its checksum could not be computed", name=file.info.name)
        return checksum


def _summary(checksums: Checksums, info: FileInfo, wanted: ReadRequest, span: Span) -> Summary | None:
    """Return the summary, or None if the checksum must be completed first (rule 2)."""
    info = checksums.added_to(info)
    if info.crc32c is None and wanted.length is None:
        return None
    return Summary(span.stop, at_end=span.stop == info.size, crc32c=info.crc32c)


class _RunSizes:
    """The lengths of the runs of one read. They follow the client's speed, which is measured over a number of blocks.

    Args:
        span: the bytes to read.
        sizes: the block sizes.
    """

    def __init__(self, span: Span, sizes: Sizes) -> None:
        self._stop = span.stop
        self._sizes = sizes
        self._size = sizes.first(span.length)
        self._waited, self._sent = 0.0, 0

    def __call__(self, offset: int) -> int:
        """See `RunSize`."""
        # A block that begins at a multiple of its size never crosses a segment boundary, here or at the client.
        within = offset % self._size if self._stop - offset > self._size else 0
        return self._size - within

    def sent(self, seconds: float) -> None:
        """Record how long a block took to send."""
        self._waited, self._sent = self._waited + seconds, self._sent + 1
        if self._sent == (_LARGEST_BLOCKS if self._sizes.at_largest else _GROWING_BLOCKS):
            self._size = self._sizes.next(self._waited / self._sent)
            self._waited, self._sent = 0.0, 0


async def runs_of(file: OpenFile, span: Span, sizes: Sizes, patience: Patience) -> AsyncGenerator[Bytes, None]:
    """Yield a span in runs whose lengths follow the client's speed, measured as the time until the next run is requested."""
    run_sizes = _RunSizes(span, sizes)
    async with aclosing(file.read(span, run_sizes)) as runs:
        while (data := await patience.patiently(anext(runs, None))) is not None:
            given = time.monotonic()
            yield data
            run_sizes.sent(time.monotonic() - given)


def unchanged(info: FileInfo) -> Frame:
    """Return the frame for a file that is still at the revision whose bytes the client has."""
    return Frame(Header(info, info.size, 0), summary=Summary(info.size, at_end=True, crc32c=info.crc32c))
