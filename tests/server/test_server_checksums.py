"""What a server reads for a file's checksum: only bytes that a client requested, and missing parts once."""

import os

from server.gates import GatedStore
from server.wiretap import Wiretap, data_of, wiretap
from unspool import Client, MemoryStore, ServerOptions, ServiceOptions
from unspool.core.checksum import crc32c
from unspool.core.model import ReadRequest, Summary
from unspool.testing import FaultyStore, serve

KIB = 1 << 10

DATA = os.urandom(100 * KIB)

SMALL_BLOCKS = ServerOptions(service=ServiceOptions(block_size=8 * KIB))


def counted() -> FaultyStore:
    """Return a store that knows no checksums, and counts the bytes read."""
    return FaultyStore(GatedStore({"a": DATA}))


async def summary_of(tap: Wiretap, request: ReadRequest) -> Summary:
    """Make a read, check its bytes, and return its summary."""
    frames = await tap.frames(request)
    stop = len(DATA) if request.length is None else min(request.start + request.length, len(DATA))
    assert data_of(frames) == DATA[request.start : stop]
    summary = frames[-1].summary
    assert summary is not None
    assert (summary.end, summary.at_end) == (stop, stop == len(DATA))
    return summary


async def test_a_read_with_a_length_costs_its_own_bytes() -> None:
    """A read with a length reads exactly its bytes, also up to the end of the file, and may have no checksum."""
    store = counted()
    async with serve(store, SMALL_BLOCKS) as address, wiretap(address) as tap:
        cost = 0
        for start, length in ((0, 0), (0, 1), (50_000, 10_000), (90 * KIB, 10 * KIB), (90 * KIB, 1 << 40), (100 * KIB, 0)):
            assert (await summary_of(tap, ReadRequest("a", start, length))).crc32c is None
            cost += min(length, len(DATA) - start)
            assert store.bytes_read == cost


async def test_a_whole_read_learns_the_checksum_on_the_way() -> None:
    """A read of everything reads the file once and sends its checksum, which every later read has."""
    store = counted()
    async with serve(store, SMALL_BLOCKS) as address, wiretap(address) as tap, Client(address) as client:
        assert (await client.stat("a")).crc32c is None
        assert (await summary_of(tap, ReadRequest("a"))).crc32c == crc32c(DATA)
        assert store.bytes_read == len(DATA)
        assert (await client.stat("a")).crc32c == crc32c(DATA)
        assert [page.files[0].crc32c async for page in client.pages()] == [crc32c(DATA)]
        assert (await summary_of(tap, ReadRequest("a", 7, 7))).crc32c == crc32c(DATA)
        assert store.bytes_read == len(DATA) + 7


async def test_a_resumed_read_learns_what_is_missing_once() -> None:
    """A resumed read to the end reads the bytes before it once; a second one reads only its own bytes."""
    store = counted()
    async with serve(store, SMALL_BLOCKS) as address, wiretap(address) as tap:
        assert (await summary_of(tap, ReadRequest("a", 70 * KIB))).crc32c == crc32c(DATA)
        assert store.bytes_read <= 30 * KIB + len(DATA)
        before = store.bytes_read
        assert (await summary_of(tap, ReadRequest("a", 60 * KIB))).crc32c == crc32c(DATA)
        assert store.bytes_read == before + 40 * KIB


async def test_asking_for_nothing_at_the_end_learns_it_too() -> None:
    """A read without a length from the end of the file sends the checksum and no bytes: clients request it in this way."""
    store = counted()
    async with serve(store, SMALL_BLOCKS) as address, wiretap(address) as tap:
        for _ in range(2):
            assert (await summary_of(tap, ReadRequest("a", len(DATA)))).crc32c == crc32c(DATA)
            assert store.bytes_read == len(DATA)


async def test_what_several_clients_read_adds_up() -> None:
    """Parts that different clients read combine to the whole: the last read to the end reads only its own bytes."""
    store = counted()
    async with serve(store, SMALL_BLOCKS) as address, wiretap(address) as tap, wiretap(address) as other:
        assert (await summary_of(tap, ReadRequest("a", 0, 40 * KIB))).crc32c is None
        assert (await summary_of(other, ReadRequest("a", 40 * KIB))).crc32c == crc32c(DATA)
        assert store.bytes_read == len(DATA)


async def test_the_empty_file_costs_nothing() -> None:
    """The checksum of the empty file is known without reading."""
    store = FaultyStore(GatedStore({"a": b""}))
    async with serve(store) as address, wiretap(address) as tap:
        (frame,) = await tap.frames(ReadRequest("a"))
    assert frame.summary == Summary(0, at_end=True, crc32c=0)
    assert store.bytes_read == 0


async def test_another_revision_is_learned_anew() -> None:
    """After a change of the file, the checksum of the old revision is not used for the new one."""
    store = MemoryStore({"a": b"old"})
    async with serve(store) as address, wiretap(address) as tap:
        for data in (b"old", b"new, and longer", b""):
            info = store.put("a", data)
            (frame,) = await tap.frames(ReadRequest("a"))
            assert frame.header is not None
            assert frame.header.info is not None
            assert frame.header.info.revision == info.revision
            assert frame.summary == Summary(len(data), at_end=True, crc32c=crc32c(data))
