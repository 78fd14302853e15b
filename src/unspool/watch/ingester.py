"""Counts what an ingester does, and times it: resumes, commits, conditions that do not hold, deletions, what expires."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from unspool.core.model import Block, FileInfo, Span
from unspool.core.segments import SegmentTable
from unspool.core.uploading import NewFile, UploadIdentity, UploadOpen, WrittenFile
from unspool.errors import AlreadyExistsError, FileChangedError
from unspool.ingest.base import Ingester, Known, Upload
from unspool.watch.figures import Figures
from unspool.watch.timed import Timed

_UNMET = (AlreadyExistsError, FileChangedError)


class WatchedIngester:
    """The same ingester, counted. See `Ingester`. Closing it closes the ingester.

    Args:
        inner: the ingester.
        figures: where it is counted.
    """

    def __init__(self, inner: Ingester, figures: Figures) -> None:
        self._inner = inner
        self._figures = figures

    @property
    def largest_file(self) -> int | None:
        """See `Ingester.largest_file`."""
        return self._inner.largest_file

    @property
    def expires_after(self) -> float | None:
        """See `Ingester.expires_after`."""
        return self._inner.expires_after

    async def open(self, opens: UploadOpen, owner: str) -> Upload | FileInfo:
        """See `Ingester.open`."""
        with _counted(self._figures, "open_upload"):
            opened = await self._inner.open(opens, owner)
        if isinstance(opened, FileInfo):
            return opened
        if opened.table.good_bytes:
            self._figures.count("unspool_uploads_resumed_total")
        return _WatchedUpload(opened, self._figures)

    async def stat(self, identity: UploadIdentity) -> Known:
        """See `Ingester.stat`."""
        return await self._inner.stat(identity)

    async def abandon(self, identity: UploadIdentity) -> None:
        """See `Ingester.abandon`."""
        await self._inner.abandon(identity)

    async def write_small(self, files: Sequence[NewFile]) -> Sequence[WrittenFile]:
        """See `Ingester.write_small`."""
        with _counted(self._figures, "write_small"):
            answers = await self._inner.write_small(files)
        for answer in answers:
            if isinstance(answer, FileInfo):
                self._figures.count("unspool_files_received_total", "WriteFiles")
            elif isinstance(answer, _UNMET):
                self._figures.count("unspool_conditions_failed_total", answer.reason)
        return answers

    async def delete(self, name: str, revision: str | None = None) -> FileInfo:
        """See `Ingester.delete`."""
        with _counted(self._figures, "delete"):
            deleted = await self._inner.delete(name, revision)
        self._figures.count("unspool_files_deleted_total")
        return deleted

    async def storage(self) -> str:
        """See `Ingester.storage`."""
        return await self._inner.storage()

    async def sweep(self) -> int:
        """See `Ingester.sweep`."""
        count = await self._inner.sweep()
        self._figures.count("unspool_uploads_expired_total", by=count)
        return count

    async def aclose(self) -> None:
        """See `Ingester.aclose`."""
        await self._inner.aclose()


class _WatchedUpload:
    """See `Upload`."""

    def __init__(self, inner: Upload, figures: Figures) -> None:
        self._inner = inner
        self._figures = figures
        self._observe = figures.histogram("unspool_store_seconds", "write").observe
        self.aclose = inner.aclose

    @property
    def table(self) -> SegmentTable:
        return self._inner.table

    @property
    def taken_over(self) -> asyncio.Event:
        return self._inner.taken_over

    async def write(self, block: Block) -> None:
        began = perf_counter()
        await self._inner.write(block)
        self._observe(perf_counter() - began)

    async def checksum(self, span: Span) -> int:
        # Asked for only to compare a block with what is there.
        self._figures.count("unspool_received_again_bytes_total", by=span.stop - span.start)
        return await self._inner.checksum(span)

    async def sync(self) -> int:
        with _counted(self._figures, "sync"):
            return await self._inner.sync()

    async def commit(self, size: int) -> FileInfo:
        with _counted(self._figures, "commit"):
            info = await self._inner.commit(size)
        self._figures.count("unspool_files_received_total", "WriteFile")
        return info


@contextmanager
def _counted(figures: Figures, operation: str) -> Iterator[None]:
    """Time an operation, and count it if a condition does not hold."""
    with Timed(figures, operation):
        try:
            yield
        except _UNMET as error:
            figures.count("unspool_conditions_failed_total", error.reason)
            raise
