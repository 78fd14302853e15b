"""An ingester in memory: the reference implementation of the contract, and an ingester for tests.

It keeps uploads until they are committed or abandoned, and what was committed as long as it lives. Nothing is durable, so
`sync` says what would be if memory were.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace

from unspool.core.checksum import crc32c
from unspool.core.condition import check_condition, check_present, may_be_same
from unspool.core.model import Block, FileInfo, Span
from unspool.core.names import check_name
from unspool.core.segments import SegmentTable, segment_size_for
from unspool.core.uploading import NewFile, UploadIdentity, UploadOpen, WrittenFile
from unspool.errors import BlockCorruptError, NotAFileError, NotFoundError, TakenOverError, UnspoolError
from unspool.ingest.base import Known
from unspool.stores.memory import MemoryStore


@dataclass(slots=True)
class _Staged:
    """What there is of an upload."""

    table: SegmentTable
    data: bytearray = field(default_factory=bytearray)
    open: MemoryUpload | None = None


class MemoryIngester:
    """Receives files into a `MemoryStore`. See `Ingester`.

    Args:
        store: gets the files.
    """

    largest_file: int | None = None
    expires_after: float | None = None

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._staged: dict[tuple[bytes, str, str], _Staged] = {}
        self._committed: dict[tuple[bytes, str, str], FileInfo] = {}
        self._storage = secrets.token_hex(16)

    async def open(self, opens: UploadOpen, owner: str) -> MemoryUpload | FileInfo:
        """See `Ingester.open`."""
        key = (opens.upload_id, opens.name, owner)
        check_name(opens.name)
        if (info := self._committed.get(key)) is not None:
            return info
        await self._take_over(key)
        current = await self._current(opens.name)
        check_condition(opens.name, opens.condition, current)
        if current is not None and may_be_same(opens, current) and opens.sha256 in (None, current.sha256):
            self._staged.pop(key, None)
            return current
        staged = self._staged.setdefault(key, _Staged(SegmentTable(segment_size_for(opens.size))))
        for span in opens.discard:
            staged.table.forget_within(span)
        for number in staged.table.segments:
            if opens.size is not None and staged.table.span_of(number).stop > opens.size:
                staged.table.forget(number)
        staged.open = MemoryUpload(self, key, opens, staged)
        return staged.open

    async def _take_over(self, key: tuple[bytes, str, str]) -> None:
        staged = self._staged.get(key)
        if staged is not None and staged.open is not None:
            staged.open.taken_over.set()
            staged.open = None

    async def _current(self, name: str) -> FileInfo | None:
        above = name.rpartition("/")[0]
        while above:
            if self._store.revision_of(above) is not None:
                raise NotAFileError(f"{name}: {above} is a file, and no directory", name=name)
            above = above.rpartition("/")[0]
        try:
            return await self._store.stat(name)
        except NotFoundError as error:
            if isinstance(error, NotAFileError):
                raise
            return None

    async def stat(self, identity: UploadIdentity) -> Known:
        """See `Ingester.stat`."""
        check_name(identity.name)
        key = (identity.upload_id, identity.name, identity.owner)
        staged = self._staged.get(key)
        if staged is not None and staged.table.good_bytes:
            return SegmentTable(staged.table.segment_size, staged.table.segments)
        return self._committed.get(key)

    async def abandon(self, identity: UploadIdentity) -> None:
        """See `Ingester.abandon`."""
        check_name(identity.name)
        key = (identity.upload_id, identity.name, identity.owner)
        await self._take_over(key)
        self._staged.pop(key, None)

    async def write_small(self, files: Sequence[NewFile]) -> Sequence[WrittenFile]:
        """See `Ingester.write_small`."""
        return [await self._write_small(file) for file in files]

    async def _write_small(self, file: NewFile) -> WrittenFile:
        try:
            check_name(file.name)
            if crc32c(file.data) != file.crc32c:
                raise BlockCorruptError(f"{file.name}: the bytes that arrived do not match their checksum", name=file.name)
            current = await self._current(file.name)
            check_condition(file.name, file.condition, current)
        except UnspoolError as error:
            return error
        if current is not None and (current.size, current.crc32c) == (len(file.data), file.crc32c):
            return current
        return self._store.put(file.name, bytes(file.data), file.attributes)

    async def delete(self, name: str, revision: str | None = None) -> FileInfo:
        """See `Ingester.delete`."""
        check_name(name)
        info = check_present(name, revision, await self._current(name))
        self._store.remove(name)
        return info

    async def commit(self, key: tuple[bytes, str, str], opens: UploadOpen, size: int) -> FileInfo:
        """Give an upload its name. See `Upload.commit`."""
        check_condition(opens.name, opens.condition, await self._current(opens.name))
        staged = self._staged.pop(key)
        info = self._store.put(opens.name, bytes(staged.data[:size]), opens.attributes)
        self._committed[key] = info
        return info

    def left(self, key: tuple[bytes, str, str]) -> None:
        """Forget an upload of which there is nothing."""
        staged = self._staged.get(key)
        if staged is not None:
            staged.open = None
            if not staged.table.good_bytes:
                del self._staged[key]

    async def storage(self) -> str:
        """See `Ingester.storage`. No other ingester has these uploads."""
        return self._storage

    async def sweep(self) -> int:
        """See `Ingester.sweep`. Nothing expires."""
        return 0

    async def aclose(self) -> None:
        """See `Ingester.aclose`."""


class MemoryUpload:
    """See `Upload`."""

    def __init__(self, ingester: MemoryIngester, key: tuple[bytes, str, str], opens: UploadOpen, staged: _Staged) -> None:
        self.taken_over = asyncio.Event()
        self.table = SegmentTable(staged.table.segment_size, staged.table.segments)
        self._ingester = ingester
        self._key = key
        self._opens = opens
        self._staged = staged

    def _check(self) -> None:
        if self.taken_over.is_set():
            raise TakenOverError(f"{self._opens.name}: another stream goes on with this upload", name=self._opens.name)

    def write(self, block: Block) -> Awaitable[None]:
        """See `Upload.write`."""
        return asyncio.ensure_future(self._write(block))

    async def _write(self, block: Block) -> None:
        self._check()
        data = self._staged.data
        if len(data) < block.end:
            data.extend(bytes(block.end - len(data)))
        data[block.offset : block.end] = block.data
        self._staged.table.forget_within(Span(block.offset, block.end))
        self._staged.table.record(block)

    async def checksum(self, span: Span) -> int:
        """See `Upload.checksum`."""
        self._check()
        return crc32c(bytes(self._staged.data[span.start : span.stop]))

    async def sync(self) -> int:
        """See `Upload.sync`."""
        self._check()
        return self._staged.table.good_bytes

    async def commit(self, size: int) -> FileInfo:
        """See `Upload.commit`."""
        self._check()
        info = await self._ingester.commit(self._key, self._opens, size)
        return replace(info, crc32c=info.crc32c)

    async def aclose(self) -> None:
        """See `Upload.aclose`."""
        if not self.taken_over.is_set() and self._staged.open is self:
            self._ingester.left(self._key)
