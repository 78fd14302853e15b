"""Several streams for one file, over real connections and over transports that fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from client.lab import BLOCK, NAME, PART, Lab, content, names_in
from unspool.client.client import Client
from unspool.client.events import Advanced, Restarting
from unspool.core.checksum import crc32c
from unspool.core.model import ReadRequest
from unspool.errors import FileChangedError, UnreachableError
from unspool.options import TransferOptions
from unspool.server.report import CallEnd
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, FaultyStore, FaultyTransport, Recorder, StoreTransport, serve

SEGMENT = 4 * BLOCK

LONG = content(20 * SEGMENT + 7, seed=2)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide files of a few thousand bytes as if they were large."""
    monkeypatch.setattr("unspool.client.unfinished.segment_size_for", lambda _: SEGMENT)


def lab(script: str = "", *, jobs: int = 4, data: bytes = LONG, **options: Any) -> Lab:
    """Return a lab whose client downloads with several streams."""
    return Lab(script, store=MemoryStore({NAME: data}), jobs=jobs, **options)


def spans(requests: list[ReadRequest], size: int) -> list[tuple[int, int]]:
    """Return the requests, in the order of their starts."""
    return sorted((r.start, size if r.length is None else r.start + r.length) for r in requests if r.start < size)


async def test_over_connections_of_their_own(tmp_path: Path) -> None:
    """Four jobs use four connections; all but the first pin the revision; the file is complete and verified as a whole."""
    ends = Recorder[CallEnd]()
    store = FaultyStore(MemoryStore({NAME: LONG}))
    path = tmp_path / "b.bin"
    async with serve(store, observers=[ends]) as address:
        options = TransferOptions(block_size=BLOCK, jobs=4)
        async with Client(address, options=options) as client:
            result = await client.get(NAME, path)
    assert path.read_bytes() == LONG
    assert (result.verified, result.crc32c, result.size) == ("file", crc32c(LONG), len(LONG))
    assert len({end.peer for end in ends if end.start < len(LONG)}) == 4
    assert len({end.transfer_id for end in ends}) == 1
    assert names_in(tmp_path) == ["b.bin"]


async def test_every_part_pins_the_revision(tmp_path: Path) -> None:
    """The first request is for the current revision; every other one pins that revision."""
    bench = lab()
    await bench.get(tmp_path / "b.bin")
    first, *others = bench.transport.requests
    assert first.revision is None
    assert len(others) >= 3
    assert {request.revision for request in others} == {"m1"}
    assert (tmp_path / "b.bin").read_bytes() == LONG


@pytest.mark.parametrize("jobs", [2, 3, 8])
async def test_parts_begin_at_segments_and_cover_the_file(tmp_path: Path, jobs: int) -> None:
    """Ranges begin at segments, so that the journal can record how far each is good."""
    bench = lab(jobs=jobs)
    result = await bench.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == LONG
    asked = spans(bench.transport.requests, len(LONG))
    assert len(asked) >= jobs
    assert all(start % SEGMENT == 0 for start, _ in asked)
    assert result.bytes_received <= len(LONG) + len(asked) * BLOCK


async def test_a_file_too_small_to_divide_has_one_stream(tmp_path: Path) -> None:
    """A file of less than two segments is not divided, whatever the number of jobs."""
    bench = lab(jobs=8, data=LONG[: SEGMENT + BLOCK])
    await bench.get(tmp_path / "b.bin")
    assert bench.starts == [0]


async def test_what_an_earlier_run_left_is_gone_on_with_by_all(tmp_path: Path) -> None:
    """An interrupted run leaves several parts; the next run requests only the missing bytes of each, all at once."""
    first = lab("." * 25 + "x" * 50, budget=0)
    path = tmp_path / "b.bin"
    with pytest.raises(UnreachableError):
        await first.get(path)
    again = Lab(store=first.store, jobs=4)
    result = await again.get(path)
    assert path.read_bytes() == LONG
    assert result.resumed_from >= 15 * BLOCK
    assert result.resumed_from + result.bytes_received <= len(LONG) + len(again.transport.requests) * BLOCK
    assert {request.revision for request in again.transport.requests} == {"m1"}
    gaps = spans(again.transport.requests, len(LONG))
    assert len(gaps) > 2


