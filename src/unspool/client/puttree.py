"""Uploads a tree.

    the directory -> there already? -> small ones, by the batch -> workers: one stream for each batch
                                    -> large ones, one by one   -> workers: an upload of its own

Rule 1: a file that fails stops no other file. An error that all files would get (the server is gone, or has no space) ends the
        tree.
Rule 2: the number of files in progress is bounded, whatever the size of the tree: the walk waits for the workers. What the
        server lists is kept in a temporary database.
Rule 3: what is skipped is decided in core/uptodate.py. Another run skips what this one has uploaded, and goes on with the rest.
Rule 4: nothing is removed at the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeAlias

from unspool.client.batchedchecksums import add_checksums
from unspool.client.endings import ENDS_UPLOADS
from unspool.client.events import Observer
from unspool.client.hiddennames import HiddenNames
from unspool.client.material import Material
from unspool.client.putbatch import SMALL, Batch
from unspool.client.puttally import PutTally
from unspool.client.seams import Seams
from unspool.client.storages import check_writes
from unspool.client.tally import Relay
from unspool.client.tasks import JOBS, all_done, workers
from unspool.client.transfer import Transfer
from unspool.client.treeresults import TreePreviewPage
from unspool.client.upload import Upload
from unspool.client.verify import stat, with_checksum
from unspool.client.writeresults import PutTreeResult
from unspool.core.filters import Filters
from unspool.core.model import FileInfo, ListRequest, Omission
from unspool.core.tree import below
from unspool.core.uploadid import upload_id
from unspool.core.uploading import Condition
from unspool.core.uptodate import SendNeed, send_need
from unspool.errors import (
    AccessError,
    FileChangedError,
    LocalFileError,
    NotFoundError,
    UnspoolError,
    UnsupportedError,
)
from unspool.local.copy import LocalCopy
from unspool.local.disk import Disk
from unspool.local.listed import Listed
from unspool.local.outcome import Failure
from unspool.local.source import FileSource
from unspool.local.walk import AT_ONCE, FoundFile, Walk, Walked
from unspool.options import MIB, TransferOptions

_BATCH_FILES = 1000
"""Most files of one batch."""

_BATCH_BYTES = 16 * MIB
"""Approximate bytes of one batch. This bounds what a broken stream may have to send again."""

_Item: TypeAlias = tuple[FoundFile, FileInfo | None]
"""A file to upload, and what the server has if the checksums are to be compared."""

_Work: TypeAlias = list[_Item]
"""A batch of small files, or one large one."""


class PutTree:
    """The upload of one tree; see `Client.put_tree`.

    Args:
        directory: the local directory.
        prefix: on the server.
        seams: the outside world.
        options: see `TransferOptions`; `jobs` is the number of batches and large files at the same time.
        observer: notified of the events of the tree.
        key: of the client's uploads.
        filters: which files are wanted.
        checksum: compare the checksums of all files that the server has with the same size.
        condition: what must be at each name.
    """

    def __init__(
        self,
        directory: Path,
        prefix: str,
        seams: Seams,
        options: TransferOptions,
        observer: Observer,
        *,
        key: bytes,
        filters: Filters,
        checksum: bool,
        condition: Condition,
    ) -> None:
        check_writes(seams.transport)  # before anything is read
        self._directory = directory
        self._prefix = prefix
        self._below = below(prefix)
        self._seams = seams
        self._options = options
        self._key = key
        self._filters = filters
        self._checksum = checksum
        self._condition = condition
        self._jobs = options.jobs or JOBS
        self._disk = Disk()
        self._listed: Listed | None = None
        self._one_by_one = False  # the server has no batches
        self._listing = Transfer(seams, options, observer)
        self._hidden = HiddenNames(self._below, self._listing)
        self._observer = observer
        self._tally = PutTally(observer, self._listing.id)

    async def run(self) -> PutTreeResult:
        """Upload the tree."""
        clock = self._seams.clock
        started = clock.monotonic()
        try:
            walk = await self._disk.do(partial(Walk, self._directory))
            self._listed = await self._disk.do(Listed)
            with self._listing.observed("put_tree", self._prefix):
                await self._list(walk)
                queue: asyncio.Queue[_Work | None] = asyncio.Queue(self._jobs)
                finder = asyncio.create_task(self._find(walk, queue))
                working = [asyncio.create_task(work) for work in workers(self._jobs, queue, self._put, self._seams)]
                await all_done([finder, *working])
        finally:
            if self._listed is not None:
                self._disk.submit(self._listed.close)
            self._disk.close()
        self._tally.notify()
        return self._tally.result(self._prefix, str(self._directory), clock.monotonic() - started)

    # What there is

    async def _list(self, walk: Walk) -> None:
        """Remember what the server has below the prefix. Who may write and not list sends everything."""
        async for attempt in self._listing.attempts():
            with attempt:
                async with aclosing(self._pages()) as pages:
                    async for files in pages:
                        await self._disk.do(partial(self._remember, files, walk))
                        attempt.progressed = True

    def _remember(self, files: tuple[FileInfo, ...], walk: Walk) -> None:
        """Remember what is listed, and walk on while the server looks for more, in the disk's thread."""
        assert self._listed is not None
        self._listed.add(files)
        for _ in range(0, len(files), AT_ONCE):
            walk.ahead()

    async def _pages(self) -> AsyncGenerator[tuple[FileInfo, ...], None]:
        try:
            async with aclosing(self._listing.pages(ListRequest(self._prefix, recursive=True))) as pages:
                async for page in pages:
                    yield page.files
        except (NotFoundError, AccessError):
            return

    async def _find(self, walk: Walk, queue: asyncio.Queue[_Work | None]) -> None:
        """Walk through the directory, and give the workers what is to be uploaded."""
        batch: _Work = []
        size = 0
        while found := await self._disk.do(walk.some):
            self._tally.find(found)
            chosen, hidden = await self._chosen(found)
            self._tally.omit(hidden)
            self._tally.list(chosen)
            for file, there, needed in await self._needs_of(chosen):
                if needed is SendNeed.NOTHING:
                    self._tally.keep(file.size)
                    continue
                item = (file, there if needed is SendNeed.COMPARE else None)
                if item[0].size > SMALL:
                    await queue.put([item])
                    continue
                batch.append(item)
                size += item[0].size
                if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
                    await queue.put(batch)
                    batch, size = [], 0
            if batch and queue.empty():  # do not make an idle worker wait
                await queue.put(batch)
                batch, size = [], 0
        self._tally.complete()
        if batch:
            await queue.put(batch)
        for _ in range(self._jobs):
            await queue.put(None)

    async def _chosen(self, found: Walked) -> tuple[list[FoundFile], list[Omission]]:
        """Return the files that are wanted, and those of them that the server does not take."""
        return await self._hidden.divide([file for file in found.files if self._filters.accept(file.name)])

    async def _needs_of(self, files: list[FoundFile]) -> list[tuple[FoundFile, FileInfo | None, SendNeed]]:
        """Return files with what the server has at their names, and what is to be done about them."""
        found = await self._disk.do(partial(self._find_there, files))
        if self._checksum:
            found = await self._with_checksums(found)
        return [(file, there, send_need(file.size, file.modified_ns, there, checksum=self._checksum)) for file, there in found]

    def _find_there(self, files: list[FoundFile]) -> list[_Item]:
        """Return files with what the server has at their names, in the disk's thread."""
        assert self._listed is not None
        there = self._listed.find([self._below + file.name for file in files])
        return [(file, there.get(self._below + file.name)) for file in files]

    async def _with_checksums(self, found: list[_Item]) -> list[_Item]:
        """Ask for the checksums that were not listed: of small files with one stream, of large ones one by one."""
        lacking = [there for file, there in found if there is not None and there.crc32c is None and there.size == file.size]
        summed: dict[str, FileInfo] = {}
        small = [info for info in lacking if info.size <= SMALL]
        if small:
            summed |= {info.name: info for info in await add_checksums(small, self._another())}
        for info in lacking:
            if info.size > SMALL:
                with suppress(UnspoolError):  # then the file is sent, and that says what is wrong
                    summed[info.name] = await with_checksum(info, self._another())
        return [(file, there and summed.get(there.name, there)) for file, there in found]

    def _another(self) -> Transfer:
        return Transfer(self._seams, self._options, self._observer)

    async def preview(self) -> AsyncGenerator[TreePreviewPage, None]:
        """Yield what would be sent, kept, or fail; see `Client.preview_put_tree`."""
        try:
            walk = await self._disk.do(partial(Walk, self._directory))
            self._listed = await self._disk.do(Listed)
            with self._listing.observed("preview_put_tree", self._prefix):
                await self._list(walk)
                while found := await self._disk.do(walk.some):
                    wanted: list[FileInfo] = []
                    kept, failures = 0, list(found.failures)
                    chosen, hidden = await self._chosen(found)
                    for file, there, needed in await self._needs_of(chosen):
                        try:
                            same = needed is SendNeed.NOTHING or (
                                needed is SendNeed.COMPARE and await self._is_same(file, there)
                            )
                        except LocalFileError as error:
                            failures.append(Failure(file.name, error))
                            continue
                        if same:
                            kept += 1
                        else:
                            wanted.append(FileInfo(self._below + file.name, file.size, ""))
                    yield TreePreviewPage(tuple(wanted), kept, tuple(failures), (*found.omitted, *hidden))
        finally:
            if self._listed is not None:
                self._disk.submit(self._listed.close)
            self._disk.close()

    async def _is_same(self, file: FoundFile, there: FileInfo | None) -> bool:
        checksum, _ = await self._disk.do(partial(LocalCopy(Path(file.path), file.path).checksums, Event()))
        return there is not None and checksum == there.crc32c

    # The workers

    async def _put(self, work: _Work, seams: Seams) -> None:
        if work[0][0].size > SMALL:
            await self._put_large(work[0], seams)
        else:
            await self._put_small(work, seams)
        self._tally.notify()

    async def _put_small(self, work: _Work, seams: Seams) -> None:
        """Upload a batch. If the server has no batches, upload the files one by one."""
        left = [file for file, _ in work]
        grown: list[FoundFile] = []
        doubtful: list[tuple[FoundFile, int, int, UnspoolError]] = []
        if not self._one_by_one:
            transfer = Transfer(seams, self._options, self._observer)
            batch = Batch(
                [(file, self._below + file.name, there) for file, there in work],
                transfer,
                self._disk,
                condition=self._condition,
                sent=self._tally.sent,
                kept=self._tally.keep,
                advanced=self._tally.notify,
                failed=lambda file, error: self._tally.fail(file.name, error),
                grown=grown.append,
                doubtful=lambda *one: doubtful.append(one),
            )
            try:
                with transfer.observed("batch", ""):
                    await batch.run()
            except UnsupportedError:
                self._one_by_one = True
            except UnspoolError as error:
                if isinstance(error, ENDS_UPLOADS):
                    raise
            finally:
                self._tally.add_sent(transfer.tally.bytes_sent, transfer.tally.by_server)
            left = batch.left
        for file in (*left, *grown):
            await self._put_large((file, None), seams)
        for one in doubtful:
            await self._settle(*one, seams)

    async def _settle(self, file: FoundFile, size: int, checksum: int, error: UnspoolError, seams: Seams) -> None:
        """Count a file that was to be absent and is there: if it has our bytes, we have written it, and the answer was lost."""
        transfer = Transfer(seams, self._options, self._observer)
        name = self._below + file.name
        with suppress(NotFoundError, AccessError, FileChangedError):
            info = await with_checksum(await stat(name, transfer), transfer)
            if (info.size, info.crc32c) == (size, checksum):
                self._tally.sent(size)
                return
        self._tally.fail(file.name, error)

    async def _put_large(self, item: _Item, seams: Seams) -> None:
        """Upload a file with an upload of its own."""
        file, there = item
        name = self._below + file.name
        transfer = Transfer(seams, self._options, Relay(file.name, self._tally, self._observer))
        try:
            source = await self._disk.do(partial(FileSource, Path(file.path)))
            material = Material(source, transfer)
            try:
                with transfer.observed("put", name):
                    result = await Upload(
                        name,
                        material,
                        transfer,
                        partial(upload_id, self._key, name, source.size, source.attributes.modified_ns or 0),
                        condition=self._condition,
                        attributes=self._options.kept(source.attributes),
                        path=file.path,
                        look=there is not None,
                    ).run()
            finally:
                await asyncio.to_thread(material.close)
        except UnspoolError as error:
            if isinstance(error, ENDS_UPLOADS):
                raise
            self._tally.forget(file.name)
            self._tally.fail(file.name, error)
        else:
            self._tally.forget(file.name)
            (self._tally.keep if result.already_there else self._tally.sent)(result.size)
        finally:
            self._tally.add_sent(transfer.tally.bytes_sent, transfer.tally.by_server)
