"""Uploads at the server: what comes in a stream, what goes back, and how each ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from random import Random

import grpc
import pytest

from server.uploading import ID, OTHER_ID, error_of, put, uploader
from unspool import LimitOptions, LocalStore, MemoryStore, Server, ServerOptions, ServiceOptions
from unspool.core.access import Principal, Right, Verdict
from unspool.core.checksum import crc32c
from unspool.core.model import Block, Span
from unspool.core.uploading import (
    IF_ABSENT,
    GoodSpan,
    UploadCommit,
    UploadCommitted,
    UploadOpen,
    UploadOpened,
    UploadProgress,
    UploadRefused,
    UploadRequest,
)
from unspool.errors import InvalidNameError, UnauthenticatedError, UnsupportedError
from unspool.ingest.local import LocalIngester
from unspool.ingest.memory import MemoryIngester
from unspool.rpc import wire, writewire
from unspool.rpc.transport import GrpcTransport
from unspool.server import writing
from unspool.server.report import CallEnd
from unspool.testing import Recorder, serve

MIB = 1 << 20
DATA = Random(5).randbytes(2 * MIB + 17)


async def unary(address: str, method: str, upload_id: bytes = ID, name: str = "a.bin") -> bytes:
    """Call StatUpload or AbandonUpload."""
    async with grpc.aio.insecure_channel(address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{wire.SERVICE}/{method}")
        return await call(writewire.encode_upload_name(upload_id, name))


async def test_an_upload_from_beginning_to_end(tmp_path: Path) -> None:
    """Open, blocks, commit: the file is in the directory, and the answer is what StatFile says, with the checksum."""
    store, ingester = LocalStore(tmp_path), LocalIngester(tmp_path)
    async with serve(store, ingester=ingester) as address:
        answer = await put(address, DATA, "dir/a.bin")
        assert isinstance(answer, UploadCommitted)
        assert answer.info.crc32c == crc32c(DATA)
        assert answer.info.revision == (await store.stat("dir/a.bin")).revision
    assert (tmp_path / "dir/a.bin").read_bytes() == DATA
    await ingester.aclose()
    await store.aclose()


async def test_everything_may_come_in_one_message(address: str, store: MemoryStore) -> None:
    """A small file is one message: open, block and commit; after the answer the stream ends with OK."""
    async with uploader(address) as one:
        await one.send(
            UploadRequest(UploadOpen(ID, "a.bin"), Block(0, b"abc", crc32c(b"abc")), UploadCommit(3, crc32c(b"abc")))
        )
        assert isinstance(await one.answer(), UploadOpened)
        assert isinstance(await one.answer(), UploadCommitted)
        assert await one.end() == "OK"
    assert (await store.stat("a.bin")).size == 3


async def test_a_stream_that_ends_without_a_commit_leaves_the_upload(address: str) -> None:
    """The next stream is told what there is, and StatUpload too; the status is OK."""
    async with uploader(address) as one:
        assert await one.open(size=len(DATA)) == UploadOpened((), 2 * MIB)
        await one.block(0, DATA[:MIB])
        assert await one.end() == "OK"
    good = (GoodSpan(Span(0, MIB), crc32c(DATA[:MIB])),)
    state = writewire.decode_upload_state(await unary(address, "StatUpload"), name="a.bin")
    assert state == UploadOpened(good, 2 * MIB)
    async with uploader(address) as one:
        assert await one.open(size=len(DATA)) == UploadOpened(good, 2 * MIB)
    assert isinstance(await put(address, DATA), UploadCommitted)
    state = writewire.decode_upload_state(await unary(address, "StatUpload"), name="a.bin")
    assert isinstance(state, UploadCommitted)
    assert writewire.decode_upload_state(await unary(address, "StatUpload", OTHER_ID), name="a.bin") is None


async def test_the_storage_is_named_to_who_may_write_or_delete(store: MemoryStore) -> None:
    """StatStorage needs the right that goes with the question; a name that is none is refused."""

    def deletes_only(who: Principal | None, right: Right, name: str) -> Verdict:
        return Verdict(allowed=right == "delete")

    ingester = MemoryIngester(store)
    server = Server(store, ingester=ingester, authorize=deletes_only)
    async with server, aclosing(GrpcTransport(server.address)) as transport:
        assert await transport.storage("a.bin", deletes=True) == await ingester.storage()
        with pytest.raises(UnauthenticatedError, match="may write this"):
            await transport.storage("a.bin")
        with pytest.raises(InvalidNameError):
            await transport.storage("../x", deletes=True)
    async with serve(store) as address, aclosing(GrpcTransport(address)) as transport:
        with pytest.raises(UnsupportedError, match="takes no files"):
            await transport.storage("a.bin")


async def test_an_abandoned_upload_is_gone(address: str) -> None:
    """After AbandonUpload nothing is there; of an unknown upload it is OK."""
    async with uploader(address) as one:
        await one.open()
        await one.block(0, DATA[:100])
        assert await one.end() == "OK"
    assert await unary(address, "AbandonUpload") == b""
    assert await unary(address, "AbandonUpload") == b""
    assert await unary(address, "StatUpload") == b""


async def test_opening_again_takes_over_and_tells_the_older_stream(address: str) -> None:
    """The older stream is refused with TAKEN_OVER though it waits for its client; the newer one goes on."""
    async with uploader(address) as older:
        await older.open(size=len(DATA))
        await older.block(0, DATA[:MIB])
        while writewire.decode_upload_state(await unary(address, "StatUpload"), name="a.bin") is None:
            await asyncio.sleep(0)
        assert isinstance(await put(address, DATA), UploadCommitted)
        refused = await older.answer()
        assert error_of(refused) == "TAKEN_OVER"
        for _ in range(20):  # it is read away: the stream does not end before its client has
            await older.block(MIB, DATA[MIB : 2 * MIB])
        assert not older.call.done()
        assert await older.end() == "OK"


async def test_a_refusal_tells_what_there_is(address: str) -> None:
    """A block out of order is refused with the good bytes and the offset of the next; what is sent after it is read away."""
    async with uploader(address) as one:
        await one.open(size=len(DATA))
        await one.block(0, DATA[:MIB])
        await one.block(2 * MIB, DATA[2 * MIB :])
        answer = await one.answer()
        assert error_of(answer) == "SEQUENCE"
        assert isinstance(answer, UploadRefused)
        assert answer.good == (GoodSpan(Span(0, MIB), crc32c(DATA[:MIB])),)
        assert answer.error.offset == MIB
        for _ in range(10):
            await one.block(MIB, DATA[MIB : 2 * MIB])
        assert await one.end() == "OK"


async def test_a_block_that_is_there_is_compared_not_believed(address: str) -> None:
    """The same bytes again are skipped; other bytes are FILE_MISMATCH, as is a commit with another checksum."""
    async with uploader(address) as one:
        await one.open(size=MIB)
        await one.block(0, DATA[:MIB])
        await one.block(100, DATA[100:200])
        await one.block(100, DATA[:100])
        answer = await one.answer()
        assert error_of(answer) == "FILE_MISMATCH"
        assert isinstance(answer, UploadRefused)
        assert [good.span for good in answer.good] == [Span(0, MIB)]
    async with uploader(address) as one:
        await one.open(size=MIB)
        assert error_of(await one.commit(DATA[1 : MIB + 1])) == "FILE_MISMATCH"
        assert await one.end() == "OK"


async def test_only_the_segments_that_differ_are_sent_again(address: str, store: MemoryStore) -> None:
    """After FILE_MISMATCH, the client discards the segment that differs, sends it alone, and commits."""
    whole = Random(6).randbytes(16 * MIB + 10)
    bad = whole[: 16 * MIB] + b"x" * 10
    async with uploader(address) as one:
        await one.open(size=len(whole))
        for offset in range(0, len(bad), 2 * MIB):
            await one.block(offset, bad[offset : offset + 2 * MIB])
        answer = await one.commit(whole)
        assert error_of(answer) == "FILE_MISMATCH"
        assert isinstance(answer, UploadRefused)
        differing = [good.span for good in answer.good if crc32c(whole[good.span.start : good.span.stop]) != good.crc32c]
        assert differing == [Span(16 * MIB, 16 * MIB + 10)]
    async with uploader(address) as one:
        await one.open(size=len(whole), discard=tuple(differing))
        await one.block(16 * MIB, whole[16 * MIB :])
        assert isinstance(await one.commit(whole), UploadCommitted)
    assert (await store.stat("a.bin")).crc32c == crc32c(whole)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([b""], "INVALID_REQUEST"),
        ([b"\xff"], "INVALID_REQUEST"),
        ([writewire.encode_upload_request(UploadRequest(block=Block(0, b"a", crc32c(b"a"))))], "INVALID_REQUEST"),
        ([writewire.encode_upload_request(UploadRequest(open=UploadOpen(b"short", "a")))], "INVALID_REQUEST"),
        ([writewire.encode_upload_request(UploadRequest(open=UploadOpen(ID, "../a")))], "INVALID_NAME"),
        ([writewire.encode_upload_request(UploadRequest(open=UploadOpen(ID, "a", size=-1)))], "INVALID_RANGE"),
        ([writewire.encode_upload_request(UploadRequest(open=UploadOpen(ID, "a")))] * 2, "SEQUENCE"),
        ([writewire.encode_upload_request(UploadRequest(open=UploadOpen(ID, "a"))), b"\xff"], "INVALID_REQUEST"),
        ([writewire.encode_upload_request(UploadRequest(UploadOpen(ID, "a"), Block(0, b"a", 1)))], "BLOCK_CORRUPT"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_a_message(address: str, messages: list[bytes], reason: str) -> None:
    """Malformed, out of order or damaged messages are refused, and the stream ends with OK."""
    async with uploader(address, "a") as one:
        for message in messages:
            await one.call.write(message)
        while isinstance(answer := await one.answer(), UploadOpened):
            pass
        assert error_of(answer) == reason
        assert await one.end() == "OK"


async def test_a_client_that_does_not_end_its_side_is_not_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last message, the stream ends with OK after a limited time, whatever the client does."""
    monkeypatch.setattr(writing, "DRAINING", 0.01)
    async with uploader(address) as one:
        await one.open()
        assert isinstance(await one.commit(b""), UploadCommitted)
        assert await one.next() == "OK"


