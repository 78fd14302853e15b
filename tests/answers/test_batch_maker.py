"""Answers to batches, without a network: how far they read ahead, and that they leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from contract.batch_contract import batch, messages_of
from unspool import MemoryStore, ServiceOptions
from unspool.answers.batch import FULL_MESSAGE
from unspool.answers.checksums import Checksums
from unspool.core.checksum import crc32c
from unspool.core.model import FileInfo
from unspool.errors import UnspoolError
from unspool.stores.base import SmallFile
from unspool.testing import FaultyStore, StoreTransport

KIB = 1 << 10


class Counting(MemoryStore):
    """Files in memory; a test may make the reads of small ones wait.

    Attributes:
        asked: bytes of small files that were returned.
        waiting: the number of reads that wait now.
        gate: the event that they wait for.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.asked = self.waiting = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """See `Store.read_small`."""
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        answers = await super().read_small(names, most_bytes, known)
        self.asked += sum(len(answer[1]) for answer in answers if not isinstance(answer, UnspoolError))
        return answers


async def turns() -> None:
    """Let all tasks run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_message_is_read_ahead_and_no_more() -> None:
    """While one message is being sent, the next one is read from the store, and no more."""
    store = Counting({"a": bytes(64 * KIB)})
    async with aclosing(StoreTransport(store).read_files(batch(*["a"] * 80))) as messages:
        for taken in range(1, 9):
            assert len(await anext(messages)) == FULL_MESSAGE // (64 * KIB)
            await turns()
            assert store.asked == (taken + 1) * FULL_MESSAGE


async def test_what_is_read_ahead_is_let_go_when_nobody_wants_it() -> None:
    """A batch that is closed while the next message is being read leaves no task and no warning."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    store = Counting({"a": bytes(64 * KIB)})
    before = asyncio.all_tasks()
    async with aclosing(StoreTransport(store).read_files(batch(*["a"] * 80))) as messages:
        await anext(messages)
        await turns()
        store.gate.clear()
        await anext(messages)
        await turns()
        assert store.waiting == 1
    assert store.waiting == 0
    assert asyncio.all_tasks() == before
    assert complaints == []


async def test_a_large_file_does_not_stop_the_small_ones_behind_it() -> None:
    """A large file between small ones is answered in its place."""
    store = MemoryStore({"small": b"small", "large": bytes(3 * FULL_MESSAGE)})
    pieces = [p for message in await messages_of(StoreTransport(store), batch("small", "large", "small")) for p in message]
    assert [piece.index for piece in pieces if piece.ends_file] == [0, 1, 2]
    assert [piece.index for piece in pieces] == sorted(piece.index for piece in pieces)


@pytest.mark.parametrize("limit", [0, 1, 7])
async def test_the_largest_batch_is_an_option(limit: int) -> None:
    """A server may allow fewer or more files in a batch."""
    transport = StoreTransport(MemoryStore({"a": b"a"}), ServiceOptions(largest_batch=limit))
    assert len(await messages_of(transport, batch(*["a"] * limit))) == min(limit, 1)
    with pytest.raises(UnspoolError, match=f"{limit + 1} files are asked for at once: at most {limit} can be"):
        await messages_of(transport, batch(*["a"] * (limit + 1)))


async def test_a_small_file_that_broke_is_the_only_one_that_did() -> None:
    """An error while small files are read is the answer for one file, each time."""
    store = FaultyStore(MemoryStore({"a": b"a"}))
    store.fail(UnspoolError("broken"), at=0, times=2)
    pieces = [p for message in await messages_of(StoreTransport(store), batch("a", "a", "a")) for p in message]
    assert [piece.error is None for piece in pieces] == [False, False, True]


def test_a_checksum_of_a_whole_file_is_remembered_once() -> None:
    """The checksum of a whole file is remembered by revision; the store's own checksum and that of an empty file stay."""
    checksums = Checksums()
    info = FileInfo("a", 3, "r1")
    checksums.record_whole(info, crc32c(b"abc"))
    assert checksums.added_to(info).crc32c == crc32c(b"abc")
    assert checksums.added_to(FileInfo("a", 3, "r2")).crc32c is None
    checksums.record_whole(FileInfo("a", 3, "r3", crc32c=7), 8)
    assert checksums.added_to(FileInfo("a", 3, "r3")).crc32c is None
    checksums.record_whole(FileInfo("empty", 0, "r1"), 8)
    assert checksums.added_to(FileInfo("empty", 0, "r1")).crc32c == 0
