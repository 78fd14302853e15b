"""Deletes a file, and all files below a prefix.

Rule 1: an answer may be lost after the server has deleted the file. So FILE_NOT_FOUND in answer to a later attempt means that
        it is gone, if an earlier one may have been processed.
Rule 2: of a tree, each file is deleted at the revision that was listed. A file that changed since then stays, and is a failure.
        The whole listing is read first, because a listing that breaks has to begin again from the start.
Rule 3: if one file fails, the others are still deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from unspool.client.endings import ENDS_ALL
from unspool.client.events import Observer
from unspool.client.seams import Seams
from unspool.client.spooledlisting import SpooledListing
from unspool.client.storages import check_writes, writable
from unspool.client.tally import TreeCounts
from unspool.client.tasks import all_done
from unspool.client.transfer import Transfer
from unspool.client.writeresults import DeleteTreeResult
from unspool.core.model import FileInfo, Page
from unspool.core.uploading import DeleteRequest
from unspool.errors import (
    ConnectError,
    NotAFileError,
    NotFoundError,
    OverloadedError,
    TokenRefusedError,
    UnspoolError,
)
from unspool.local.disk import Disk
from unspool.local.spool import ListingSpool
from unspool.options import TransferOptions

_JOBS = 8
"""Files that are deleted at the same time, unless the options say otherwise. A server waits for its disk with each."""

_NOT_PROCESSED = (ConnectError, OverloadedError, TokenRefusedError)
"""Errors of attempts that certainly deleted nothing: the server was not reached, or did not let the call in."""


async def delete(name: str, revision: str | None, transfer: Transfer) -> FileInfo | None:
    """Delete a file; see `Client.delete`."""
    may_be_gone = asked = False
    async for attempt in transfer.attempts():
        with attempt:
            asked = False
            transport = await writable(transfer, name, deletes=True)
            asked = True
            request = DeleteRequest(name, revision, transfer.id, attempt.number)
            try:
                return await transfer.bounded(transport.delete(request), lambda: name)
            except NotFoundError as error:
                if may_be_gone and not isinstance(error, NotAFileError):
                    return None
                raise
        may_be_gone = may_be_gone or (asked and not isinstance(attempt.error, _NOT_PROCESSED))
    raise AssertionError("an attempt that ends well has an answer")


class DeleteTree:
    """Deletes all files below a prefix; see `Client.delete_tree`."""

    def __init__(self, prefix: str, seams: Seams, options: TransferOptions, observer: Observer) -> None:
        self._prefix = prefix
        self._seams = seams
        self._transfer = Transfer(seams, options, observer)
        self._tally = _Tally(observer, self._transfer.id)
        self._jobs = options.jobs or _JOBS
        self._disk = Disk()

    async def run(self) -> DeleteTreeResult:
        """Delete them."""
        clock = self._seams.clock
        started = clock.monotonic()
        check_writes(self._seams.transport)  # before anything is listed
        spool = ListingSpool()
        listed = SpooledListing(self._disk, spool)
        try:
            with self._transfer.observed("delete_tree", self._prefix):
                await listed.fill(self._prefix, self._transfer, self._tally.again, self._choose)
                self._tally.complete()
                queue: asyncio.Queue[FileInfo | None] = asyncio.Queue(self._jobs)
                reader = asyncio.create_task(self._read(listed, queue))
                await all_done([reader, *(asyncio.create_task(self._work(queue)) for _ in range(self._jobs))])
        finally:
            self._disk.close()
            spool.close()
        self._tally.notify()
        return self._tally.result(self._prefix, clock.monotonic() - started)

    def _choose(self, page: Page) -> Sequence[FileInfo]:
        self._tally.omit(page.omitted)
        self._tally.list(page.files)
        return page.files

    async def _read(self, listed: SpooledListing, queue: asyncio.Queue[FileInfo | None]) -> None:
        async with aclosing(listed.some()) as some:
            async for infos in some:
                for info in infos:
                    await queue.put(info)
                self._tally.notify()
        for _ in range(self._jobs):
            await queue.put(None)

    async def _work(self, queue: asyncio.Queue[FileInfo | None]) -> None:
        while (info := await queue.get()) is not None:
            try:
                await delete(info.name, info.revision, self._transfer.beside(self._seams))
            except NotFoundError as error:
                if isinstance(error, NotAFileError):
                    self._tally.fail(info.name, error)
                else:  # somebody else has deleted it since it was listed
                    self._tally.delete(info.size)
            except UnspoolError as error:
                if isinstance(error, ENDS_ALL):
                    raise
                self._tally.fail(info.name, error)
            else:
                self._tally.delete(info.size)


class _Tally(TreeCounts):
    """The counts of a tree that is deleted."""

    def again(self) -> None:
        """Begin to list again."""
        self._begin()

    def list(self, files: Sequence[FileInfo]) -> None:
        """Count files that are to be deleted."""
        self.listed += len(files)
        self._listed_bytes += sum(file.size for file in files)

    def delete(self, size: int) -> None:
        """Count a file that is gone."""
        self._moved += 1
        self._good += size

    def result(self, prefix: str, seconds: float) -> DeleteTreeResult:
        """Return the result."""
        return DeleteTreeResult(
            prefix=prefix,
            files=self.listed,
            size=self._listed_bytes,
            deleted=self._moved,
            failed=self._failed,
            omitted=self._omissions.as_tuple(),
            failures=tuple(self._failures),
            seconds=seconds,
        )
