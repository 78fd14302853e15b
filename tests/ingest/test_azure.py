"""Azure's uploads in blocks: over Azurite what they do, over a fake what is made of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from itertools import count
from random import Random
from typing import Any

import pytest

from ingest.objecting import in_azure
from stores.fakes3 import FakeS3, Misbehaviour, fake_s3
from stores.objectservers import AZURE_KEY, BUCKET, azure_environment, azure_store, free_ports
from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, FileInfo
from unspool.core.uploading import IF_ABSENT
from unspool.core.uploadparts import PART_SIZE
from unspool.core.uploadrecord import SentPart
from unspool.errors import AlreadyExistsError, InvalidRequestError, OverloadedError, PermissionDeniedError, ServerError
from unspool.ingest import azure as module
from unspool.ingest.azure import AzureBlocks
from unspool.ingest.multipart import GoneError, LostPartError, UnmetError
from unspool.ingest.objects import open_url
from unspool.ingest.spool import Spool
from unspool.stores import ObjectStore
from unspool.testing.ingesting import OTHER_ID, send
from unspool.testing.stock import read_file

BIG = Random(7).randbytes(2 * PART_SIZE + 1000)
RUN = 1 << 20

_numbers = count()


def names() -> str:
    """Return a prefix that no other test has."""
    return f"azure-{next(_numbers)}"


def spooled(data: bytes) -> Spool:
    """Return a spool with these bytes."""
    spool = Spool()
    spool.write(data, crc32c(data))
    return spool


async def test_a_large_file_goes_on_at_another_server(azurite_port: int) -> None:
    """What a killed server has sent in blocks is there for another one; the whole has its checksum in its metadata."""
    prefix = names()
    async with in_azure(azurite_port, prefix) as first, in_azure(azurite_port, prefix) as second:
        killed = await first.open("a b/ü", size=len(BIG), attributes=Attributes(1_500_000_000_000_000_000, executable=False))
        await send(killed, BIG[: 2 * PART_SIZE + 100], size=RUN)
        assert await killed.sync() == 2 * PART_SIZE
        await killed.sync()
        async with aclosing(await second.open("a b/ü", size=len(BIG))) as upload:
            assert upload.table.good_bytes == 2 * PART_SIZE + 100
            await send(upload, BIG, 2 * PART_SIZE + 100, RUN)
            info = await upload.commit(len(BIG))
        found, data = await read_file(second.store, "a b/ü")
        assert data == BIG
        assert (found.revision, found.attributes) == (info.revision, info.attributes)
        assert found.attributes.modified_ns == 1_500_000_000_000_000_000
        assert info.crc32c == crc32c(BIG)
        assert await second.committed("a b/ü", bytes(16), size=len(BIG), crc32c=crc32c(BIG)) == info
        store = ObjectStore(azure_store(azurite_port, prefix=prefix), metadata=True)
        assert await store.stat("a b/ü") == info  # nobody has read it
        await killed.aclose()


async def test_of_many_files_in_blocks_that_must_be_the_first_one_is(azurite_port: int) -> None:
    """Clients of two servers that create the same file in blocks at the same time: one succeeds."""
    prefix = names()
    async with in_azure(azurite_port, prefix) as one, in_azure(azurite_port, prefix) as other, AsyncExitStack() as stack:
        uploads = [
            await stack.enter_async_context(aclosing(await there.open(upload_id=bytes([number] * 16), condition=IF_ABSENT)))
            for number, there in enumerate((one, other, one, other))
        ]
        for number, upload in enumerate(uploads):
            await send(upload, bytes([number]) * (PART_SIZE + 1), size=RUN)
        ends = await asyncio.gather(*(upload.commit(PART_SIZE + 1) for upload in uploads), return_exceptions=True)
        (winner,) = [number for number, end in enumerate(ends) if isinstance(end, FileInfo)]
        assert set((await read_file(one.store, "a.bin"))[1]) == {winner}
        assert all(isinstance(end, FileInfo | AlreadyExistsError | ServerError) for end in ends), ends


async def test_blocks_that_a_commit_of_another_file_dropped_are_sent_again(azurite_port: int) -> None:
    """Azure drops the blocks of all uploads to a name when one of them is committed. The other goes on from the start."""
    async with in_azure(azurite_port, names()) as there:
        async with aclosing(await there.open(size=len(BIG))) as upload:
            await send(upload, BIG[: PART_SIZE + 100], size=RUN)
        async with aclosing(await there.open(upload_id=OTHER_ID)) as other:
            await send(other, bytes(PART_SIZE + 1), size=RUN)
            await other.commit(PART_SIZE + 1)
        async with aclosing(await there.open(size=len(BIG))) as upload:
            assert upload.table.good_bytes == 100  # which were no block yet
            await send(upload, BIG, size=RUN)
            await upload.commit(len(BIG))
        assert (await read_file(there.store, "a.bin"))[1] == BIG


async def test_the_store_checks_what_it_is_sent(azurite_port: int) -> None:
    """A list of blocks that are not there, and conditions that do not hold, are refused, and the blocks stay."""
    async with in_azure(azurite_port, names()) as there:
        await there.ingester.check()  # type: ignore[attr-defined]
        blocks: Any = there.ingester._home.multipart  # type: ignore[attr-defined]
        spool = spooled(b"0123456789")
        upload, other = blocks.begin("a", {"unspool_upload": "mark"}, "text/plain"), blocks.begin("a", {}, "")
        with pytest.raises(GoneError):
            blocks.parts("a", upload)
        part = SentPart(10, spool.crc32c, blocks.send("a", upload, 0, spool.body(), spool.crc32c))
        blocks.send("a", other, 1, spool.body(), spool.crc32c)
        assert blocks.parts("a", upload) == {0: (10, part.tag)}
        with pytest.raises(LostPartError):
            blocks.complete("a", upload, [part, SentPart(10, 0, upload[:16] + "000007")], spool.crc32c, None)
        with pytest.raises(UnmetError):
            blocks.complete("a", upload, [part], part.crc32c, '"0x0123"')
        tag = blocks.complete("a", upload, [part], part.crc32c, "")
        with pytest.raises(UnmetError):
            blocks.complete("a", upload, [part], part.crc32c, "")
        info = await there.store.stat("a")
        assert (f'"{info.revision}"', info.size) == (tag, 10)
        with pytest.raises(UnmetError):
            blocks.delete("a", '"0x0123"')
        blocks.delete("a", tag)
        blocks.delete("a", tag)  # it is not there
        blocks.abort("a", other)
        assert blocks.checksum("a") is None
        spool.close()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    """A fake that refuses. Nothing is tried again, because that would take time."""
    monkeypatch.setattr(module, "_ATTEMPTS", 0)
    with fake_s3() as server:
        yield server


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (503, OverloadedError, "asks for fewer requests"),
        (403, PermissionDeniedError, "denies access"),
        (412, UnmetError, "^$"),
        (500, ServerError, r"failed \(HTTP 500"),
    ],
)
def test_errors_are_ours_and_tell_nothing_of_the_stores(fake: FakeS3, status: int, kind: type[Exception], words: str) -> None:
    """Each error has its class; no text of the store's, no URL and no credentials are in it."""
    blocks = AzureBlocks(BUCKET, "below", azure_environment(fake.port))
    fake.wrong = Misbehaviour(statuses=[status], code="SomethingOfTheStore")
    with pytest.raises(kind, match=words) as caught:
        blocks.complete("a.bin", blocks.begin("a.bin", {}, ""), [SentPart(1, 1, "0" * 22)], 1, "")
    said = f"{caught.value} {caught.value.__cause__}"
    assert not any(hidden in said for hidden in (AZURE_KEY, "127.0.0.1"))
    assert f"/{BUCKET}/below/a.bin?comp=blocklist" in fake.requests[-1][1]
    blocks.close()


