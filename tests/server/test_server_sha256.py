"""The SHA-256 of a file for clients that request it: computed once, and never on the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.gates import GatedStore
from server.wiretap import wiretap
from unspool import Client, LocalStore, MemoryStore, ServerOptions, ServiceOptions
from unspool.answers import digests
from unspool.answers.checksums import Checksums
from unspool.core.checksum import crc32c
from unspool.core.model import HEARTBEAT, FileInfo, Frame, ReadRequest
from unspool.errors import DataLossError, FileChangedError, FileMismatchError, UnsupportedError
from unspool.stores import OpenFile
from unspool.testing import FaultyStore, StoreTransport, serve

KIB = 1 << 10

DATA = os.urandom(100 * KIB)

SMALL_BLOCKS = ServerOptions(service=ServiceOptions(block_size=8 * KIB, heartbeat=0.01))


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(data).digest()


async def test_it_is_what_sha256sum_says_and_is_computed_once(tmp_path: Path) -> None:
    """A client that requests it gets the value of `sha256sum`; the file is read once for all clients."""
    path = tmp_path / "a"
    path.write_bytes(DATA)
    said = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    os.utime(path, ns=(0, 0))
    store = FaultyStore(LocalStore(tmp_path))
    async with serve(store, SMALL_BLOCKS) as address, Client(address) as client:
        for _ in range(3):
            info = await client.stat("a", sha256=True)
            assert info.sha256 is not None
            assert info.sha256.hex() == said
            assert (info.name, info.size) == ("a", len(DATA))
        assert await client.verify("a", path, sha256=True) == info
        assert store.bytes_read == len(DATA)
    await store.aclose()


async def test_nobody_is_told_who_does_not_ask() -> None:
    """Stat, listings and other reads have no SHA-256; bytes read for it need not be read again for the CRC32C."""
    store = FaultyStore(GatedStore({"a": DATA, "empty": b""}))
    async with serve(store, SMALL_BLOCKS) as address, Client(address) as client, wiretap(address) as tap:
        assert (await client.stat("empty", sha256=True)).sha256 == sha256(b"")
        asked = await client.stat("a", sha256=True)
        assert (asked.sha256, asked.crc32c) == (sha256(DATA), crc32c(DATA))
        plain = await client.stat("a")
        assert (plain.sha256, plain.crc32c) == (None, crc32c(DATA))
        assert [info.sha256 async for info in client.list(recursive=True)] == [None, None]
        (frame,) = await tap.frames(ReadRequest("a", length=0))
        assert frame.header is not None
        assert frame.header.info == plain
        assert store.bytes_read == len(DATA)


async def test_the_header_waits_for_it_with_heartbeats() -> None:
    """While the server reads the file for it, heartbeats arrive, and then the header."""
    store = GatedStore({"a": DATA})
    gate = store.close_at(16 * KIB)
    async with serve(store, SMALL_BLOCKS) as address, wiretap(address) as tap:
        call = tap.read(ReadRequest("a", length=0, sha256=True))
        assert [await tap.next_frame(call) for _ in range(3)] == [HEARTBEAT] * 3
        gate.set()
        while (frame := await tap.next_frame(call)) == HEARTBEAT:
            pass
        assert frame is not None
        assert frame.header is not None
        assert frame.header.info is not None
        assert frame.header.info.sha256 == sha256(DATA)


async def test_many_who_ask_share_one_computation() -> None:
    """Clients that request it while it is being computed wait for the result: the file is read once."""
    inner = GatedStore({"a": DATA})
    gate = inner.close_at(16 * KIB)
    store = FaultyStore(inner)
    async with serve(store, SMALL_BLOCKS) as address, Client(address) as client:
        asking = [asyncio.create_task(client.stat("a", sha256=True)) for _ in range(8)]
        await inner.waited_for.wait()
        gate.set()
        assert {info.sha256 for info in await asyncio.gather(*asking)} == {sha256(DATA)}
    assert store.bytes_read == len(DATA)


class Turns:
    """Counts turns, and records the threads of the hashing."""

    def __init__(self) -> None:
        self.taken = 0

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Take a turn."""
        self.taken += 1
        yield


async def opened(store: GatedStore | MemoryStore | FaultyStore) -> OpenFile:
    """Open the only file of a store."""
    return await store.open("a")


