"""The ingester into a directory: the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from unspool.ingest.local import LocalIngester
from unspool.stores import LocalStore
from unspool.testing.ingestcontract import IngestContract
from unspool.testing.ingesting import Ingesting


class TestLocalIngester(IngestContract):
    """The contract."""

    @asynccontextmanager
    async def ingesting(self, directory: Path) -> AsyncIterator[Ingesting]:
        """See `IngestContract.ingesting`."""
        store, ingester = LocalStore(directory), LocalIngester(directory)
        yield Ingesting(ingester, store)
        await ingester.aclose()
        await store.aclose()
