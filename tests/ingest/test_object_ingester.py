"""The ingester into an object store: the contract."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path

import pytest

from ingest.objecting import in_azure, in_memory, in_s3
from unspool.testing.ingestcontract import IngestContract
from unspool.testing.ingesting import Ingesting

_numbers = count()


class TestMemory(IngestContract):
    """obstore's own store in memory."""

    def ingesting(self, directory: Path) -> AbstractAsyncContextManager[Ingesting]:
        """See `IngestContract.ingesting`."""
        return in_memory()


class TestSeaweedFS(IngestContract):
    """SeaweedFS, over HTTP. Each test has a prefix of its own."""

    @pytest.fixture(autouse=True)
    def _port(self, weed_port: int) -> None:
        self.port = weed_port

    def ingesting(self, directory: Path) -> AbstractAsyncContextManager[Ingesting]:
        """See `IngestContract.ingesting`."""
        return in_s3(self.port, f"ingest-{next(_numbers)}")


class TestVersityGateway(IngestContract):
    """versitygw, S3 over a directory."""

    @pytest.fixture(autouse=True)
    def _port(self, gateway_port: int) -> None:
        self.port = gateway_port

    def ingesting(self, directory: Path) -> AbstractAsyncContextManager[Ingesting]:
        """See `IngestContract.ingesting`."""
        return in_s3(self.port, f"ingest-{next(_numbers)}")


class TestAzurite(IngestContract):
    """Azurite, the emulator of Azure's blob storage, over HTTP."""

    @pytest.fixture(autouse=True)
    def _port(self, azurite_port: int) -> None:
        self.port = azurite_port

    def ingesting(self, directory: Path) -> AbstractAsyncContextManager[Ingesting]:
        """See `IngestContract.ingesting`."""
        return in_azure(self.port, f"ingest-{next(_numbers)}")
