"""Compares a local directory with the server's files below a prefix.

Rule 1: the whole listing is read first, into a temporary file. Comparing may take hours, and a listing that breaks has to begin
        again from the start.
Rule 2: a file is the server's only if the bytes read now match the checksum that the server has now. The local record counts
        for nothing.
Rule 3: if one file differs, the others are still compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

from unspool.client.batchedchecksums import add_checksums
from unspool.client.endings import ENDS_ALL
from unspool.client.events import Observer
from unspool.client.seams import Seams
from unspool.client.spooledlisting import SpooledListing
from unspool.client.tally import TreeTally
from unspool.client.tasks import JOBS, all_done
from unspool.client.transfer import Transfer
from unspool.client.treeresults import TreeVerification
from unspool.client.verify import compare, verify
from unspool.core.filters import Filters
from unspool.core.model import FileInfo, Page
from unspool.core.tree import below
from unspool.errors import FileChangedError, FileMismatchError, LocalFileError, UnspoolError
from unspool.local.copy import LocalCopy
from unspool.local.disk import Disk
from unspool.local.outcome import SMALL, Outcome
from unspool.local.preview import Seen, TreePreview
from unspool.local.spool import ListingSpool
from unspool.options import TransferOptions

_WAITING = 500
"""Files that have been looked up on the disk and wait to be compared: a few hundred KiB."""


async def verify_tree(
    prefix: str,
    directory: Path,
    seams: Seams,
    options: TransferOptions,
    observer: Observer,
    *,
    filters: Filters,
    sha256: bool,
) -> TreeVerification:
    """Compare all files below a prefix with those in a directory; see `Client.verify_tree`."""
    listing = Transfer(seams, options, observer)
    run = _Verification(prefix, directory, listing, filters=filters, sha256=sha256)
    started = seams.clock.monotonic()
    try:
        with listing.observed("verify_tree", prefix):
            await run.open()
            await run.list()
            await run.compare_all()
    finally:
        run.close()
    return run.result(seams.clock.monotonic() - started)


class _Verification:
    def __init__(self, prefix: str, directory: Path, listing: Transfer, *, filters: Filters, sha256: bool) -> None:
        self._prefix = prefix
        self._directory = directory
        self._listing = listing
        self._filters = filters
        self._sha256 = sha256
        self._tally = TreeTally(listing.observer, listing.id)
        self._jobs = listing.options.jobs or JOBS
        self._disk = Disk()
        self._undo = ExitStack()

    async def open(self) -> None:
        """Open the directory, and a temporary file."""
        await self._disk.do(self._open)

    def _open(self) -> None:
        source = self._listing.seams.transport.source
        self._preview = TreePreview(self._directory, self._prefix, record=False, source=source)
        self._undo.callback(self._preview.close)
        if not self._preview.is_there:
            raise LocalFileError(f"{self._directory}: there is no such directory")
        spool = ListingSpool()
        self._undo.callback(spool.close)
        self._listed = SpooledListing(self._disk, spool)

    def close(self) -> None:
        """Close both. Blocks until the disk is done, so that nothing is left running."""
        self._disk.close()
        self._undo.close()

    async def list(self) -> None:
        """Read the listing."""
        await self._listed.fill(self._prefix, self._listing, self._tally.again, self._choose)
        self._tally.complete()

    def _choose(self, page: Page) -> Sequence[FileInfo]:
        self._tally.omit(page.omitted)
        chosen = self._filters.select(page.files, below(self._prefix))
        self._tally.add(Outcome(listed=len(chosen), listed_bytes=sum(max(info.size, 0) for info in chosen)))
        return chosen

    async def compare_all(self) -> None:
        """Compare every listed file, several at a time."""
        queue: asyncio.Queue[Seen | None] = asyncio.Queue(_WAITING)
        workers = [asyncio.create_task(self._work(queue)) for _ in range(self._jobs)]
        await all_done([asyncio.create_task(self._look(queue)), *workers])

    async def _look(self, queue: asyncio.Queue[Seen | None]) -> None:
        """Put each listed file into the queue, with what is at its place here."""
        async with aclosing(self._listed.some()) as some:
            async for infos in some:
                out = Outcome()
                found = await self._disk.do(partial(self._see, infos, out))
                self._tally.add(out)
                for seen in found if self._sha256 else await self._with_checksums(found):
                    await queue.put(seen)
        for _ in range(self._jobs):
            await queue.put(None)

    def _see(self, infos: Sequence[FileInfo], out: Outcome) -> Sequence[Seen]:
        return tuple(self._preview.see(infos, out))

    async def _with_checksums(self, found: Sequence[Seen]) -> Sequence[Seen]:
        """Add the checksums of small files that the listing had none of."""
        lacking = [seen.info for seen in found if seen.copy and seen.info.crc32c is None and seen.info.size <= SMALL]
        if not lacking:
            return found
        summed = {info.name: info for info in await add_checksums(lacking, self._another())}
        return [replace(seen, info=summed.get(seen.info.name, seen.info)) for seen in found]

    def _another(self) -> Transfer:
        return Transfer(self._listing.seams, self._listing.options, self._listing.observer)

    async def _work(self, queue: asyncio.Queue[Seen | None]) -> None:
        while (seen := await queue.get()) is not None:
            try:
                await self._compare(seen)
            except UnspoolError as error:
                if isinstance(error, ENDS_ALL):
                    raise
                self._tally.fail(seen.info.name, error)
                self._tally.notify()
            else:
                self._tally.add(Outcome(fetched=1, fetched_bytes=seen.info.size))

    async def _compare(self, seen: Seen) -> None:
        """Compare one file. Raises UnspoolError unless it has the server's bytes."""
        name = seen.info.name
        path = self._directory / str(seen.path)
        if seen.copy is None:
            raise FileMismatchError(f"{path}: {'is a symbolic link' if seen.occupied else 'is missing'}", name=name)
        copy = LocalCopy(path, path)  # by its path: the descriptor of its directory is closed by now
        transfer = self._another()
        with transfer.observed("verify", name):
            try:
                await compare(seen.info, copy, transfer, sha256=self._sha256)
            except FileChangedError:  # since it was listed
                await verify(name, copy, transfer, sha256=self._sha256)

    def result(self, seconds: float) -> TreeVerification:
        """Return what was found."""
        tree = self._tally.result(self._prefix, str(self._directory), seconds)
        return TreeVerification(
            prefix=tree.prefix,
            path=tree.path,
            files=tree.files,
            size=tree.size,
            same=tree.fetched,
            failed=tree.failed,
            left_out=tree.left_out,
            omitted=tree.omitted,
            failures=tree.failures,
            seconds=seconds,
        )
