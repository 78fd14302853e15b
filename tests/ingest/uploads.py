"""Helpers of the tests of uploads into a directory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from unspool.core.model import FileInfo
from unspool.core.reserved import UPLOADS
from unspool.core.uploading import UploadOpen
from unspool.ingest.base import Upload
from unspool.ingest.local import LocalIngester
from unspool.options import IngestOptions
from unspool.testing.ingesting import ID, send

DAY = 86400.0


@asynccontextmanager
async def ingesting(directory: Path, options: IngestOptions | None = None, **more: Any) -> AsyncIterator[LocalIngester]:
    """Make an ingester, as a process of its own would."""
    ingester = LocalIngester(directory, options, **more)
    try:
        yield ingester
    finally:
        await ingester.aclose()


async def opened(ingester: LocalIngester, name: str = "a.bin", upload_id: bytes = ID, owner: str = "", **more: Any) -> Upload:
    """Open an upload that is not committed."""
    upload = await ingester.open(UploadOpen(upload_id, name, **more), owner)
    assert not isinstance(upload, FileInfo)
    return upload


async def put(ingester: LocalIngester, data: bytes, name: str = "a.bin", upload_id: bytes = ID, **more: Any) -> FileInfo:
    """Upload a file."""
    async with aclosing(await opened(ingester, name, upload_id, **more)) as upload:
        await send(upload, data)
        return await upload.commit(len(data))


def staged(directory: Path) -> set[str]:
    """Return what kinds of files are staged."""
    return {path.suffix for path in (directory / UPLOADS).iterdir() if path.is_file()}