async def test_a_stream_that_fails_for_good_ends_all(tmp_path: Path) -> None:
    """The first error that one stream cannot overcome ends the download; bytes of the other streams are kept."""
    bench = lab("." * 30 + "x", budget=0)
    with pytest.raises(UnreachableError):
        await bench.get(tmp_path / "b.bin")
    assert (tmp_path / PART).exists()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert bench.told(Advanced)[-1].good > 20 * BLOCK


async def test_a_stream_that_breaks_goes_on_with_its_own_part(tmp_path: Path) -> None:
    """A broken stream requests the rest of its own range, and no byte that another stream fetches."""
    bench = lab("........x.....E.....!......x")
    result = await bench.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == LONG
    assert sorted(bench.transport.fired) == sorted("xE!x")
    assert result.bytes_received <= len(LONG) + len(bench.transport.requests) * BLOCK


class WaitsForTaking(FakeClock):
    """A clock on which a broken stream waits until another stream has taken half of its range."""

    def __init__(self, requests: list[ReadRequest]) -> None:
        super().__init__()
        self.requests = requests

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        while len(self.requests) < 3:
            await asyncio.sleep(0)
        await super().sleep(seconds)


async def test_a_stream_that_breaks_leaves_out_what_another_took_meanwhile(tmp_path: Path) -> None:
    """A broken stream that waits for its next attempt does not ask for the bytes that another stream took in that time."""
    bench = lab(".....x", jobs=2)
    bench.clock = WaitsForTaking(bench.transport.requests)
    bench.client = bench.client_of(bench.transport)
    await bench.get(tmp_path / "b.bin")
    taken, again = bench.transport.requests[2:]
    assert again.length is not None
    assert again.start + again.length == taken.start
    assert (tmp_path / "b.bin").read_bytes() == LONG


async def test_a_change_begins_all_of_them_anew(tmp_path: Path) -> None:
    """If the file changes, no byte of the old revision stays, whichever stream fetched it."""
    bench = lab("." * 30 + "v")
    new = content(17 * SEGMENT, seed=9)
    bench.transport = FaultyTransport(
        StoreTransport(bench.store), "." * 30 + "v", clock=bench.clock, change=lambda: bench.change(new)
    )
    bench.client = bench.client_of(bench.transport)
    result = await bench.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == new
    assert (result.restarts, result.revision, result.verified) == (1, "m2", "file")
    assert [type(event.error) for event in bench.told(Restarting)] == [FileChangedError]


async def test_no_part_escapes_verification(tmp_path: Path) -> None:
    """A damaged block is refused on every stream, and the whole file is compared at the end."""
    bench = lab("." * 10 + "!" * 4 + "." * 10 + "!" * 4)
    result = await bench.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == LONG
    assert bench.transport.fired == "!" * 8
    assert result.verified == "file"
    lying = lab("." * 40 + ">")  # with a right checksum, but not the file's bytes
    done = await lying.get(tmp_path / "c.bin")
    assert (tmp_path / "c.bin").read_bytes() == LONG
    assert done.verified == "file"


async def test_the_demo_dialect_has_one_stream(tmp_path: Path) -> None:
    """A file without a known size and revision is not divided."""
    ends = Recorder[CallEnd]()
    async with (
        serve(MemoryStore({NAME: LONG}), observers=[ends]) as address,
        Client(address, dialect="demo", options=TransferOptions(jobs=4)) as client,
    ):
        result = await client.get(NAME, tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == LONG
    assert (result.verified, len(ends)) == ("none", 1)
