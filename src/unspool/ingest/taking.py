"""Takes one stream of an upload: its messages go in, and the bytes go to an ingester. It knows nothing of gRPC.

Rule 1: while a block is written, the next one is verified, and no further one. So memory is bounded, and a slow disk slows the
        client down.
Rule 2: what was received is made durable every so many bytes, and so long after a byte, while more is received.
Rule 3: however a stream ends, what was received of the upload is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

from unspool.core.acceptor import Acceptor, good_spans
from unspool.core.model import Block, FileInfo, Span
from unspool.core.segments import SegmentTable
from unspool.core.uploading import (
    GoodSpan,
    UploadCommit,
    UploadCommitted,
    UploadIdentity,
    UploadOpen,
    UploadOpened,
    UploadProgress,
    UploadState,
)
from unspool.errors import FileMismatchError, TakenOverError, UnspoolError
from unspool.ingest.base import Ingester, Known, Upload
from unspool.options import ServiceOptions


class Taking:
    """One stream of an upload. Use it as an async context manager: at the end, the upload is let go of.

    Args:
        ingester: gets the bytes.
        owner: the principal, "" if callers are not identified.
        options: sizes and intervals.
        tell: called with the progress, now and then.
        interrupt: called when `check` has something to raise.
    """

    def __init__(
        self,
        ingester: Ingester,
        owner: str,
        options: ServiceOptions,
        *,
        tell: Callable[[UploadProgress], Awaitable[None]],
        interrupt: Callable[[], None],
    ) -> None:
        self._ingester = ingester
        self._owner = owner
        self._options = options
        self._tell = tell
        self._interrupt = interrupt
        self._acceptor = Acceptor(block_size=options.largest_block, most_bytes=ingester.largest_file)
        self._opens: UploadOpen | None = None
        self._upload: Upload | None = None
        self._writing: Awaitable[None] | None = None
        self._unsynced = 0
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._failed: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(UnspoolError):  # whoever leaves in peace has waited for the last block already
            await self._stop()
        if self._upload is not None:
            await self._upload.aclose()

    async def open(self, opens: UploadOpen) -> UploadOpened | UploadCommitted:
        """Open the upload. Raises what `Acceptor.open` and `Ingester.open` raise."""
        self._opens = opens
        self._acceptor.open(opens)
        found = await self._ingester.open(opens, self._owner)
        if isinstance(found, FileInfo):
            return UploadCommitted(found)
        self._upload = found
        self._acceptor.begin(found.table)
        self._beside = [asyncio.create_task(self._watch(found)), asyncio.create_task(self._sync(found))]
        return opened(found.table, self._ingester, self._options)

    def check(self) -> None:
        """Raise what went wrong beside the stream: the upload was taken over, or could not be synced."""
        if self._failed is not None:
            raise self._failed

    async def take(self, block: Block) -> None:
        """Take a block. It is being written when this returns. Raises what `Acceptor.accept` and `Upload.write` raise."""
        deed = self._acceptor.accept(block)
        upload = self._opened()
        await self._written()
        self.check()
        if deed == "compare":
            if await upload.checksum(Span(block.offset, block.end)) != block.crc32c:
                raise self._acceptor.mismatch()
            return
        self._writing = upload.write(block)
        self._unsynced += len(block.data)
        if self._unsynced >= self._options.sync_bytes:
            self._due.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._options.sync_seconds, self._due.set)

    async def commit(self, ends: UploadCommit) -> UploadCommitted:
        """Commit the upload. Raises what `Acceptor.commit` and `Upload.commit` raise."""
        upload = self._opened()
        await self._stop()
        self.check()
        self._acceptor.commit(ends)
        return UploadCommitted(await upload.commit(ends.size))

    async def settle(self) -> int:
        """Make durable what is written. Return how many bytes that is. May run beside anything else while it is open."""
        return await self._opened().sync()

    def heartbeat(self) -> None:
        """Take a message without parts."""
        self._acceptor.heartbeat()

    async def end(self) -> None:
        """Take the end of the client's side of the stream. Raises what `Upload.write` raises."""
        await self._written()
        self._acceptor.end()

    async def left(self, error: UnspoolError) -> tuple[GoodSpan, ...]:
        """Let go of the upload, and return what there is of it, for the client: with a mismatch, segment by segment."""
        await self.__aexit__()
        opens = self._opens
        if opens is None or isinstance(error, TakenOverError):
            return ()
        with suppress(UnspoolError):
            known = await self._ingester.stat(UploadIdentity(opens.upload_id, opens.name, self._owner))
            if isinstance(known, SegmentTable):
                return good_spans(known, merged=not isinstance(error, FileMismatchError))
        return ()

    def _opened(self) -> Upload:
        assert self._upload is not None, "nothing is accepted before the opening"
        return self._upload

    async def _written(self) -> None:
        """Wait until the last block is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _stop(self) -> None:
        """Wait for the last block, and end what runs beside the stream."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        self._beside = []
        await self._written()

    async def _watch(self, upload: Upload) -> None:
        await upload.taken_over.wait()
        name = self._opens.name if self._opens is not None else ""
        self._fail(TakenOverError(f"{name}: another stream goes on with this upload", name=name))

    async def _sync(self, upload: Upload) -> None:
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                self._unsynced = 0
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
                received = self._acceptor.table.good_bytes
                durable = await upload.sync()
                await self._tell(UploadProgress(received, durable))
        except UnspoolError as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failed is None:
            self._failed = error
            self._interrupt()


def opened(table: SegmentTable, ingester: Ingester, options: ServiceOptions) -> UploadOpened:
    """Return what a client is told of an upload that is not committed."""
    return UploadOpened(good_spans(table), options.largest_block, ingester.expires_after)


def state_of(known: Known, ingester: Ingester, options: ServiceOptions) -> UploadState:
    """Return what a client that asks is told of an upload."""
    if isinstance(known, SegmentTable):
        return opened(known, ingester, options)
    return None if known is None else UploadCommitted(known)
