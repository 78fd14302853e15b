"""Batches over real sockets: the rules of a read hold for a batch too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from server.gates import GatedStore
from server.wiretap import StreamCall, StreamMethod, Wiretap, wiretap
from unspool import Client, MemoryStore, Server, ServerOptions
from unspool.core.model import Piece, ReadRequest
from unspool.errors import DataLossError, InvalidRequestError, OverloadedError, ServerError, StreamAgeError, UnreachableError
from unspool.options import LimitOptions, ServiceOptions
from unspool.server.report import MOST_FILES, BatchEnd, CallEnd, FileEnd
from unspool.stores.base import SmallFile
from unspool.testing import FaultyStore, Recorder, serve

KIB = 1 << 10
MIB = 1 << 20

OFTEN = ServerOptions(service=ServiceOptions(heartbeat=0.002, block_size=4))


def data_of(pieces: list[Piece]) -> dict[int, bytes]:
    """Return the received bytes of each file that has ended well."""
    data: dict[int, bytes] = {}
    for piece in pieces:
        if piece.frame and piece.frame.block:
            data[piece.index] = data.get(piece.index, b"") + piece.frame.block.data
    return data


async def beats(tap: Wiretap, call: StreamCall, count: int) -> None:
    """Receive this many messages, all of them heartbeats."""
    for _ in range(count):
        assert await tap.next_pieces(call) == ()


class Counting(MemoryStore):
    """Files in memory; counts the bytes of small ones that it returns."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.given = 0

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """See `Store.read_small`."""
        answers = await super().read_small(names, most_bytes, known)
        self.given += sum(len(answer[1]) for answer in answers if isinstance(answer, tuple))
        return answers


async def test_heartbeats_come_while_the_store_waits_and_nothing_is_held_back() -> None:
    """While the store is slow to read a file, the files before it have arrived, and heartbeats arrive."""
    store = GatedStore({"a": b"a", "b": b"b", "c": b"c"})
    gate = store.close_at(0, "b")
    async with serve(store, OFTEN) as address, wiretap(address) as tap:
        call = tap.batch("a", "b", "c")
        assert data_of(list(await tap.next_pieces(call) or ())) == {0: b"a"}
        await beats(tap, call, 3)
        gate.set()
        assert data_of(await tap.all_pieces(call)) == {1: b"b", 2: b"c"}


async def test_heartbeats_come_while_a_large_file_waits() -> None:
    """The same while a file is opened, and between its blocks."""
    store = GatedStore({"a": b"0123456789ab", "b": b"b"})
    store.opening.clear()
    async with serve(store, OFTEN) as address, wiretap(address) as tap:
        call = tap.batch("a", "b", block_size=4)
        await beats(tap, call, 3)
        gate = store.close_at(8)
        store.opening.set()
        pieces: list[Piece] = []
        while len(data_of(pieces).get(0, b"")) < 8:
            pieces += await tap.next_pieces(call) or ()
        await beats(tap, call, 3)
        gate.set()
        pieces += await tap.all_pieces(call)
    assert data_of(pieces) == {0: b"0123456789ab", 1: b"b"}


async def test_no_more_is_read_than_the_client_takes() -> None:
    """If a client does not read, the server stops reading: the bytes in flight are bounded, whatever the size of the batch."""
    store = Counting({"a": bytes(200 * KIB), "b": bytes(4 * MIB)})
    async with serve(store) as address, wiretap(address) as tap, Client(address) as other:
        call = tap.batch(*["a"] * 1000)
        await tap.next_pieces(call)
        for _ in range(10):  # other work is the clock: ten times as much as the slow one needs to fill its share
            await other.read("b")
        assert 0 < store.given < 64 * MIB
        call.cancel()


async def test_when_the_client_has_gone_reading_stops() -> None:
    """If a client disconnects in the middle of a batch, reading ends; the call is logged as CANCELLED, with its files."""
    store = FaultyStore(MemoryStore({"a": b"a"}))
    ends = Recorder[CallEnd]()
    async with serve(store, observers=[ends]) as address, wiretap(address) as tap:
        store.pause()
        call = tap.batch("a", "a", "a")
        await store.until_paused()
        call.cancel()
        while store.open_files or not ends:
            await asyncio.sleep(0.001)
        assert store.bytes_read == 0
    assert [(end.method, end.name, end.outcome) for end in ends] == [("ReadFiles", "", "CANCELLED")]
    assert [end.batch for end in ends] == [BatchEnd(3, 0, (FileEnd("a", 0, None, ""),) * 3, 0)]


