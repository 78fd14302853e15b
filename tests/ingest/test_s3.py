"""S3's uploads in parts: over real servers what they do, over a fake what is made of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from itertools import count
from random import Random
from typing import Any

import pytest

from ingest.objecting import in_s3
from stores.fakes3 import FakeS3, Misbehaviour, fake_s3
from stores.objectservers import BUCKET, SECRET, free_ports, s3_environment, s3_store
from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, FileInfo
from unspool.core.reserved import UPLOADS
from unspool.core.uploading import IF_ABSENT
from unspool.core.uploadparts import PART_SIZE
from unspool.core.uploadrecord import SentPart
from unspool.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    OverloadedError,
    PermissionDeniedError,
    ServerError,
)
from unspool.ingest.bucket import ABSENT, Bucket
from unspool.ingest.multipart import GoneError, LostPartError, UnmetError
from unspool.ingest.objects import ObjectIngester, open_url
from unspool.ingest.s3 import S3Multipart
from unspool.ingest.spool import Spool
from unspool.stores import ObjectStore
from unspool.stores import s3 as module
from unspool.stores.s3 import S3Checksums
from unspool.testing.ingesting import send
from unspool.testing.stock import read_file

BIG = Random(7).randbytes(2 * PART_SIZE + 1000)
RUN = 1 << 20

_numbers = count()


@pytest.fixture(params=["weed_port", "gateway_port"])
def port(request: pytest.FixtureRequest) -> int:
    """The port of SeaweedFS, and of versitygw."""
    found: int = request.getfixturevalue(request.param)
    return found


def names() -> str:
    """Return a prefix that no other test has."""
    return f"s3-{next(_numbers)}"


# Real servers


async def test_a_large_file_goes_on_at_another_server(port: int) -> None:
    """What a killed server has sent in parts is there for another one; the whole has its checksum, at the store too."""
    prefix = names()
    async with in_s3(port, prefix) as first, in_s3(port, prefix) as second:
        killed = await first.open(size=len(BIG), attributes=Attributes(1_500_000_000_000_000_000, executable=False))
        await send(killed, BIG[: 2 * PART_SIZE + 100], size=RUN)
        assert await killed.sync() == 2 * PART_SIZE
        await killed.sync()
        async with aclosing(await second.open(size=len(BIG))) as upload:
            assert upload.table.good_bytes == 2 * PART_SIZE + 100
            await send(upload, BIG, 2 * PART_SIZE + 100, RUN)
            info = await upload.commit(len(BIG))
        found, data = await read_file(second.store, "a.bin")
        assert data == BIG
        assert (found.revision, found.attributes) == (info.revision, info.attributes)
        assert found.attributes.modified_ns == 1_500_000_000_000_000_000
        kept = second.ingester._home.multipart.checksum("a.bin")  # type: ignore[attr-defined]
        assert kept == (f'"{info.revision}"', crc32c(BIG))
        assert await second.committed(upload_id=bytes(16), size=len(BIG), crc32c=crc32c(BIG)) == info
        asking = S3Checksums(BUCKET, prefix, s3_environment(port))
        store = ObjectStore(s3_store(port, prefix=prefix), checksums=asking)
        assert await store.stat("a.bin") == info
        assert await store.stat("a.bin") == info  # it is not asked again
        await store.aclose()
        await killed.aclose()


async def test_of_many_files_in_parts_that_must_be_the_first_one_is(port: int) -> None:
    """Clients of one server that create the same file in parts: one succeeds. SeaweedFS alone lets two at times."""
    async with in_s3(port, names()) as there, AsyncExitStack() as stack:
        uploads = [
            await stack.enter_async_context(aclosing(await there.open(upload_id=bytes([number] * 16), condition=IF_ABSENT)))
            for number in range(4)
        ]
        for number, upload in enumerate(uploads):
            await send(upload, bytes([number]) * (PART_SIZE + 1), size=RUN)
        ends = await asyncio.gather(*(upload.commit(PART_SIZE + 1) for upload in uploads), return_exceptions=True)
        assert sorted(type(end).__name__ for end in ends) == [*["AlreadyExistsError"] * 3, "FileInfo"]
        (winner,) = [number for number, end in enumerate(ends) if isinstance(end, FileInfo)]
        assert set((await read_file(there.store, "a.bin"))[1]) == {winner}
        assert all(isinstance(end, (FileInfo, AlreadyExistsError)) for end in ends)


async def test_the_store_checks_what_it_is_sent(port: int) -> None:
    """A part, a list of parts and a whole that are not what they should be are refused, and the parts stay."""
    async with in_s3(port, names()) as there:
        await there.ingester.check()  # type: ignore[attr-defined]
        multipart: Any = there.ingester._home.multipart  # type: ignore[attr-defined]
        spool = Spool()
        spool.write(b"0123456789", crc32c(b"0123456789"))
        upload = multipart.begin("a", {"unspool_upload": "mark"}, "text/plain")
        with pytest.raises(LostPartError):
            multipart.send("a", upload, 0, spool.body(), 1)
        part = SentPart(10, spool.crc32c, multipart.send("a", upload, 0, spool.body(), spool.crc32c))
        with pytest.raises(LostPartError):
            multipart.complete("a", upload, [SentPart(10, spool.crc32c, '"0123"')], spool.crc32c, None)
        with pytest.raises(LostPartError):
            multipart.complete("a", upload, [part], 1, None)
        with pytest.raises(UnmetError):
            multipart.complete("a", upload, [part], part.crc32c, '"0123"')
        assert multipart.parts("a", upload) == {0: (10, part.tag)}
        multipart.complete("a", upload, [part], part.crc32c, "")
        with pytest.raises(GoneError):
            multipart.parts("a", upload)
        with pytest.raises(GoneError):
            multipart.send("a", upload, 0, spool.body(), part.crc32c)
        multipart.abort("a", upload)
        spool.close()


async def test_many_parts_are_listed_page_by_page(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores list parts in pages: all of them are found."""
    async with in_s3(port, names()) as there:
        multipart: Any = there.ingester._home.multipart  # type: ignore[attr-defined]
        real = multipart._client.list_parts
        monkeypatch.setattr(multipart._client, "list_parts", lambda **more: real(**more, MaxParts=2))
        spool = Spool()
        spool.write(b"x", crc32c(b"x"))
        upload = multipart.begin("a", {}, "")
        for number in range(5):
            multipart.send("a", upload, number, spool.body(), spool.crc32c)
        assert list(multipart.parts("a", upload)) == list(range(5))
        multipart.abort("a", upload)
        spool.close()


