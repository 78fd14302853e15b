"""A server that takes files, for the tests of uploads."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from unspool.ingest.memory import MemoryIngester
from unspool.stores import MemoryStore
from unspool.testing import serve


@pytest.fixture
def store() -> MemoryStore:
    """Return a store without files."""
    return MemoryStore()


@pytest.fixture
async def address(store: MemoryStore) -> AsyncGenerator[str, None]:
    """Return the address of a server that serves the store, and takes files into it."""
    async with serve(store, ingester=MemoryIngester(store)) as address:
        yield address
