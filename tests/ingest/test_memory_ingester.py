"""The ingester in memory: the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from unspool.ingest.memory import MemoryIngester
from unspool.stores import MemoryStore
from unspool.testing.ingestcontract import IngestContract
from unspool.testing.ingesting import Ingesting


class TestMemoryIngester(IngestContract):
    """The contract."""

    @asynccontextmanager
    async def ingesting(self, directory: Path) -> AsyncIterator[Ingesting]:
        """See `IngestContract.ingesting`."""
        store = MemoryStore()
        yield Ingesting(MemoryIngester(store), store)