# Errors


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    """A fake that refuses. Nothing is tried again, because that would take time."""
    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    with fake_s3() as server:
        yield server


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (503, "SlowDown", OverloadedError, "asks for fewer requests"),
        (403, "AccessDenied", PermissionDeniedError, "denies access"),
        (404, "NoSuchUpload", GoneError, "^$"),
        (400, "InvalidPart", LostPartError, "^$"),
        (412, "PreconditionFailed", UnmetError, "^$"),
        (404, "NoSuchBucket", ServerError, "bucket is not there: whoever runs the server"),
        (500, "InternalError", ServerError, r"failed \(HTTP 500 InternalError\)"),
    ],
)
def test_errors_are_ours_and_tell_nothing_of_the_stores(
    fake: FakeS3, status: int, code: str, kind: type[Exception], words: str
) -> None:
    """Each error has its class; no text of the store's, no URL and no credentials are in it."""
    multipart = S3Multipart(BUCKET, "below", s3_environment(fake.port))
    fake.wrong = Misbehaviour(statuses=[status], code=code)
    with pytest.raises(kind, match=words) as caught:
        multipart.complete("a.bin", "upload", [SentPart(1, 1, "tag")], 1, "")
    said = f"{caught.value} {caught.value.__cause__}"
    assert not any(hidden in said for hidden in ("secret", SECRET, "127.0.0.1"))
    assert fake.requests[-1][1].startswith(f"/{BUCKET}/below/a.bin?uploadId=upload")
    multipart.close()