async def test_the_end_of_a_batch_is_reported() -> None:
    """A batch is reported with the bytes sent and its caller; each of its files is reported too."""
    ends = Recorder[CallEnd]()
    async with serve(MemoryStore({"a": b"123", "b": b"45"}), observers=[ends]) as address, wiretap(address) as tap:
        await tap.all_pieces(tap.batch("a", "missing", "b"))
        await tap.all_pieces(tap.batch("b"))
        await tap.all_pieces(tap.batch())
        with pytest.raises(InvalidRequestError):
            await tap.all_pieces(tap.batch(*["a"] * 1001))
    assert [(end.name, end.bytes, end.outcome, end.transfer_id, end.attempt) for end in ends] == [
        ("", 5, "OK", "t", 7),
        ("", 2, "OK", "t", 7),
        ("", 0, "OK", "t", 7),
        ("", 0, "INVALID_REQUEST", "t", 7),
    ]
    missing = FileEnd("missing", 0, "FILE_NOT_FOUND", "missing: no such file")
    not_answered = (FileEnd("a", 0, None, ""),) * MOST_FILES
    assert [end.batch for end in ends] == [
        BatchEnd(3, 1, (missing, FileEnd("a", 3, "OK", ""), FileEnd("b", 2, "OK", "")), 0),
        BatchEnd(1, 0, (FileEnd("b", 2, "OK", ""),), 0),
        BatchEnd(0, 0, (), 0),
        BatchEnd(1001, 0, not_answered, 1001 - MOST_FILES),
    ]


async def test_a_line_for_people_says_how_many_files_there_were(caplog: pytest.LogCaptureFixture) -> None:
    """The log for people names one file of a batch, a failed one if there is one, and counts the others."""
    caplog.set_level(logging.INFO, "unspool.server")
    async with serve(MemoryStore({"a": b"123", "b": b"45"})) as address, wiretap(address) as tap:
        await tap.all_pieces(tap.batch("a", "missing", "b"))
        await tap.all_pieces(tap.batch("b"))
        await tap.all_pieces(tap.batch())
    lines = [line for line in caplog.messages if line.startswith("ReadFiles ")]
    assert [line.partition(" from=")[0] for line in lines] == ["ReadFiles missing and 2 more", "ReadFiles b", "ReadFiles -"]
    assert [line.endswith(" failed=1") for line in lines] == [True, False, False]


async def test_what_is_told_of_a_batch_is_bounded() -> None:
    """Of a large batch some files are reported and the others counted; failed ones come first, whatever their place."""
    ends = Recorder[CallEnd]()
    names = [f"{number:03}" for number in range(300)]
    store = MemoryStore({name: b"x" for name in names if name not in ("007", "290")})
    async with serve(store, observers=[ends]) as address, wiretap(address) as tap:
        await tap.all_pieces(tap.batch(*names))
        await tap.all_pieces(tap.batch(*[f"nope {name}" for name in names]))
    some, none = [end.batch for end in ends]
    assert some is not None
    assert none is not None
    assert (some.count, some.failed, len(some.files), some.left_out) == (300, 2, MOST_FILES, 200)
    assert [file.name for file in some.files] == ["007", "290", *(name for name in names[:99] if name != "007")]
    assert {file.outcome for file in some.files[2:]} == {"OK"}
    assert (none.count, none.failed, len(none.files), none.left_out) == (300, 300, MOST_FILES, 200)


async def test_a_file_that_breaks_in_a_batch_is_told_with_what_went_out() -> None:
    """A large file that ends in an error after some blocks has its own bytes and reason, and the next file is OK."""
    ends = Recorder[CallEnd]()
    store = FaultyStore(MemoryStore({"big": bytes(2 * MIB), "b": b"45"}))
    store.fail(DataLossError("x" * 1000), at=MIB)
    async with serve(store, observers=[ends]) as address, wiretap(address) as tap:
        await tap.all_pieces(tap.batch("big", "b"))
    (batch,) = [end.batch for end in ends]
    assert batch is not None
    big, small = batch.files
    assert (big.name, big.outcome, small) == ("big", "DATA_LOSS", FileEnd("b", 2, "OK", ""))
    assert 0 < big.bytes <= MIB
    assert len(big.message) <= 300


async def test_a_batch_is_one_request_and_one_stream() -> None:
    """A batch counts as one for the limits, whatever the number of its files; over a limit it is refused as a whole."""
    store = FaultyStore(MemoryStore({"a": b"a"}))
    async with serve(store, ServerOptions(limits=LimitOptions(requests=2))) as address, wiretap(address) as tap:
        assert len(await tap.all_pieces(tap.batch(*["a"] * 500))) == 500
        assert len(await tap.all_pieces(tap.batch(*["a"] * 500))) == 500
        with pytest.raises(OverloadedError, match="2 requests a second") as caught:
            await asyncio.gather(*(tap.all_pieces(tap.batch("a")) for _ in range(5)))
        assert caught.value.retry_after
    async with serve(store, ServerOptions(limits=LimitOptions(streams=1))) as address, wiretap(address) as tap:
        store.pause()
        held = tap.batch("a", "a")
        await store.until_paused()
        with pytest.raises(OverloadedError, match="limit in all"):
            await tap.all_pieces(tap.batch("a"))
        store.resume()
        assert len(await tap.all_pieces(held)) == 2


async def test_bandwidth_is_kept_to() -> None:
    """The bytes of a batch arrive no faster than the limit allows."""
    rate = 10 * MIB
    loop = asyncio.get_running_loop()
    options = ServerOptions(limits=LimitOptions(stream_bandwidth=rate))
    async with serve(MemoryStore({"a": bytes(4 * KIB)}), options) as address, wiretap(address) as tap:
        started = loop.time()
        pieces = await tap.all_pieces(tap.batch(*["a"] * 1000))
        assert loop.time() - started >= (4 * MIB - rate / 4) / rate * 0.9
    assert len(pieces) == 1000


