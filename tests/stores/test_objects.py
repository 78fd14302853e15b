"""Object stores follow the contract; and their own properties."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from obstore.store import MemoryStore as Memory
from obstore.store import ObjectStore as Objects

from stores.objectservers import azure_store, s3_store
from unspool.stores.objects import ObjectStore
from unspool.testing.stock import Stock
from unspool.testing.storecontract import StoreContract

_numbers = count()


@asynccontextmanager
async def stocked(objects: Objects) -> AsyncIterator[Stock]:
    """Return a stock of objects."""
    store = ObjectStore(objects, hidden=True)
    yield Stock(store, put=objects.put, remove=objects.delete)
    await store.aclose()


class ObjectContract(StoreContract):
    """The contract, for stores that refuse names with control characters."""

    impossible_names = frozenset({"a\nb"})


class TestMemory(ObjectContract):
    """obstore's own store in memory."""

    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """See `StoreContract.stocked`."""
        return stocked(Memory())


class TestSeaweedFS(ObjectContract):
    """SeaweedFS, over HTTP. Each test has a prefix of its own."""

    @pytest.fixture(autouse=True)
    def _port(self, weed_port: int) -> None:
        self.port = weed_port

    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """See `StoreContract.stocked`."""
        return stocked(s3_store(self.port, prefix=f"contract-{next(_numbers)}"))


class TestVersityGateway(ObjectContract):
    """versitygw, S3 over a directory."""

    @pytest.fixture(autouse=True)
    def _port(self, gateway_port: int) -> None:
        self.port = gateway_port

    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """See `StoreContract.stocked`."""
        return stocked(s3_store(self.port, prefix=f"contract-{next(_numbers)}"))


class TestAzurite(ObjectContract):
    """Azurite, Azure's protocol."""

    @pytest.fixture(autouse=True)
    def _port(self, azurite_port: int) -> None:
        self.port = azurite_port

    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """See `StoreContract.stocked`."""
        return stocked(azure_store(self.port, prefix=f"contract-{next(_numbers)}"))
