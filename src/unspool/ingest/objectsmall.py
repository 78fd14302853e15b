"""Writes many small files into an object store: an object each, many at the same time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from unspool.core.checksum import crc32c
from unspool.core.model import FileInfo
from unspool.core.uploading import NewFile, WrittenFile
from unspool.errors import BlockCorruptError, UnspoolError
from unspool.ingest.bucket import Bucket
from unspool.ingest.newnames import check_new_name
from unspool.ingest.objectcommit import committed, condition_of, described
from unspool.stores.gathered import gathered
from unspool.stores.objectinfo import metadata_of

_AT_ONCE = 32
"""Files that are written at the same time, as many as small objects are read at the same time (`stores.objects`)."""

_NONCE = 8
"""Random bytes that tell the objects of one name apart."""


class SmallObjects:
    """Writes small files.

    Args:
        bucket: where they go.
        lock_of: returns the lock of a name.
        hidden: whether hidden names may be written.
    """

    def __init__(self, bucket: Bucket, lock_of: Callable[[str], asyncio.Lock], *, hidden: bool) -> None:
        self._bucket = bucket
        self._lock_of = lock_of
        self._hidden = hidden
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def write(self, files: Sequence[NewFile]) -> Sequence[WrittenFile]:
        """See `Ingester.write_small`."""
        directories: dict[str, asyncio.Task[None]] = {}
        earlier: dict[str, asyncio.Task[WrittenFile]] = {}
        tasks = []
        for file in files:
            task = asyncio.create_task(self._write_after(earlier.get(file.name), file, directories))
            earlier[file.name] = task
            tasks.append(task)
        return await gathered(tasks)

    async def _write_after(
        self, earlier: asyncio.Task[WrittenFile] | None, file: NewFile, directories: dict[str, asyncio.Task[None]]
    ) -> WrittenFile:
        """Write a file, after the one of the same name that is before it in the batch."""
        if earlier is not None:
            await asyncio.wait([earlier])
        try:
            check_new_name(file.name, hidden=self._hidden)
            if crc32c(file.data) != file.crc32c:
                raise BlockCorruptError(f"{file.name}: the bytes that arrived do not match their checksum", name=file.name)
            async with self._turns, self._lock_of(file.name):
                return await self._write(file, directories)
        except UnspoolError as error:
            return error

    async def _write(self, file: NewFile, directories: dict[str, asyncio.Task[None]]) -> FileInfo:
        name, condition = file.name, file.condition
        current = await self._bucket.current(name, directories)
        only_if = condition_of(name, condition, current)
        if current is not None and (current.info.size, current.info.crc32c) == (len(file.data), file.crc32c):
            return current.info
        mark = secrets.token_hex(_NONCE)
        metadata = metadata_of(file.attributes, mark=mark, crc32c=file.crc32c)
        request = self._bucket.put(name, file.data, metadata, only_if)
        tag = await committed(self._bucket, name, condition, mark, request)
        new = FileInfo(name, len(file.data), tag.strip('"'), file.attributes, file.crc32c)
        return await described(self._bucket, new, mark)
