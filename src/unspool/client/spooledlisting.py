"""A listing that is read as a whole before it is worked on: a server keeps none open for as long as that may take."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial

from unspool.client.transfer import Transfer
from unspool.core.model import FileInfo, ListRequest, Page
from unspool.local.disk import Disk
from unspool.local.spool import ListingSpool

_AT_ONCE = 500
"""Files that are read from the disk at once: a fraction of a second, and a few hundred KiB."""


class SpooledListing:
    """All files below a prefix, in a temporary file.

    Args:
        disk: the thread that reads and writes it.
        spool: the temporary file. The caller closes it.
    """

    def __init__(self, disk: Disk, spool: ListingSpool) -> None:
        self._disk = disk
        self._spool = spool

    async def fill(
        self, prefix: str, transfer: Transfer, begin: Callable[[], object], choose: Callable[[Page], Sequence[FileInfo]]
    ) -> None:
        """Read the listing; if it breaks, again from the start.

        Args:
            prefix: the prefix.
            transfer: makes the attempts.
            begin: called when the listing begins, or begins again.
            choose: called with each page; returns the files to keep.
        """
        async for attempt in transfer.attempts():
            with attempt:
                begin()
                await self._disk.do(self._spool.clear)
                async with aclosing(transfer.pages(ListRequest(prefix, recursive=True))) as pages:
                    async for page in pages:
                        await self._disk.do(partial(self._spool.add, choose(page)))

    async def some(self) -> AsyncGenerator[Sequence[FileInfo], None]:
        """Yield the files, a few hundred at once."""
        await self._disk.do(self._spool.rewind)
        while infos := await self._disk.do(partial(self._spool.read, _AT_ONCE)):
            yield infos
