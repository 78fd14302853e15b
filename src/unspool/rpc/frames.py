"""What answers a read: an open file and a request in, frames out. Whoever sends them, and however, is somebody else's business.

Rule 1: a small file is one frame. The header travels with the first block, the summary with the last.
Rule 2: the whole file's CRC32C is put together from the blocks that went out, whoever asked for them. What is missing of it
        is read, once per revision, when a client reads to the end of the file without giving a length; a read with a length
        never costs more than its own bytes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Protocol, TypeVar

from unspool.core.checksum import crc32c
from unspool.core.model import Block, Frame, Header, ReadRequest, Span, Summary
from unspool.errors import DataLossError, FileChangedError, ServerError
from unspool.options import ServiceOptions
from unspool.rpc.calls import span_of
from unspool.rpc.checksums import Checksums
from unspool.stores.base import OpenFile

T = TypeVar("T")


class Patience(Protocol):
    """How whoever sends the frames waits for the store."""

    async def patiently(self, awaitable: Awaitable[T]) -> T:
        """Wait for something that is not the client."""
        ...


class FrameMaker:
    """Makes the frames that answer reads, and learns the files' checksums on the way.

    Args:
        checksums: what is known of them.
        options: sizes.
    """

    def __init__(self, checksums: Checksums, options: ServiceOptions) -> None:
        self._checksums = checksums
        self._options = options

    async def frames(self, file: OpenFile, wanted: ReadRequest, patience: Patience) -> AsyncGenerator[Frame, None]:
        """Yield the frames that answer a read.

        Raises:
            FileChangedError: the file is not at the revision wanted, or not any more.
            StartPastEndError: the read begins beyond the end of the file.
            DataLossError: the store returned fewer bytes than it said it holds.
        """
        info = self._checksums.added_to(file.info)
        if wanted.revision is not None and wanted.revision != info.revision:
            raise FileChangedError(
                f"{info.name}: the file changed: it is at revision {info.revision} now, not at {wanted.revision}",
                name=info.name,
            )
        span = span_of(wanted, info)
        block_size = min(wanted.block_size or self._options.block_size, self._options.largest_block)
        header: Header | None = Header(info, span.start, span.length)
        summary = None if span.length else self._summary(file, wanted, span)
        position = span.start
        async with aclosing(file.read(span, block_size)) as runs:
            while (data := await patience.patiently(anext(runs, None))) is not None:
                block = Block(position, data, crc32c(data))
                self._checksums.record(file.info, block)
                position = block.end
                if position == span.stop:
                    summary = self._summary(file, wanted, span)
                yield Frame(header, block, summary)
                header = None
                if summary is not None:
                    return
        if position != span.stop:
            raise DataLossError(
                f"{info.name}: the store stopped at byte {position}, before {span.stop}", name=info.name, offset=position
            )
        if summary is None:
            if header is not None:
                yield Frame(header)
                header = None
            checksum = await patience.patiently(self._learn_checksum(file))
            summary = Summary(span.stop, at_end=True, crc32c=checksum)
        yield Frame(header, summary=summary)

    def _summary(self, file: OpenFile, wanted: ReadRequest, span: Span) -> Summary | None:
        """Return the summary, or None if the checksum has to be learned first (rule 2)."""
        info = self._checksums.added_to(file.info)
        if info.crc32c is None and wanted.length is None:
            return None
        return Summary(span.stop, at_end=span.stop == info.size, crc32c=info.crc32c)

    async def _learn_checksum(self, file: OpenFile) -> int:
        """Read what is missing for the whole file's checksum, and return it."""
        for gap in self._checksums.gaps(file.info):
            position = gap.start
            async with aclosing(file.read(gap, self._options.block_size)) as runs:
                async for data in runs:
                    self._checksums.record(file.info, Block(position, data, crc32c(data)))
                    position += len(data)
        checksum = self._checksums.added_to(file.info).crc32c
        if checksum is None:
            # Forgotten while it was being put together, because very many other files are being read: come back.
            raise ServerError(f"{file.info.name}: its checksum could not be put together", name=file.info.name)
        return checksum
