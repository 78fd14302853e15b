"""What an upload is made of: the source, and the thread that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from unspool.client.events import Rechecked
from unspool.core.model import Block, Span
from unspool.local.disk import Disk
from unspool.local.source import Source

if TYPE_CHECKING:
    from unspool.client.transfer import Transfer

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

    def close(self) -> None:
        """Close the source. Blocks until the last call in the disk's thread has ended."""
        self.source.close()
        self._disk.close()

    def read(self, span: Span) -> Future[Block | None]:
        """Read a block in the disk's thread."""
        return self._disk.submit(partial(self.source.read, span))

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


def _last_of_some(summing: Iterator[tuple[int, int]]) -> tuple[int, int] | None:
    """Take some steps; return the result of the last one, or None if there is none left."""
    last = None
    for _, step in zip(range(_PIECES), summing, strict=False):
        last = step
    return last