async def test_a_batch_that_is_old_ends_between_two_files() -> None:
    """A batch ends at its age, but never within a file: however short the age, each stream brings a complete file."""
    options = ServerOptions(service=ServiceOptions(block_size=4), limits=LimitOptions(stream_age=1e-9))
    async with serve(GatedStore({"a": b"0123456789ab", "b": b"b"}), options) as address, wiretap(address) as tap:
        for files, first in ((("a", "b"), b"0123456789ab"), (("b", "a"), b"b")):
            call = tap.batch(*files, block_size=4)
            pieces: list[Piece] = []
            while data_of(pieces) != {0: first}:
                pieces += await tap.next_pieces(call) or ()
            with pytest.raises(StreamAgeError):
                await tap.next_pieces(call)
            assert pieces[-1].ends_file


async def test_a_running_batch_is_let_finish() -> None:
    """While the server drains, new batches are refused with a wait of a second, and running ones get all their files."""
    store = GatedStore({"a": b"a", "b": b"b"})
    gate = store.close_at(0, "b")
    server = Server(store, options=ServerOptions(grace=30))
    async with wiretap(await server.start()) as tap:
        running = tap.batch("a", "b")
        pieces = list(await tap.next_pieces(running) or ())
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        with pytest.raises(UnreachableError, match="going away") as caught:
            await tap.next_pieces(tap.batch("a"))
        assert caught.value.retry_after == 1.0
        gate.set()
        pieces += await tap.all_pieces(running)
        await stopping
    assert data_of(pieces) == {0: b"a", 1: b"b"}


async def test_a_batch_that_does_not_finish_is_told_to_come_back() -> None:
    """After the grace time a batch ends with UNAVAILABLE and RetryInfo, and no file is open."""
    store = FaultyStore(MemoryStore({"a": b"a"}))
    store.pause()
    ends = Recorder[CallEnd]()
    server = Server(store, "127.0.0.1:0", None, [ends])
    async with wiretap(await server.start()) as tap:
        call = tap.batch("a", "a")
        await store.until_paused()
        await server.stop(grace=0.01)
        with pytest.raises(UnreachableError, match="going away") as caught:
            await tap.next_pieces(call)
        assert caught.value.retry_after == 1.0
    assert store.open_files == 0
    assert [end.outcome for end in ends] == ["UNAVAILABLE"]


class BrokenStore(MemoryStore):
    """A store with a bug: it raises an unexpected exception."""

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """Answer for one file, and then raise an unexpected exception."""
        if "a" not in names:
            raise ZeroDivisionError("a secret of the server's")
        return (await super().read_small(names, most_bytes, known))[:1]


async def test_a_bug_in_a_store_ends_the_batch_without_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is INTERNAL for the whole stream, after the files that were answered before."""
    async with serve(BrokenStore({"a": b"a"})) as address, wiretap(address) as tap:
        call = tap.batch("a", "b")
        assert data_of(list(await tap.next_pieces(call) or ())) == {0: b"a"}
        with pytest.raises(ServerError) as caught:
            await tap.next_pieces(call)
    assert caught.value.message == "internal error: ZeroDivisionError"
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]


async def test_what_is_no_request_is_refused() -> None:
    """A malformed request is INVALID_ARGUMENT, and the server goes on."""
    async with serve(MemoryStore({"a": b"a"})) as address, wiretap(address) as tap:
        method: StreamMethod = tap.channel.unary_stream("/unspool.v1.FileService/ReadFiles")
        with pytest.raises(InvalidRequestError):
            await tap.next_message(method(b"\xff\xff\xff"))
        assert await tap.frames(ReadRequest("a"))


async def test_messages_grow_with_a_prompt_reader() -> None:
    """A batch begins with small messages and continues with large ones, or with small ones if there are many streams."""
    store = MemoryStore({"a": bytes(4 * KIB)})
    sizes: dict[int, list[int]] = {}
    for memory in (64 * MIB, 0):
        async with serve(store, ServerOptions(limits=LimitOptions(memory=memory))) as address, wiretap(address) as tap:
            call = tap.batch(*["a"] * 1000)
            sizes[memory] = []
            while (message := await tap.next_message(call)) is not None:
                sizes[memory].append(len(message))
    assert sizes[64 * MIB][0] < 70 * KIB
    assert 256 * KIB < max(sizes[64 * MIB]) < 600 * KIB
    assert max(sizes[0]) < 40 * KIB


async def test_the_pace_follows_files_that_do_not_fit_either() -> None:
    """Files that are larger than the first message also make messages grow, so that later files are read together."""
    async with serve(MemoryStore({"a": bytes(100 * KIB)})) as address, wiretap(address) as tap:
        call = tap.batch(*["a"] * 100)
        counts = []
        while (pieces := await tap.next_pieces(call)) is not None:
            counts.append(len(pieces))
    assert sum(counts) >= 100
    assert max(counts) >= 4