def test_a_store_that_is_not_there_is_a_server_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nobody listens at the endpoint, the error says so, without the address or the credentials."""
    monkeypatch.setattr(module, "_ATTEMPTS", 0)
    (port,) = free_ports(1)
    blocks, spool = AzureBlocks(BUCKET, "", azure_environment(port)), spooled(b"x")
    with pytest.raises(ServerError, match=r"^a: the object store cannot be reached \(ServiceRequestError\)$"):
        blocks.send("a", blocks.begin("a", {}, ""), 0, spool.body(), spool.crc32c)
    spool.close()
    blocks.close()


def test_what_is_not_enough_to_write_is_said() -> None:
    """An account without a key or a signature, and one that makes no sense, are refused: the sentence says what to do."""
    for environment in ({}, {"AZURE_STORAGE_ACCOUNT_NAME": "a"}, {"AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY}):
        with pytest.raises(InvalidRequestError, match="needs AZURE_STORAGE_ACCOUNT_NAME"):
            AzureBlocks(BUCKET, "", environment)
    with pytest.raises(InvalidRequestError, match="makes no sense"):
        AzureBlocks(
            BUCKET, "", {"AZURE_STORAGE_ENDPOINT": "", "AZURE_STORAGE_ACCOUNT_NAME": "/", "AZURE_STORAGE_SAS_TOKEN": "x"}
        )
    signed = AzureBlocks(BUCKET, "", {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x"})
    assert signed._blob("b").url.startswith("https://a.blob.core.windows.net/unspool/b?sv=1")
    signed.close()


def test_a_url_of_azure_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """`az://CONTAINER/PREFIX` is written to; its storage is named after both."""
    environment = azure_environment(1)
    for name, said in environment.items():
        monkeypatch.setenv(name, said)
    ingester = open_url("az://files/below", environment, allow_http=True)
    assert isinstance(ingester._home.multipart, AzureBlocks)
    assert ingester._where == "files/below"


def test_a_container_that_is_not_there_is_the_servers_failure(azurite_port: int) -> None:
    """A client that uploads hears that the server has no container, not that a file is not found."""
    blocks, spool = AzureBlocks("missing", "", azure_environment(azurite_port)), spooled(b"x")
    upload = blocks.begin("a", {}, "")
    requests: list[Callable[[], object]] = [
        lambda: blocks.send("a", upload, 0, spool.body(), spool.crc32c),
        lambda: blocks.parts("a", upload),
        lambda: blocks.complete("a", upload, [SentPart(1, 1, "0" * 22)], 1, '"tag"'),
    ]
    for request in requests:
        with pytest.raises(ServerError, match="bucket is not there: whoever runs the server"):
            request()
    spool.close()
    blocks.close()
