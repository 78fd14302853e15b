"""What an upload is made of: the source, and the thread that reads it.

Rule 1: bytes in the page cache are read on the event loop, as a server reads them (decision 0016): that costs less than waking
        a thread, and all blocks share one buffer. From the first block that is not there, the thread reads, one block ahead.
Rule 2: one read at a time uses the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from unspool.client.events import Rechecked
from unspool.core.model import Block, Span
from unspool.local.disk import Disk, Outcome
from unspool.local.source import Source

if TYPE_CHECKING:
    from unspool.client.transfer import Transfer

_AHEAD = 16
"""Blocks that the thread reads ahead before the page cache is tried again."""

_PIECES = 16
"""Pieces of a span that are summed in one call to the disk's thread: a cancelled caller waits for at most 16 MiB."""


class Material:
    """What an upload is made of: the source, and the thread that reads it.

    Args:
        source: opened; closed with this.
        transfer: is notified while the source is read again.
    """

    def __init__(self, source: Source, transfer: Transfer) -> None:
        self.source = source
        self._transfer = transfer
        self._disk = Disk()
        self._last: Future[Block | None] | None = None

    def close(self) -> None:
        """Close the source. Blocks until the last call in the disk's thread has ended."""
        self.source.close()
        self._disk.close()

    def read(self, span: Span) -> Future[Block | None]:
        """Read a block in the disk's thread."""
        self._last = self._disk.submit(partial(self.source.read, span))
        return self._last

    def read_at_once(self, span: Span) -> Block | None:
        """Return a block that needs no waiting, else None. Its data is good until the next call."""
        if self._last is not None and not self._last.done():  # of a stream that broke
            return None
        return self.source.read_at_once(span)

    async def check(self) -> None:
        """Raise SourceChangedError if the source is not what it was."""
        await self._disk.do(self.source.check)

    async def checksums(self, spans: list[Span], before: int = 0) -> list[int]:
        """Return the CRC32C of each span. Notifies the observer of the bytes summed, in addition to `before`."""
        checksums = []
        for span in spans:
            summing = self.source.summed(span)
            length = checksum = 0
            while (step := await self._disk.do(partial(_last_of_some, summing))) is not None:
                length, checksum = step
                self._transfer.observer.notify(Rechecked(before + length, 0, self._transfer.id))
            before += span.length
            checksums.append(checksum)
        return checksums

    async def checksum(self, size: int) -> int:
        """Return the CRC32C of the whole file; what was not read yet is read for it."""
        known = await self._disk.do(self.source.checksum)
        return (await self.checksums([Span(0, size)]))[0] if known is None else known


class Blocks:
    """The blocks that one stream sends.

    Args:
        material: has the bytes.
    """

    def __init__(self, material: Material) -> None:
        self._material = material
        self._ahead: Future[Block | None] | None = None
        self._left = 0  # how many are to be read ahead

    async def next(self, span: Span) -> Block | None:
        """Return the block that was read ahead, or that of a span; None at the end. Its data is good until the next call."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            block = self._material.read_at_once(span)
            if block is not None:
                return block
            self._left = _AHEAD
            ahead = self._material.read(span)
        return await Outcome(ahead)

    def read_ahead(self, span: Span | None) -> None:
        """Begin to read the next block, if it may have to be waited for."""
        if self._left and span is not None:
            self._left -= 1
            self._ahead = self._material.read(span)


def _last_of_some(summing: Iterator[tuple[int, int]]) -> tuple[int, int] | None:
    """Take some steps; return the result of the last one, or None if there is none left."""
    last = None
    for _, step in zip(range(_PIECES), summing, strict=False):
        last = step
    return last