async def test_it_takes_turns_and_no_time_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run is hashed in a worker thread, in a turn of its own."""
    threads: set[threading.Thread] = set()
    hashed = digests._hashed

    def watched(before: object, data: bytes) -> object:
        threads.add(threading.current_thread())
        return hashed(before, data)  # type: ignore[arg-type]

    monkeypatch.setattr(digests, "_hashed", watched)
    turns = Turns()
    answer = await digests.Digests(8 * KIB).sha256(await opened(MemoryStore({"a": DATA})), Checksums(), turns)
    assert answer == sha256(DATA)
    assert turns.taken == 13
    assert threading.current_thread() not in threads


async def test_a_client_that_leaves_ends_the_work_and_the_next_goes_on() -> None:
    """If the caller is cancelled, reading stops; bytes hashed before that are not read again for the next caller."""
    inner = GatedStore({"a": DATA})
    inner.close_at(48 * KIB)
    store = FaultyStore(inner)
    table = digests.Digests(8 * KIB)
    first = asyncio.create_task(table.sha256(await opened(store), Checksums(), Turns()))
    await inner.waited_for.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    before = store.bytes_read
    assert before <= 56 * KIB
    inner.reading.clear()
    assert await table.sha256(await opened(store), Checksums(), Turns()) == sha256(DATA)
    assert store.bytes_read == before + len(DATA) - 48 * KIB


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many revisions are known, the least recently used one is forgotten and read again; so is unfinished work."""
    monkeypatch.setattr(digests, "_KNOWN", 2)
    monkeypatch.setattr(digests, "_BEGUN", 2)
    names = ["a", "b", "c"]
    store = FaultyStore(MemoryStore(dict.fromkeys(names, DATA)))
    table = digests.Digests(8 * KIB)
    for name in ("a", "b", "a", "c", "a", "b"):  # the last b was forgotten for c
        assert await table.sha256(await store.open(name), Checksums(), Turns()) == sha256(DATA)
    assert store.bytes_read == 4 * len(DATA)
    table = digests.Digests(8 * KIB)
    gated = GatedStore(dict.fromkeys(names, DATA))
    for name in names:
        gated.close_at(0, name)
        gated.waited_for.clear()
        left = asyncio.create_task(table.sha256(await gated.open(name), Checksums(), Turns()))
        await gated.waited_for.wait()
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
    assert len(table._begun) == 2


class Short:
    """A file that ends before its size."""

    def __init__(self) -> None:
        self.info = FileInfo("a", 10, "r")

    async def read(self, *_: object) -> AsyncGenerator[bytes, None]:
        """Yield too few bytes."""
        yield b"short"


async def test_a_store_that_stops_short_gives_none() -> None:
    """If bytes of a file are missing, the error is data loss at that byte."""
    with pytest.raises(DataLossError) as caught:
        await digests.Digests(8).sha256(Short(), Checksums(), Turns())  # type: ignore[arg-type]
    assert caught.value.offset == 5


class Unsteady(GatedStore):
    """A store whose files may be changed unnoticed."""

    async def open(self, name: str, revision: str | None = None) -> OpenFile:
        """See `Store.open`."""
        file = await super().open(name, revision)

        async def steady() -> bool:
            return False

        file.steady = steady  # type: ignore[method-assign]
        return file


async def test_it_is_not_remembered_of_a_file_that_may_change_unseen() -> None:
    """The SHA-256 of a file that is not steady is sent to the client that requested it, and computed again for the next."""
    store = FaultyStore(Unsteady({"a": DATA}))
    async with serve(store, SMALL_BLOCKS) as address, Client(address) as client:
        for times in (1, 2):
            assert (await client.stat("a", sha256=True)).sha256 == sha256(DATA)
            assert store.bytes_read == times * len(DATA)


async def test_another_revision_has_another() -> None:
    """A file that changed is hashed again; a client that pinned the old revision does not get the new value."""
    store = MemoryStore({"a": b"old"})
    async with serve(store) as address, Client(address) as client, wiretap(address) as tap:
        old = await client.stat("a", sha256=True)
        store.put("a", b"new")
        assert (await client.stat("a", sha256=True)).sha256 == sha256(b"new")
        with pytest.raises(FileChangedError):
            await tap.frames(ReadRequest("a", length=0, revision=old.revision, sha256=True))


class Older(StoreTransport):
    """A server from before the SHA-256."""

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """Ignore the unknown field."""
        request = ReadRequest(request.name, request.start, request.length, request.revision)
        async for frame in super().read(request):
            yield frame


async def test_an_older_server_has_none_and_the_client_says_so(tmp_path: Path) -> None:
    """Stat and verify with `sha256` raise UnsupportedError with the file's name; without it they work as before."""
    store = FaultyStore(GatedStore({"a": DATA}))
    (tmp_path / "a").write_bytes(DATA)
    async with Client(transport=Older(store)) as client:
        with pytest.raises(UnsupportedError, match=r"^a: the server has no SHA-256"):
            await client.stat("a", sha256=True)
        with pytest.raises(UnsupportedError, match=r"^a: the server has no SHA-256"):
            await client.verify("a", tmp_path / "a", sha256=True)
        assert store.bytes_read == 0, "to find that out costs an older server nothing"
        assert (await client.verify("a", tmp_path / "a")).sha256 is None


class Colliding(StoreTransport):
    """A server whose file has the CRC32C of another file, but its own SHA-256."""

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """Report no CRC32C."""
        async for frame in super().read(request):
            assert frame.header is not None
            assert frame.header.info is not None
            info = frame.header.info
            frame.header.info = FileInfo(info.name, info.size, info.revision, sha256=info.sha256)  # type: ignore[misc]
            frame.summary.crc32c = None  # type: ignore[union-attr,misc]
            yield frame


async def test_verify_compares_the_sha256_itself(tmp_path: Path) -> None:
    """If only the SHA-256 of two files differs, verify detects it, and the error has both values."""
    (tmp_path / "a").write_bytes(b"here!")
    async with Client(transport=Colliding(GatedStore({"a": b"there"}))) as client:
        with pytest.raises(FileMismatchError) as caught:
            await client.verify("a", tmp_path / "a", sha256=True)
        assert sha256(b"here!").hex() in caught.value.message
        assert sha256(b"there").hex() in caught.value.message
        (tmp_path / "a").write_bytes(b"there")
        assert (await client.verify("a", tmp_path / "a", sha256=True)).sha256 == sha256(b"there")
