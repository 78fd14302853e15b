"""What the parts of the contract of ingesters share: an ingester with its store, and how to send a file to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unspool.core.checksum import crc32c
from unspool.core.extras import extra
from unspool.core.model import NO_ATTRIBUTES, Attributes, Block, FileInfo
from unspool.core.uploading import ANYTHING, Condition, NewFile, UploadOpen
from unspool.ingest.base import Ingester, Upload
from unspool.stores.base import Store

with extra("contract"):
    import pytest

ID, OTHER_ID = bytes(range(16)), bytes(16)


@dataclass(frozen=True)
class Ingesting:
    """An ingester, and the store that gets its files. Both are empty at first."""

    ingester: Ingester
    store: Store

    async def open(self, name: str = "a.bin", upload_id: bytes = ID, owner: str = "", **more: Any) -> Upload:
        """Open an upload that is not committed."""
        opened = await self.ingester.open(replace(UploadOpen(upload_id, name), **more), owner)
        assert not isinstance(opened, FileInfo), "it is committed"
        return opened

    async def committed(self, name: str = "a.bin", upload_id: bytes = ID, owner: str = "", **more: Any) -> FileInfo:
        """Open an upload that is committed, and return its file."""
        opened = await self.ingester.open(replace(UploadOpen(upload_id, name), **more), owner)
        assert isinstance(opened, FileInfo), "it is not committed"
        return opened

    async def put(self, data: bytes, name: str = "a.bin", upload_id: bytes = ID, **more: Any) -> FileInfo:
        """Upload a file."""
        async with aclosing(await self.open(name, upload_id, **more)) as upload:
            await send(upload, data)
            return await upload.commit(len(data))


async def send(upload: Upload, data: bytes, start: int = 0, size: int = 300) -> None:
    """Write the bytes of a file from `start` on, in blocks of `size`."""
    for offset in range(start, len(data), size):
        run = data[offset : offset + size]
        await upload.write(Block(offset, run, crc32c(run)))


def new(name: str, data: bytes, attributes: Attributes = NO_ATTRIBUTES, condition: Condition = ANYTHING) -> NewFile:
    """Return a small file."""
    return NewFile(name, data, crc32c(data), condition, attributes)


class IngestTests(ABC):
    """The common base of all parts of the contract: an ingester to test."""

    @abstractmethod
    def ingesting(self, directory: Path) -> AbstractAsyncContextManager[Ingesting]:
        """Make an ingester and its store, and close them. `directory` is empty."""

    @pytest.fixture
    async def there(self, tmp_path: Path) -> AsyncGenerator[Ingesting, None]:
        """Return an ingester."""
        async with self.ingesting(tmp_path) as there:
            yield there