def test_a_store_without_checksums_of_the_whole_is_sent_none(fake: FakeS3) -> None:
    """If the store refuses the checksum of a whole object, files are sent without, from then on."""
    multipart = S3Multipart(BUCKET, "", s3_environment(fake.port))
    fake.wrong = Misbehaviour(statuses=[501], code="NotImplemented")
    assert multipart.begin("a", {}, "") == "begun"
    assert multipart.begin("a", {}, "") == "begun"
    asked = ["x-amz-checksum-algorithm" in {name.lower() for name in headers} for _, _, headers in fake.requests]
    assert asked == [True, False, False]
    assert multipart.checksum("missing") is None
    multipart.close()


def test_a_store_that_is_not_there_is_a_server_error() -> None:
    """If nobody listens at the endpoint, the error says so, without the address or the credentials."""
    (port,) = free_ports(1)
    multipart = S3Multipart(BUCKET, "", s3_environment(port))
    with pytest.raises(ServerError, match=r"^a: the object store cannot be reached \(EndpointConnectionError\)$"):
        multipart.begin("a", {}, "")
    multipart.close()


async def test_not_every_store_is_written_to() -> None:
    """Other stores, and a configuration that makes no sense, are refused with a sentence that says what to do."""
    for url in ("gs://bucket", "memory:///"):
        with pytest.raises(InvalidRequestError, match="into buckets of S3"):
            open_url(url, {})
    with pytest.raises(InvalidRequestError, match="configuration"):
        S3Multipart(BUCKET, "", {"AWS_ENDPOINT_URL": "nonsense"})


async def test_a_bucket_that_may_not_be_written_to_is_noticed_at_the_start(fake: FakeS3) -> None:
    """A server whose account may only read is told at the start, not with the first file."""
    fake.wrong = Misbehaviour(statuses=[403] * 9, code="AccessDenied")
    ingester = ObjectIngester(s3_store(fake.port), S3Multipart(BUCKET, "", s3_environment(fake.port)))
    with pytest.raises(PermissionDeniedError, match="denies access"):
        await ingester.check()
    await ingester.aclose()


async def test_a_bucket_that_was_removed_is_no_missing_file(fake: FakeS3) -> None:
    """Whatever an upload asks of it, the client hears that the server has no bucket, not that its own file is not found."""
    bucket = Bucket(s3_store(fake.port))
    ours = f"{UPLOADS}/open/0123"
    requests: list[Callable[[], Awaitable[object]]] = [
        lambda: bucket.put("a.bin", b"x", {}, None),
        lambda: bucket.put("a.bin", b"x", {}, '"tag"'),
        lambda: bucket.get("a.bin"),
        lambda: bucket.keys("below"),
        lambda: bucket.directories("below"),
        lambda: bucket.get(ours),
    ]
    for request in requests:
        fake.wrong = Misbehaviour(statuses=[404], code="NoSuchBucket")
        with pytest.raises(ServerError, match=r"^([a-z.]+: )?the server's bucket is not there: whoever runs the server"):
            await request()
    fake.wrong = Misbehaviour(statuses=[403], code="AccessDenied")
    with pytest.raises(PermissionDeniedError, match=r"^what the server keeps of uploads: the object store denies access"):
        await bucket.get(ours)


async def test_a_directory_that_the_store_removes_meanwhile_is_made_again(fake: FakeS3) -> None:
    """A store over a directory may answer a new object with 404, because it removes a directory that became empty.

    The object is put again. If that does not help, the server is to blame, and not the name.
    """
    bucket = Bucket(s3_store(fake.port))
    fake.wrong = Misbehaviour(statuses=[404, 404], code="NoSuchKey")
    assert await bucket.put("below/a.bin", b"x", {}, ABSENT) == '"tag"'
    fake.wrong = Misbehaviour(statuses=[404] * 3, code="NoSuchKey")
    with pytest.raises(ServerError, match=r"^below/a.bin: the object store finds no place for it \(HTTP 404\)"):
        await bucket.put("below/a.bin", b"x", {}, ABSENT)
    assert fake.wrong.statuses == []
