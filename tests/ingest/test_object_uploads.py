"""Uploads into object stores: what survives, how servers share a bucket, what stores do that they should not."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from contextlib import AsyncExitStack, aclosing
from random import Random
from typing import Any
from unittest.mock import AsyncMock

import pytest
from obstore.store import MemoryStore as Memory

from ingest.objecting import in_memory
from unspool.core.acceptor import good_spans
from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, Block, FileInfo, Span
from unspool.core.reserved import UPLOADS
from unspool.core.segments import SegmentTable
from unspool.core.uploading import IF_ABSENT, Condition, UploadIdentity, UploadOpen
from unspool.core.uploadparts import MOST_PARTS, PART_SIZE
from unspool.errors import (
    AlreadyExistsError,
    FileChangedError,
    InvalidNameError,
    NoSpaceError,
    OverloadedError,
    SequenceError,
    ServerError,
    TakenOverError,
    TooLargeError,
    UnsupportedError,
)
from unspool.ingest.base import Upload
from unspool.ingest.bucket import Bucket
from unspool.ingest.objectplace import Place
from unspool.ingest.spool import Spool
from unspool.options import IngestOptions
from unspool.stores import ObjectStore
from unspool.testing.ingesting import ID, OTHER_ID, Ingesting, send
from unspool.testing.multipart import MemoryMultipart
from unspool.testing.stock import BYTES, listed, read_file

DAY = 86400.0
BIG = Random(7).randbytes(2 * PART_SIZE + 1000)
RUN = 1 << 20
KEY = UploadIdentity(ID, "a.bin")


async def feed(upload: Upload, data: bytes, start: int = 0) -> None:
    """Write the bytes of a file from `start` on, in large blocks."""
    await send(upload, data, start, RUN)


def kept(objects: Memory) -> set[str]:
    """Return the kinds of objects that are kept of uploads."""
    found = (meta["path"] for page in objects.list(UPLOADS) for meta in page)
    return {path.split("/")[1] if "/open/" not in path else path.rpartition("/")[2].partition("-")[0] for path in found}


async def abandoned(there: Ingesting, data: bytes, **more: Any) -> Upload:
    """Begin an upload as a server that is killed: what it had sent is there, and it closes nothing."""
    upload = await there.open(**more)
    await feed(upload, data)
    return upload


# Files of several parts


@pytest.mark.parametrize("size", [PART_SIZE, 2 * PART_SIZE, len(BIG)])
@pytest.mark.parametrize("told", [True, False])
async def test_a_large_file_is_made_of_its_parts(size: int, *, told: bool) -> None:
    """A file of several parts has its bytes and attributes, whether its size was told or not; nothing is left of the upload."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    attributes = Attributes(1_500_000_000_000_000_000, executable=True)
    async with in_memory(objects, multipart) as there:
        async with aclosing(await there.open(size=size if told else None, attributes=attributes)) as upload:
            await feed(upload, BIG[:size])
            info = await upload.commit(size)
        found, data = await read_file(there.store, "a.bin")
        assert data == BIG[:size]
        assert info.crc32c == crc32c(data)
        assert (info.revision, info.attributes) == (found.revision, found.attributes)
        assert (info.attributes.modified_ns, info.attributes.executable) == (attributes.modified_ns, True)
        assert await there.committed() == info
    assert multipart.uploads == {}
    assert multipart.sent == (0 if told and size <= PART_SIZE else -(-size // PART_SIZE))
    assert kept(objects) == {"done"}


async def test_another_server_goes_on_with_what_was_recorded() -> None:
    """After a kill, another server over the same bucket has every part that was durable, and sends only the rest."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as first, in_memory(objects, multipart) as second:
        killed = await abandoned(first, BIG[:-500])
        durable = await killed.sync()
        assert durable == 2 * PART_SIZE
        assert await killed.sync() == len(BIG) - 500  # nothing else moved, so the tail is kept too
        known = await second.ingester.stat(KEY)
        assert isinstance(known, SegmentTable)
        assert known.good_bytes == len(BIG) - 500
        async with aclosing(await second.open()) as upload:
            assert good_spans(upload.table) == good_spans(known)
            assert await upload.sync() == len(BIG) - 500
            await feed(upload, BIG, len(BIG) - 500)
            await upload.commit(len(BIG))
        assert (await read_file(second.store, "a.bin"))[1] == BIG
        assert multipart.sent == 3
        assert kept(objects) == {"done"}
        await killed.aclose()


async def test_servers_of_one_bucket_name_the_same_storage_and_copies_another() -> None:
    """Whoever asks first makes the id. A bucket that was copied with all that is in it has another one, by its name."""
    objects, copy = Memory(), Memory()
    async with in_memory(objects, where="one") as first, in_memory(objects, where="one") as second:
        ids = set(await asyncio.gather(*(one.ingester.storage() for one in (first, second) * 4)))
        assert len(ids) == 1
        await first.ingester.sweep()
    for page in objects.list():
        for meta in page:
            copy.put(meta["path"], bytes(objects.get(meta["path"]).bytes()))
    async with in_memory(objects, where="one") as third, in_memory(copy, where="two") as other:
        assert {await third.ingester.storage()} == ids
        assert await other.ingester.storage() not in ids


async def test_a_server_that_was_taken_over_by_another_finds_out() -> None:
    """The older server's stream ends with TAKEN_OVER as soon as it has something to record; the newer one's goes on."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as first, in_memory(objects, multipart) as second:
        older = await abandoned(first, BIG[:PART_SIZE])
        await older.sync()
        async with aclosing(await second.open()) as newer:
            assert newer.table.good_bytes == PART_SIZE
            await feed(older, BIG[: 2 * PART_SIZE], PART_SIZE)
            with pytest.raises(TakenOverError):
                await older.sync()
            assert older.taken_over.is_set()
            with pytest.raises(TakenOverError):
                await older.commit(2 * PART_SIZE)
            await older.aclose()
            await feed(newer, BIG, PART_SIZE)
            await newer.commit(len(BIG))
        assert (await read_file(second.store, "a.bin"))[1] == BIG


async def test_two_servers_that_begin_the_same_upload_do_not_mix_it() -> None:
    """If two servers open an upload of which there is nothing yet, the first to record it has it."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as first, in_memory(objects, multipart) as second:
        one, other = await first.open(), await second.open()
        await send(one, BYTES[:600])
        await send(other, BYTES[:900])
        assert await other.sync() == 900
        with pytest.raises(TakenOverError):
            await one.sync()
        await one.aclose()
        await send(other, BYTES, 900)
        await other.commit(len(BYTES))


async def test_a_tail_that_grows_is_kept_piece_by_piece() -> None:
    """Each sync keeps only what is new of an incomplete part, and what is kept is read again before it is used."""
    objects = Memory()
    async with in_memory(objects) as first, in_memory(objects) as second:
        killed = await first.open()
        for stop in (300, 600, 900):
            await send(killed, BYTES[:stop], stop - 300)
            assert await killed.sync() == stop
        place = Place(first.ingester._bucket, KEY)  # type: ignore[attr-defined]
        tails = (await place.load()).tails
        assert [tail.span for tail in tails] == [Span(0, 300), Span(300, 600), Span(600, 900)]
        objects.put(tails[1].key, b"x" * 300)
        async with aclosing(await second.open()) as upload:
            assert upload.table.good_bytes == 300
            await send(upload, BYTES, 300)
            await upload.commit(len(BYTES))
        assert (await read_file(second.store, "a.bin"))[1] == BYTES
        await killed.aclose()


async def test_a_part_that_the_store_lost_is_sent_again() -> None:
    """A part that is gone or different is missing when the upload is opened again, or after a commit that finds out."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as there:
        async with aclosing(await there.open(size=len(BIG))) as upload:
            await feed(upload, BIG)
            await upload.sync()
            (begun,) = multipart.uploads.values()
            begun.parts[0] = b"other bytes"
            with pytest.raises(ServerError, match="has lost a part of it"):
                await upload.commit(len(BIG))
        async with aclosing(await there.open(size=len(BIG))) as upload:
            assert [good.span for good in good_spans(upload.table)] == [Span(PART_SIZE, len(BIG))]
            await feed(upload, BIG[:PART_SIZE])
            await upload.sync()
        del begun.parts[1]
        async with aclosing(await there.open(size=len(BIG))) as upload:
            assert [good.span for good in good_spans(upload.table)] == [Span(0, PART_SIZE), Span(2 * PART_SIZE, len(BIG))]
            await feed(upload, BIG[: 2 * PART_SIZE], PART_SIZE)
            await upload.commit(len(BIG))
        assert (await read_file(there.store, "a.bin"))[1] == BIG


async def test_an_upload_that_the_store_removed_begins_again() -> None:
    """If the store has removed the parts, as a lifecycle rule does, they are missing, and the upload goes on anew."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as there:
        async with aclosing(await there.open(size=len(BIG))) as upload:
            await feed(upload, BIG[:PART_SIZE])
            await upload.sync()
            multipart.uploads.clear()
            await feed(upload, BIG[: 2 * PART_SIZE], PART_SIZE)
            with pytest.raises(ServerError, match="does not know this upload any more"):
                await upload.sync()
        async with aclosing(await there.open(size=len(BIG))) as upload:
            assert upload.table.good_bytes in {0, PART_SIZE}  # the part that could not be sent was kept
            await feed(upload, BIG)
            multipart.uploads.clear()
            with pytest.raises(ServerError, match="does not know this upload any more"):
                await upload.commit(len(BIG))
        async with aclosing(await there.open(size=len(BIG))) as upload:
            await feed(upload, BIG)
            await upload.commit(len(BIG))
        assert (await read_file(there.store, "a.bin"))[1] == BIG


# Replies that are lost


async def test_a_lost_answer_to_a_completion_is_recognised() -> None:
    """If the store made the object and its answer was lost, the commit succeeds: the mark in the metadata tells."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as there:
        multipart.loses_answer = True
        info = await put(there, BIG, condition=IF_ABSENT)
        assert info.crc32c == crc32c(BIG)
        with pytest.raises(AlreadyExistsError):
            await there.open(upload_id=OTHER_ID, condition=IF_ABSENT)


@pytest.mark.parametrize("data", [BYTES, BIG], ids=["small", "large"])
async def test_a_server_that_died_right_after_the_commit_is_found_out(data: bytes) -> None:
    """If nothing was written down after the object was made, whoever opens the upload again is told `committed`."""
    objects = Memory()
    async with in_memory(objects) as there:
        info = await put(there, data, condition=IF_ABSENT)
        record = kept(objects)
        objects.delete([meta["path"] for page in objects.list(UPLOADS) for meta in page])
    async with in_memory(objects) as there:
        again = await there.committed(condition=IF_ABSENT)
        assert (again.revision, again.size) == (info.revision, info.size)
        assert again.crc32c in {info.crc32c, None if data is BIG else info.crc32c}
        assert kept(objects) == record == {"done"}


async def put(there: Ingesting, data: bytes, name: str = "a.bin", upload_id: bytes = ID, **more: Any) -> FileInfo:
    """Upload a file in large blocks."""
    async with aclosing(await there.open(name, upload_id, **more)) as upload:
        await feed(upload, data)
        return await upload.commit(len(data))


# Stores that are busy, or worse


async def test_what_a_server_that_died_after_the_commit_left_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a committed upload again removes what is kept of it beside the commit."""
    objects = Memory()
    async with in_memory(objects) as there:
        with monkeypatch.context() as patch:
            patch.setattr(Place, "forget", AsyncMock())
            async with aclosing(await there.open()) as upload:
                await feed(upload, BIG)
                info = await upload.commit(len(BIG))
        assert kept(objects) == {"record", "done"}
        assert await there.committed() == info
    assert kept(objects) == {"done"}


async def test_an_error_of_the_store_ends_the_stream_and_keeps_what_there_is() -> None:
    """A store that throttles or fails is told to the client, and the upload goes on later with the parts that were sent."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as there:
        async with aclosing(await there.open(size=len(BIG))) as upload:
            await feed(upload, BIG[:PART_SIZE])
            await upload.sync()
            multipart.fails.append(OverloadedError("the object store asks for fewer requests: try again", retry_after=1.0))
            await feed(upload, BIG[: 2 * PART_SIZE], PART_SIZE)
            with pytest.raises(OverloadedError):
                await upload.sync()
            with pytest.raises(OverloadedError):
                await upload.write(Block(2 * PART_SIZE, b"x", crc32c(b"x")))
        async with aclosing(await there.open(size=len(BIG))) as upload:
            assert upload.table.good_bytes == 2 * PART_SIZE  # the one that could not be sent was kept beside
            await feed(upload, BIG, 2 * PART_SIZE)
            multipart.fails.append(ServerError("the object store failed (HTTP 500)"))
            with pytest.raises(ServerError):
                await upload.commit(len(BIG))
        async with aclosing(await there.open(size=len(BIG))) as upload:
            assert upload.table.good_bytes == len(BIG)
            await upload.commit(len(BIG))
        assert (await read_file(there.store, "a.bin"))[1] == BIG


class _Overwriting:
    """A store in memory that ignores conditions."""

    def __init__(self, objects: Memory) -> None:
        self._objects = objects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    async def put_async(self, path: str, data: bytes, **more: Any) -> Any:
        """Put, whatever there is."""
        return await self._objects.put_async(path, data, **(more | {"mode": "overwrite"}))


async def test_a_store_that_ignores_conditions_is_refused() -> None:
    """A store that would overwrite is refused before a file is written to it, and nothing is left of the trial but an id."""
    objects: Any = Memory()
    async with in_memory(_Overwriting(objects), MemoryMultipart(objects)) as there:  # type: ignore[arg-type]
        with pytest.raises(UnsupportedError, match="ignores If-None-Match of PutObject"):
            await there.ingester.check()  # type: ignore[attr-defined]
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as there:
        multipart.ignores_conditions = True
        with pytest.raises(UnsupportedError, match="ignores If-None-Match of CompleteMultipartUpload"):
            await there.ingester.check()  # type: ignore[attr-defined]
        multipart.ignores_conditions = False
        assert kept(objects) == set()
        await there.ingester.check()  # type: ignore[attr-defined]
    assert kept(objects) == {"storage"}
    assert multipart.uploads == {}


async def test_parts_in_flight_are_bounded() -> None:
    """While the store does not answer, a few parts of each upload and of all are sent, and the clients wait."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    data = b"x" * PART_SIZE * 7
    multipart.gate.clear()
    async with in_memory(objects, multipart) as there, AsyncExitStack() as stack:
        uploads = [
            await stack.enter_async_context(aclosing(await there.open(upload_id=bytes([number] * 16), size=len(data))))
            for number in range(5)
        ]
        feeding = [asyncio.create_task(feed(upload, data)) for upload in uploads]
        received, before = [0], [-1]
        while received != before:
            before = received
            await asyncio.sleep(0.5)
            received = sorted(upload.known().good_bytes // PART_SIZE for upload in uploads)  # type: ignore[attr-defined]
        assert not any(task.done() for task in feeding)
        assert sum(received) == 16 + 5
        assert max(received) <= 5
        multipart.gate.set()
        await asyncio.gather(*feeding)
    assert multipart.most_at_once == 16


# Conditions


async def test_a_file_that_appears_during_the_upload_is_not_replaced() -> None:
    """The store checks the condition of a file in parts too, and the parts are committed under another one."""
    objects = Memory()
    async with in_memory(objects) as there:
        old = objects.put("b.bin", b"old")["e_tag"]
        for name, condition, error in (
            ("a.bin", IF_ABSENT, AlreadyExistsError),
            ("b.bin", Condition(revision=str(old).strip('"')), FileChangedError),
        ):
            async with aclosing(await there.open(name, condition=condition, size=len(BIG))) as upload:
                await feed(upload, BIG)
                objects.put(name, b"theirs")
                with pytest.raises(error):
                    await upload.commit(len(BIG))
            assert (await read_file(there.store, name))[1] == b"theirs"
            async with aclosing(await there.open(name, size=len(BIG))) as upload:
                assert upload.table.good_bytes == len(BIG)
                await upload.commit(len(BIG))
            assert (await read_file(there.store, name))[1] == BIG


async def test_a_condition_that_fails_in_the_last_moment_is_the_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that appears after the server has looked, and before the object gets its name, is not replaced either."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    real = MemoryMultipart.complete

    def late(self: MemoryMultipart, key: str, *more: Any) -> str:
        objects.put(key, b"theirs")
        return real(self, key, *more)

    monkeypatch.setattr(MemoryMultipart, "complete", late)
    async with in_memory(objects, multipart) as there:
        with pytest.raises(AlreadyExistsError):
            await put(there, BIG, condition=IF_ABSENT)
        assert (await read_file(there.store, "a.bin"))[1] == b"theirs"
        revision = (await there.store.stat("a.bin")).revision

        def gone(self: MemoryMultipart, key: str, *more: Any) -> str:
            objects.delete(key)
            return real(self, key, *more)

        monkeypatch.setattr(MemoryMultipart, "complete", gone)
        with pytest.raises(FileChangedError):
            await put(there, BIG, upload_id=OTHER_ID, condition=Condition(revision=revision))


# What is refused, and what expires


async def test_names_limits_and_blocks_out_of_order_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unspool's own names, hidden ones, files that are too large, too many uploads, and blocks that leave a hole."""
    objects = Memory()
    options = IngestOptions(largest_file=3 * PART_SIZE, uploads=2, bytes=2 * PART_SIZE)
    async with in_memory(objects, options=options) as there:
        for name in (f"{UPLOADS}/x", "a.unspool-part", ".x"):
            with pytest.raises(InvalidNameError):
                await there.open(name)
        with pytest.raises(TooLargeError):
            await there.open(size=3 * PART_SIZE + 1)
        async with AsyncExitStack() as stack:
            upload = await stack.enter_async_context(aclosing(await there.open(owner="alice")))
            with pytest.raises(SequenceError):
                await upload.write(Block(5, b"x", crc32c(b"x")))
            await feed(upload, BIG[:PART_SIZE])
            await upload.sync()
            with pytest.raises(SequenceError, match="cannot be read"):
                await upload.checksum(Span(0, 10))
            with pytest.raises(NoSpaceError, match=f"of which {PART_SIZE}"):
                await there.open("b", owner="alice", size=2 * PART_SIZE)
            await stack.enter_async_context(aclosing(await there.open("b", owner="alice")))
            with pytest.raises(NoSpaceError, match="2 unfinished uploads"):
                await there.open("c", owner="alice")
            await (await there.open("c", owner="bob")).aclose()
            with pytest.raises(TooLargeError, match="size is not told"):
                await upload.write(Block(MOST_PARTS * PART_SIZE, b"x", crc32c(b"x")))
    async with in_memory(objects) as there:
        upload = await there.open("d")

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(Spool, "write", full)
            with pytest.raises(NoSpaceError):
                await send(upload, BYTES)
        await upload.aclose()
        with pytest.raises(ServerError, match="closed meanwhile"):
            await upload.write(Block(0, b"x", crc32c(b"x")))


async def test_the_share_of_an_owner_holds_while_bytes_arrive() -> None:
    """Also for an upload whose size nobody said, and for several that were opened when there was room for each."""
    async with (
        in_memory(Memory(), options=IngestOptions(bytes=3 * PART_SIZE)) as there,
        aclosing(await there.open("a", owner="alice")) as first,
        aclosing(await there.open("b", owner="alice")) as second,
    ):
        await feed(first, BIG[: 2 * PART_SIZE])
        await feed(second, BIG[:PART_SIZE])
        with pytest.raises(NoSpaceError, match=f"{3 * PART_SIZE} bytes, of which {2 * PART_SIZE} are used"):
            await second.write(Block(PART_SIZE, b"x", crc32c(b"x")))
        await first.commit(2 * PART_SIZE)
        await second.write(Block(PART_SIZE, b"x", crc32c(b"x")))


async def test_without_a_limit_of_bytes_other_uploads_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening an upload reads no record of another one, whatever its owner has, if its bytes are not limited."""
    asked: list[str] = []
    get = Bucket.get

    async def noted(bucket: Bucket, key: str) -> tuple[bytes, str] | None:
        asked.append(key)
        return await get(bucket, key)

    objects = Memory()
    async with in_memory(objects) as there, aclosing(await there.open("a", owner="alice")) as first:
        await feed(first, BIG[:PART_SIZE])
        await first.sync()
    monkeypatch.setattr(Bucket, "get", noted)
    async with in_memory(objects) as again:
        await (await again.open("b", owner="alice")).aclose()
    assert asked
    assert [key for key in asked if key.endswith("/record")] == []


async def test_a_file_that_grew_beyond_its_parts_begins_again() -> None:
    """An upload whose size is told later, and needs larger parts, begins anew."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as there:
        async with aclosing(await there.open()) as upload:
            await feed(upload, BIG[:PART_SIZE])
        async with aclosing(await there.open(size=MOST_PARTS * PART_SIZE + 1)) as upload:
            assert upload.table.good_bytes == 0
            assert upload.table.segment_size == PART_SIZE + (1 << 20)
        assert multipart.uploads == {}


async def test_what_expired_is_removed_and_what_is_not_ours_stays() -> None:
    """An upload without a new byte for too long is removed with its parts, unless it is open here; others' stay."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    theirs = multipart.begin("theirs", {}, "")
    now = time.time()
    async with in_memory(objects, multipart, clock=lambda: now) as there:
        await put(there, BYTES, "done.bin", OTHER_ID)
        async with aclosing(await there.open(size=len(BIG))) as upload:
            await feed(upload, BIG[: PART_SIZE + 10])
        live = await there.open("live.bin")
        await send(live, BYTES[:600])
        await live.sync()
        assert await there.ingester.sweep() == 0
        now += 2 * DAY
        assert await there.ingester.sweep() == 0
        assert await there.ingester.stat(UploadIdentity(OTHER_ID, "done.bin")) is None  # what was committed is forgotten
        assert isinstance(await there.ingester.stat(KEY), SegmentTable)
        now += 6 * DAY
        objects.put(f"{UPLOADS}/storage/probe-left", b"")
        assert await there.ingester.sweep() == 1
        assert await there.ingester.stat(KEY) is None
        assert list(multipart.uploads) == [theirs]
        await live.aclose()
        assert isinstance(await there.ingester.stat(UploadIdentity(ID, "live.bin")), SegmentTable)
        now += DAY
        assert await there.ingester.sweep() == 1
        assert kept(objects) == set()


async def test_what_is_abandoned_leaves_no_parts() -> None:
    """`abandon` removes the parts in the store, too."""
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with in_memory(objects, multipart) as there:
        async with aclosing(await there.open(size=len(BIG))) as upload:
            await feed(upload, BIG[: PART_SIZE + 10])
        await there.ingester.abandon(KEY)
    assert multipart.uploads == {}
    assert kept(objects) == set()


async def test_a_damaged_record_is_none() -> None:
    """The parts of an upload whose record is damaged are not used; the upload goes on all the same."""
    objects = Memory()
    async with in_memory(objects) as there:
        async with aclosing(await there.open(size=len(BIG))) as upload:
            await feed(upload, BIG[:PART_SIZE])
        (record,) = [meta["path"] for page in objects.list(UPLOADS) for meta in page]
        objects.put(record, b"nonsense")
        assert await there.ingester.stat(KEY) is None
        async with aclosing(await there.open(size=len(BIG))) as upload:
            assert upload.table.good_bytes == 0
            await feed(upload, BIG)
            await upload.commit(len(BIG))
        assert (await read_file(there.store, "a.bin"))[1] == BIG


async def test_a_listing_may_have_what_is_in_the_metadata() -> None:
    """With `metadata`, a listing has the client's times and checksums, so that `put -r` skips what is there."""
    objects = Memory()
    async with in_memory(objects) as there:
        info = await put(there, BYTES, attributes=Attributes(1_500_000_000_000_000_001, executable=True))
        objects.put("dir/other", b"1")
    files = [(await listed(ObjectStore(objects, metadata=metadata)))[0]["a.bin"] for metadata in (True, False)]
    assert files[0] == info
    assert (files[1].crc32c, files[1].revision) == (None, info.revision)


async def test_a_checksum_is_known_without_reading() -> None:
    """What the metadata says of an object that unspool wrote is its checksum: a file that is there is not sent again."""
    async with in_memory() as there:
        info = await put(there, BYTES)
        assert (await there.store.stat("a.bin")).crc32c == info.crc32c == crc32c(BYTES)
        opens = UploadOpen(OTHER_ID, "a.bin", size=len(BYTES), crc32c=info.crc32c)
        assert await there.ingester.open(opens, "") == info


async def test_a_file_that_is_replaced_while_it_is_deleted_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store checks the revision of a deletion, at the moment when the object goes."""
    objects = Memory()
    real = MemoryMultipart.delete

    def late(self: MemoryMultipart, key: str, only_if: str) -> None:
        objects.put(key, b"theirs")
        real(self, key, only_if)

    monkeypatch.setattr(MemoryMultipart, "delete", late)
    async with in_memory(objects) as there:
        info = await put(there, BYTES)
        with pytest.raises(FileChangedError):
            await there.ingester.delete("a.bin", info.revision)
        assert (await read_file(there.store, "a.bin"))[1] == b"theirs"


async def test_who_asks_while_an_upload_is_closed_hears_of_all_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload is known as it is until its last bytes are kept."""
    real = Place.keep_tail
    seen: list[int] = []

    async def asking(self: Place, start: int, data: bytes) -> None:
        known = await there.ingester.stat(KEY)
        assert isinstance(known, SegmentTable)
        seen.append(known.good_bytes)
        await real(self, start, data)

    monkeypatch.setattr(Place, "keep_tail", asking)
    async with in_memory() as there:
        upload = await there.open()
        await send(upload, BYTES[:600])
        await upload.aclose()
    assert seen == [600]
