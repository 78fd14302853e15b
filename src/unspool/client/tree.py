"""Fetches a tree.

    listing -> here already? -> small ones, by the batch  -> workers: one stream for each batch       -> the disk
                             -> large ones, one by one    -> workers: a download with its own journal -> the disk

Rule 1: a file that fails stops no other file. An error that all files would get (the server is gone, the disk is full) ends the
        tree.
Rule 2: the number of files in progress is bounded, whatever the size of the tree: the listing waits for the workers, and the
        workers wait for the disk.
Rule 3: the disk is used by one thread, one call at a time, with many files in each call. Small files get their names in groups;
        a timer ensures that none waits for long.
Rule 4: if a listing breaks, the files listed so far are fetched, and it is started again from the beginning. Files that are
        here by then are skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import aclosing, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from unspool.client.clock import Timer
from unspool.client.endings import ENDS_ALL
from unspool.client.events import Observer, Restarting
from unspool.client.seams import Seams
from unspool.client.tally import Relay, TreeTally
from unspool.client.tasks import JOBS, all_done, workers
from unspool.client.transfer import Transfer
from unspool.core.filters import Filters
from unspool.core.model import FileInfo, ListRequest, Page
from unspool.core.tree import below
from unspool.errors import (
    FileChangedError,
    LocalFileError,
    UnspoolError,
    UnsupportedError,
)
from unspool.local.disk import Disk
from unspool.local.oserrors import ends_everything
from unspool.local.outcome import GROUP_SECONDS, SMALL, Outcome, ReceivedFile, Wanted
from unspool.options import MIB, TransferOptions

if TYPE_CHECKING:
    from unspool.client.treeresults import TreeResult
    from unspool.local.tree import TreeDestination

_BATCH_FILES = 1000
"""Most files of one batch: as many as a server accepts by default."""

_BATCH_BYTES = 16 * MIB
"""Approximate bytes of one batch. This bounds what a broken stream may have to send again, and what a slow one delays."""

_Work: TypeAlias = list[Wanted]
"""A batch of small files, or one large one."""


async def get_tree(
    prefix: str,
    destination: Path,
    seams: Seams,
    options: TransferOptions,
    observer: Observer,
    *,
    filters: Filters,
    record: Path | bool,
    checksum: bool,
) -> TreeResult:
    """Fetch all files below a prefix into a directory; see `Client.get_tree`."""
    tree = _Tree(prefix, destination, seams, options, observer, filters=filters, record=record, checksum=checksum)
    try:
        return await tree.run()
    finally:
        tree.close()


class _Tree:
    def __init__(
        self,
        prefix: str,
        path: Path,
        seams: Seams,
        options: TransferOptions,
        observer: Observer,
        *,
        filters: Filters,
        record: Path | bool,
        checksum: bool,
    ) -> None:
        self._prefix = prefix
        self._filters = filters
        self._path = path
        self._seams = seams
        self._options = options
        self._observer = observer
        self._record = record
        self._checksum = checksum
        self._destination: TreeDestination | None = None  # until the listing has begun
        self._disk = Disk()
        self._jobs = options.jobs or JOBS
        self._listing = Transfer(seams, options, observer)
        self._tally = TreeTally(observer, self._listing.id)
        self._one_by_one = False  # the server does not support batches
        self._elsewhere: list[Wanted] = []
        self._timer: Timer | None = None  # runs while there may be files without names
        self._naming: list[Future[Outcome]] = []

    async def run(self) -> TreeResult:
        """Fetch the tree."""
        started = self._seams.clock.monotonic()
        with self._listing.observed("get_tree", self._prefix):
            await self._rounds()
        return self._tally.result(self._prefix, str(self._path), self._seams.clock.monotonic() - started)

    async def _rounds(self) -> None:
        async for attempt in self._listing.attempts():
            broken = await self._round()  # a worker's error ends the tree: the worker has retried already
            with attempt:
                if broken is not None:
                    raise broken
            attempt.progressed = self._tally.fetched > 0
            if attempt.error is not None and self._is_open:
                self._tally.again()
                await self._disk.do(self._there.begin_again)

    def close(self) -> None:
        """Name the complete files. Blocks until the disk is done, so that nothing is left running."""
        if self._timer is not None:
            self._timer.cancel()
        self._disk.close()
        if self._is_open:
            with suppress(LocalFileError):  # the first error is the one to report
                self._there.finish()
            self._there.close()

    @property
    def _there(self) -> TreeDestination:
        assert self._destination is not None
        return self._destination

    @property
    def _is_open(self) -> bool:
        return self._destination is not None and self._destination.is_open

    # The listing

    async def _round(self) -> UnspoolError | None:
        """Fetch the files of one listing; return the error that broke it, if any. The files listed before that are here."""
        queue: asyncio.Queue[_Work | None] = asyncio.Queue(self._jobs)
        lister = asyncio.create_task(self._list(queue))
        working = [asyncio.create_task(work) for work in workers(self._jobs, queue, self._fetch, self._seams)]
        await all_done([lister, *working])
        broken = lister.result()
        await self._wait_for_disk(None)
        if self._is_open:
            self._add_outcome(await self._disk.do(self._there.finish))
        while self._elsewhere:
            await self._fetch_large(self._elsewhere.pop(), self._seams)
        self._tally.notify()
        return broken

    async def _list(self, queue: asyncio.Queue[_Work | None]) -> UnspoolError | None:
        """Compare all listed files with the local ones; return the error that broke the listing, if it is retryable."""
        batch: _Work = []
        size = 0
        broken = None
        async with aclosing(self._listing.pages(ListRequest(self._prefix, recursive=True))) as pages:
            coming = asyncio.create_task(self._next(pages))
            try:
                await self._disk.do(self._load)
                while True:
                    page, broken = await coming
                    if page is None:
                        break
                    await self._open_once()
                    self._tally.omit(page.omitted)
                    chosen = self._filters.select(page.files, below(self._prefix))
                    looked = await self._disk.do(partial(self._there.look, map(self._as_kept, chosen)))
                    self._add_outcome(looked)
                    if page.prefixes and not self._filters:
                        self._add_outcome(await self._disk.do(partial(self._there.make_directories, page.prefixes)))
                    # One page ahead of the workers, so that the totals are known before the last page's files are here.
                    coming = asyncio.create_task(self._next(pages))
                    for wanted in looked.wanted:
                        if wanted.info.size > SMALL:
                            await queue.put([wanted])
                            continue
                        batch.append(wanted)
                        size += wanted.info.size
                        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
                            await queue.put(batch)
                            batch, size = [], 0
                    if batch and queue.empty():  # do not make an idle worker wait for the next page
                        await queue.put(batch)
                        batch, size = [], 0
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
        if broken is None:
            await self._open_once()  # an empty tree makes its directory too
        if batch:
            await queue.put(batch)
        for _ in range(self._jobs):
            await queue.put(None)
        return broken

    def _as_kept(self, info: FileInfo) -> FileInfo:
        """Return a file's description with only those attributes that the local file should get."""
        kept = self._options.kept(info.attributes)
        return info if kept is info.attributes else replace(info, attributes=kept)

    async def _next(self, pages: AsyncGenerator[Page, None]) -> tuple[Page | None, UnspoolError | None]:
        """Return the next page; or None, and the error that broke the listing, if there is one and it is retryable."""
        try:
            page = await anext(pages, None)
        except UnspoolError as error:
            if not error.retryable:
                raise
            return None, error
        if page is None:
            self._tally.complete()
        return page, None

    def _load(self) -> None:
        """Load what the files need, in the disk's thread: the first page is on its way meanwhile. Takes 5 ms."""
        from unspool.client import batches, treeresults  # noqa: PLC0415, F401 - as the docstring says
        from unspool.local.tree import TreeDestination  # noqa: PLC0415

        if self._destination is None:
            self._destination = TreeDestination(
                self._path,
                self._prefix,
                overwrite=self._options.overwrite,
                resume=self._options.resume,
                reread=self._checksum,
                record=self._record,
                source=self._seams.transport.source,
            )

    async def _open_once(self) -> None:
        if not self._is_open:
            await self._disk.do(self._there.open)

    # The workers

    async def _fetch(self, work: _Work, seams: Seams) -> None:
        if work[0].info.size > SMALL:
            await self._fetch_large(work[0], seams)
        else:
            await self._fetch_small(work, seams)

    async def _fetch_small(self, work: _Work, seams: Seams) -> None:
        """Fetch a batch. If the server does not support batches or refuses this one, fetch the remaining files one by one."""
        from unspool.client.batches import FILES, fetch_batch  # noqa: PLC0415 - see `_load`

        left = {id(one): one for one in work}
        fetch_again: list[Wanted] = []
        if not self._one_by_one:
            transfer = Transfer(seams, self._options, self._observer)
            writing: Future[Outcome] | None = None
            try:
                with transfer.observed("batch", ""):
                    async with aclosing(fetch_batch(work, transfer, FILES)) as batch:
                        async for finished in batch:
                            for arrived in finished.arrived:
                                del left[id(arrived.wanted)]
                            for wanted, error in finished.failed:
                                del left[id(wanted)]
                                self._fail_or_fetch_again(wanted, error, fetch_again, transfer.id)
                            await self._wait_for_disk(writing)
                            writing = self._hand_over(finished.arrived)
            except UnsupportedError:
                self._one_by_one = True
            except UnspoolError as error:
                if self._ends_all(error):
                    raise
            finally:
                self._count(transfer)
            await self._wait_for_disk(writing)
        for one in left.values():
            await self._fetch_alone(one, seams, fetch_again)
        for one in fetch_again:
            await self._fetch_large(one, seams)

    async def _fetch_alone(self, wanted: Wanted, seams: Seams, fetch_again: list[Wanted]) -> None:
        """Fetch a small file with its own stream."""
        from unspool.client.batches import SmallFile  # noqa: PLC0415 - see `_load`

        transfer = Transfer(seams, self._options, self._observer)
        small = SmallFile(wanted, transfer.id)
        try:
            with transfer.observed("get", wanted.info.name):
                async with aclosing(transfer.blocks(small.receiver)) as blocks:
                    async for block in blocks:
                        small.add(block)
                arrived = small.received()
        except UnspoolError as error:
            if self._ends_all(error):
                raise
            self._fail_or_fetch_again(wanted, error, fetch_again, transfer.id)
        else:
            await self._wait_for_disk(self._hand_over([arrived]))
        finally:
            self._count(transfer)

    async def _fetch_large(self, wanted: Wanted, seams: Seams) -> None:
        """Fetch a file with its own download: a large one, or one that changed since it was listed."""
        from unspool.client.download import download  # noqa: PLC0415 - loads in 5 ms, and many trees have no large file

        name = wanted.info.name
        # If the number of streams is given, this download is one of them.
        options = self._options if self._options.jobs is None else replace(self._options, jobs=1)
        try:
            destination = await self._disk.open(partial(self._there.open_file, wanted))
            with closing(destination):
                result = await download(name, lambda: destination, seams, options, Relay(name, self._tally, self._observer))
        except UnspoolError as error:
            if self._ends_all(error):
                raise
            self._tally.fail(name, error)
        else:
            await self._disk.do(partial(self._there.record_file, wanted, result.revision, result.crc32c))
            self._tally.add_download(result)
        finally:
            self._tally.forget(name)

    def _fail_or_fetch_again(self, wanted: Wanted, error: UnspoolError, fetch_again: list[Wanted], transfer_id: str) -> None:
        """Add a failure, or a file to be fetched again because it changed since it was listed."""
        if isinstance(error, FileChangedError) and self._options.on_change == "restart":
            self._observer.notify(Restarting(error, 0.0, transfer_id))
            fetch_again.append(wanted)
        else:
            self._tally.fail(wanted.info.name, error)

    def _count(self, transfer: Transfer) -> None:
        """Add the bytes that a transfer received."""
        self._tally.add_received(transfer.tally.bytes_received, transfer.tally.by_server, transfer.without)

    def _ends_all(self, error: UnspoolError) -> bool:
        return isinstance(error, ENDS_ALL) or (isinstance(error, LocalFileError) and ends_everything(error))

    # The disk

    def _hand_over(self, arrived: list[ReceivedFile]) -> Future[Outcome] | None:
        """Have the disk's thread write the files that arrived, while more arrive."""
        if not arrived:
            return None
        self._tally.add_arrived(arrived)
        if self._timer is None:
            self._timer = self._seams.clock.call_later(GROUP_SECONDS, self._name_in_time)
        return self._disk.submit(partial(self._there.write, arrived))

    def _name_in_time(self) -> None:
        """Give names to files that would otherwise wait too long for a full group."""
        self._timer = None
        self._naming.append(self._disk.submit(self._there.name_staged))

    async def _wait_for_disk(self, writing: Future[Outcome] | None) -> None:
        """Wait for the calls in the disk's thread, and add their outcomes."""
        named, self._naming = self._naming, []
        for doing in (*named, writing):
            if doing is not None:
                self._add_outcome(await asyncio.wrap_future(doing))

    def _add_outcome(self, outcome: Outcome) -> None:
        self._elsewhere += outcome.elsewhere
        self._tally.add(outcome)
