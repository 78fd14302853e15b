"""Helpers of the tests of uploads into object stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from obstore.store import MemoryStore as Memory

from stores.objectservers import BUCKET, azure_environment, azure_store, s3_environment, s3_store
from unspool.ingest.azure import AzureBlocks
from unspool.ingest.objects import ObjectIngester
from unspool.ingest.s3 import S3Multipart
from unspool.stores import ObjectStore
from unspool.testing.ingesting import Ingesting
from unspool.testing.multipart import MemoryMultipart


@asynccontextmanager
async def in_memory(
    objects: Memory | None = None, multipart: MemoryMultipart | None = None, **more: Any
) -> AsyncIterator[Ingesting]:
    """Make an ingester into obstore's own store in memory."""
    objects = objects or Memory()
    ingester = ObjectIngester(objects, multipart or MemoryMultipart(objects), **more)
    try:
        yield Ingesting(ingester, ObjectStore(objects))
    finally:
        await ingester.aclose()


@asynccontextmanager
async def in_azure(port: int, prefix: str, **more: Any) -> AsyncIterator[Ingesting]:
    """Make an ingester into Azurite, as a process of its own would."""
    objects = azure_store(port, prefix=prefix)
    ingester = ObjectIngester(objects, AzureBlocks(BUCKET, prefix, azure_environment(port)), **more)
    try:
        yield Ingesting(ingester, ObjectStore(objects))
    finally:
        await ingester.aclose()


@asynccontextmanager
async def in_s3(port: int, prefix: str, **more: Any) -> AsyncIterator[Ingesting]:
    """Make an ingester into a server that speaks S3's protocol, as a process of its own would."""
    objects = s3_store(port, prefix=prefix)
    ingester = ObjectIngester(objects, S3Multipart(BUCKET, prefix, s3_environment(port)), **more)
    try:
        yield Ingesting(ingester, ObjectStore(objects))
    finally:
        await ingester.aclose()