async def test_a_silent_client_is_refused_and_heartbeats_come_meanwhile(store: MemoryStore) -> None:
    """If nothing comes for the idle timeout, the upload is refused; until then heartbeats go out. Its own count as messages."""
    options = ServerOptions(service=ServiceOptions(heartbeat=0.02, upload_idle=0.3))
    async with serve(store, options, ingester=MemoryIngester(store)) as address, uploader(address) as one:
        assert isinstance(await one.open(), UploadOpened)
        await one.send(UploadRequest())
        assert await one.next() is None
        assert error_of(await one.answer()) == "UNAVAILABLE"


async def test_progress_is_told(store: MemoryStore) -> None:
    """After so many bytes, and so long after a byte, the client is told what was received and what is durable."""
    for options in (ServiceOptions(sync_bytes=10), ServiceOptions(sync_seconds=0.01)):
        served = serve(store, ServerOptions(service=options), ingester=MemoryIngester(store))
        async with served as address, uploader(address) as one:
            await one.open()
            await one.block(0, DATA[:100])
            assert await one.next() == UploadProgress(100, 100)


# What the server allows


async def test_a_server_without_writing_says_so(store: MemoryStore) -> None:
    """Without an ingester every method that writes is UNSUPPORTED."""
    async with serve(store) as address:
        async with uploader(address) as one:
            assert error_of(await one.open()) == "UNSUPPORTED"
            assert await one.end() == "OK"
        for method in ("StatUpload", "AbandonUpload"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(address, method)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_right_to_write_is_asked_for_at_the_commit_again(store: MemoryStore) -> None:
    """A right that is taken away while the file is received is missing at the commit; what was received is kept."""
    allowed = {"write"}
    asked: list[tuple[Right, str]] = []

    class Rules:
        version = 0

        def __call__(self, who: Principal | None, right: Right, name: str) -> Verdict:
            asked.append((right, name))
            return Verdict(allowed=right in allowed)

    rules = Rules()
    async with Server(store, authorize=rules, ingester=MemoryIngester(store)) as server, uploader(server.address) as one:
        await one.open()
        await one.block(0, b"abc")
        allowed.clear()
        rules.version += 1
        answer = await one.commit(b"abc")
        assert error_of(answer) == "UNAUTHENTICATED"
        assert await one.end() == "OK"
    assert set(asked) == {("write", "a.bin")}
    assert not [info async for info in _listed(store)]


async def _listed(store: MemoryStore) -> AsyncGenerator[str, None]:
    for name in store._files:
        yield name


async def test_the_owner_is_the_principal(store: MemoryStore) -> None:
    """An upload of one principal is not that of another with the same id and name."""
    who = [Principal(("alice",))]
    async with Server(store, authenticate=lambda _: who[0], ingester=MemoryIngester(store)) as server:
        async with uploader(server.address) as one:
            await one.open()
            await one.block(0, DATA[:100])
            await one.end()
        who[0] = Principal(("bob",))
        async with uploader(server.address) as one:
            assert await one.open() == UploadOpened((), 2 * MIB)


async def test_an_upload_counts_as_a_stream_and_is_reported(store: MemoryStore) -> None:
    """Over the limit of streams an upload is refused by a message; calls are reported with bytes, name and outcome."""
    ended = Recorder[CallEnd]()
    options = ServerOptions(limits=LimitOptions(streams=1))
    served = serve(store, options, [ended], MemoryIngester(store))
    async with served as address, uploader(address) as one:
        await one.open()
        async with uploader(address, "b.bin") as second:
            assert error_of(await second.open(OTHER_ID)) == "OVERLOADED"
        await one.block(0, b"abc")
        assert isinstance(await one.commit(b"abc"), UploadCommitted)
        await one.end()
    told = [(end.method, end.name, end.bytes, end.outcome) for end in ended]
    assert told == [("WriteFile", "", 0, "OVERLOADED"), ("WriteFile", "a.bin", 3, "OK")]


async def test_an_old_stream_ends_between_two_blocks(store: MemoryStore) -> None:
    """A stream that has reached its age is refused with STREAM_AGE; what came before is kept."""
    options = ServerOptions(limits=LimitOptions(stream_age=0.0))
    async with serve(store, options, ingester=MemoryIngester(store)) as address, uploader(address) as one:
        await one.open(size=20)
        await one.block(0, DATA[:10])
        await one.block(10, DATA[10:20])
        answer = await one.answer()
        assert error_of(answer) == "STREAM_AGE"
        assert isinstance(answer, UploadRefused)
        assert [good.span for good in answer.good] == [Span(0, 10)]


async def test_a_server_that_drains_sends_clients_elsewhere(tmp_path: Path) -> None:
    """At the end of the grace time an upload is refused with UNAVAILABLE by a message, and goes on at the next server."""
    store = LocalStore(tmp_path)
    ingester = LocalIngester(tmp_path)
    server = Server(store, ingester=ingester)
    await server.start()
    async with uploader(server.address) as one:
        await one.open(size=len(DATA))
        await one.block(0, DATA[:MIB])
        stopping = asyncio.create_task(server.stop(grace=0.05))
        answer = await one.answer()
        assert error_of(answer) == "UNAVAILABLE"
        assert isinstance(answer, UploadRefused)
        assert answer.error.retry_after is not None
        assert await one.end() == "OK"
        await stopping
    await ingester.aclose()
    ingester = LocalIngester(tmp_path)
    async with serve(store, ingester=ingester) as address, uploader(address) as one:
        opened = await one.open(size=len(DATA))
        assert isinstance(opened, UploadOpened)
        assert opened.good == (GoodSpan(Span(0, MIB), crc32c(DATA[:MIB])),)
    await ingester.aclose()
    await store.aclose()


async def test_lost_replies_are_no_second_upload(address: str) -> None:
    """A client that never saw the answer to its commit is told again that it is committed, under any condition."""
    async with uploader(address) as one:
        await one.open(condition=IF_ABSENT)
        await one.block(0, b"abc")
        await one.send(UploadRequest(commit=UploadCommit(3, crc32c(b"abc"))))
        while not isinstance(writewire.decode_upload_state(await unary(address, "StatUpload"), name=""), UploadCommitted):
            await asyncio.sleep(0)
    assert isinstance(await put(address, b"abc", condition=IF_ABSENT), UploadCommitted)
