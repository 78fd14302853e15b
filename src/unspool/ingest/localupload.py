"""One upload into a local directory, while it is open.

Rule 1: one thread at a time uses the part file. Only syncing the data runs beside writing, because it may take long.
Rule 2: the file gets its name in this order: it is made what it is to be and synced, the second journal says that it is about
        to get its name, the condition is checked and the name given under a lock, the directory is synced. A process that dies
        anywhere leaves an upload that is either open or committed, never lost.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from unspool.core.condition import check_condition
from unspool.core.model import Block, FileInfo, Span
from unspool.core.segments import Segment, SegmentTable
from unspool.core.uploading import UploadOpen
from unspool.errors import DataLossError, ServerError, TakenOverError
from unspool.ingest.describing import InOrder, is_settled
from unspool.ingest.refusals import refusing
from unspool.ingest.staging import Staging
from unspool.ingest.target import Targets
from unspool.ingest.uploadfile import UploadFile
from unspool.local.disk import Outcome
from unspool.stores.contents import Content
from unspool.stores.threads import Threads

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Home:
    """What the uploads of an ingester share: its staging directory, the places of files, and its threads."""

    staging: Staging
    targets: Targets
    threads: Threads


class LocalUpload:
    """See `Upload`.

    Args:
        part: the part file, locked and checked. This object closes it.
        opens: what the client said.
        home: what the ingester's uploads share.
        room: called in a worker thread with the size that the part file is to have. Returns up to which size it need not be
            called again, or raises NoSpaceError.
        let_go: called on the event loop when it is closed or taken over.
        left: called in a worker thread with the status of the part file that is left when it is closed.
    """

    def __init__(
        self,
        part: UploadFile,
        opens: UploadOpen,
        home: Home,
        *,
        room: Callable[[int], int],
        let_go: Callable[[LocalUpload], None],
        left: Callable[[os.stat_result], None],
    ) -> None:
        self.taken_over = asyncio.Event()
        self.table = part.table
        self._part = part
        self._opens = opens
        self._staging = home.staging
        self._targets = home.targets
        self._threads = home.threads
        self._room = room
        self._allowed = 0
        self._let_go = let_go
        self._left = left
        self._one = threading.Lock()
        self._syncing = threading.Lock()
        self._sha256 = InOrder() if home.targets.by_content else None
        self._taken = False
        self._closed = False

    def write(self, block: Block) -> Awaitable[None]:
        """See `Upload.write`."""
        return Outcome(self._threads.submit(lambda: self._alone(lambda part: self._write(part, block))))

    def _write(self, part: UploadFile, block: Block) -> None:
        if block.end > self._allowed:
            self._allowed = self._room(block.end)
        part.write(block)
        if self._sha256 is not None:
            self._sha256.add(block)

    async def checksum(self, span: Span) -> int:
        """See `Upload.checksum`."""
        found = await self._run(lambda part: part.checksum_of(span))
        if found is None:
            name = self._opens.name
            raise DataLossError(f"{name}: what was received of it is shorter than it was", name=name, offset=span.start)
        return found

    async def sync(self) -> int:
        """See `Upload.sync`."""
        return await self._threads.run(self._sync)

    async def commit(self, size: int) -> FileInfo:
        """See `Upload.commit`."""
        info = await self._threads.run(lambda: self._commit_alone(size))
        self._let_go(self)
        return info

    def known(self) -> SegmentTable:
        """Return what there is of it now."""
        return self._part.table

    async def give_up(self) -> None:
        """Let another opening have it: the methods raise TakenOverError from now on."""
        self._taken = True
        self.taken_over.set()
        await self.aclose()

    async def aclose(self) -> None:
        """See `Upload.aclose`."""
        closing = self._threads.submit(self._close)
        try:
            await asyncio.shield(asyncio.wrap_future(closing))
        finally:
            if not self._closed:
                self._closed = True
                self._let_go(self)  # not before what was received is in the journal, for those who ask

    async def _run(self, work: Callable[[UploadFile], T]) -> T:
        return await self._threads.run(lambda: self._alone(work))

    def _alone(self, work: Callable[[UploadFile], T]) -> T:
        with self._one, refusing(self._opens.name):
            self._check()
            return work(self._part)

    def _check(self) -> None:
        name = self._opens.name
        if self._taken:
            raise TakenOverError(f"{name}: another stream goes on with this upload", name=name)
        if self._part.descriptor < 0:
            raise ServerError(f"{name}: the upload was closed meanwhile", name=name)

    def _sync(self) -> int:
        with self._syncing:
            written, descriptor = self._alone(lambda part: (part.table.segments, part.descriptor))
            with refusing(self._opens.name):
                os.fdatasync(descriptor)  # the file is not closed before the lock is free
            return self._alone(lambda part: self._note_synced(part, written))

    @staticmethod
    def _note_synced(part: UploadFile, written: dict[int, Segment]) -> int:
        part.write_synced(written)
        return part.synced_bytes

    def _commit_alone(self, size: int) -> FileInfo:
        with self._syncing:  # a sync that ended later would note less
            return self._alone(lambda part: self._commit(part, size))

    def _commit(self, part: UploadFile, size: int) -> FileInfo:
        name, condition = self._opens.name, self._opens.condition
        with self._targets.places() as places:
            there = places.find(name)
            found = None if there is None else there.current()
            check_condition(name, condition, found and found[0])  # so that nothing is made in vain
            checksum = part.checksum(size)
            assert checksum is not None  # the caller has verified the whole
            target = places.made(name)
            content = None if self._sha256 is None else Content(self._sha256.digest(part.descriptor, size), checksum)
            part.prepare(size, target, self._opens.attributes)
            before = os.fstat(part.descriptor)
            settled = is_settled(before)
            with self._staging.locked(name):
                found = target.current()
                check_condition(name, condition, found and found[0])
                part.give_name(target.destination, overwrite=not condition.absent)
            places.sync()
            info = target.written(part.settle(self._staging.done), checksum, content)
            if content is not None and settled:
                target.keep(before, content)
            return info

    def _close(self) -> None:
        with self._syncing, self._one:
            if self._part.descriptor >= 0:
                self._part.close()
                if self._part.left is not None and self._part.left.st_nlink:
                    self._left(self._part.left)
