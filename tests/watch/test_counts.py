"""What one process counts, looked at without a network and with a clock that is set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stores.disk import overwrite
from unspool.core.resent import Read
from unspool.server.entry import Asked, Call, Method
from unspool.server.report import CallEnd
from unspool.stores import LocalStore, MemoryStore
from unspool.testing.stock import BYTES, Stock, read_file
from unspool.testing.storecontract import StoreContract
from unspool.watch import counts as module
from unspool.watch.counts import Counts
from unspool.watch.figures import Figures, Histogram, added, decode


class TestWatchedStore(StoreContract):
    """The contract of stores, kept by one that is watched."""

    @asynccontextmanager
    async def stocked(self, directory: Path) -> AsyncIterator[Stock]:
        """See `StoreContract.stocked`."""
        store = Counts(lambda _: True).watched(LocalStore(directory, hidden=True))
        yield Stock(
            store,
            put=lambda name, data: overwrite(directory / name, data),
            remove=lambda name: (directory / name).unlink(),
        )
        await store.aclose()


class Lab:
    """Counts with a clock and a reader that are set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken: list[Figures] = []
        self.takes = True
        self.counts = Counts(self._take, lambda: self.now)

    def _take(self, figures: Figures) -> bool:
        if self.takes:
            self.taken.append(decode(figures.encode()))
        return self.takes

    def begin(self, method: str = "ReadFile", start: int = 0, attempt: int = 1) -> tuple[Call, Callable[[CallEnd], None]]:
        """Begin a call."""
        kind = Method(method, bytes, lambda _: Asked(()), cast(Any, None))
        call = Call(kind, cast(Any, SimpleNamespace(peer=lambda: "ipv4:127.0.0.1:1")))
        end = self.counts.begin(call)
        call.asked = Asked(("a.bin",), start, "some-transfer", attempt)
        return call, end

    def look(self) -> Figures:
        """Publish, and return what was published."""
        self.counts.publish()
        return self.taken[-1]


def ended(call: Call, outcome: str = "OK", seconds: float = 0.5, limit: str = "") -> CallEnd:
    """Return the end of a call."""
    return CallEnd(
        method=call.method,
        name=call.asked.names[0],
        start=call.asked.start,
        bytes=call.bytes,
        seconds=seconds,
        outcome=outcome,
        message="",
        attempt=call.asked.attempt,
        transfer_id=call.asked.transfer_id,
        peer=call.caller.address,
        limit=limit,
    )


@pytest.fixture
async def lab() -> Lab:
    """A lab."""
    return Lab()


async def test_bytes_of_running_calls_are_counted_and_never_twice(lab: Lab) -> None:
    """The counter of bytes grows while a call runs, and does not jump when the call ends."""
    call, end = lab.begin()
    seen = []
    for sent in (0, 100, 250):
        call.bytes = sent
        figures = lab.look()
        assert figures.gauges["unspool_calls_running", "ReadFile"] == 1
        seen.append(figures.counters["unspool_sent_bytes_total", "ReadFile"])
    end(ended(call))
    figures = lab.look()
    assert figures.gauges["unspool_calls_running", "ReadFile"] == 0
    assert [*seen, figures.counters["unspool_sent_bytes_total", "ReadFile"]] == [0, 100, 250, 250]


async def test_a_stream_stalls_once_until_its_bytes_move(lab: Lab) -> None:
    """Ten seconds without a byte are a stall, however long it lasts; after more bytes it can stall again."""
    call, _ = lab.begin()
    stalls = []
    for now, sent in ((9.9, 0), (10.0, 0), (500.0, 0), (501.0, 1), (510.9, 1), (511.0, 1)):
        lab.now, call.bytes = now, sent
        figures = lab.look()
        stalls.append((figures.gauges["unspool_streams_stalled",], figures.counters.get(("unspool_stalls_total",), 0)))
    assert stalls == [(0, 0), (1, 1), (1, 1), (0, 1), (0, 1), (1, 2)]


async def test_a_listing_does_not_stall(lab: Lab) -> None:
    """A listing sends no bytes of files, however long it runs."""
    lab.begin("ListFiles")
    lab.now = 100.0
    assert lab.look().gauges["unspool_streams_stalled",] == 0


async def test_reads_that_matter_for_resumes_are_told(lab: Lab) -> None:
    """A read that broke off is told, and a later attempt; not the only read of a transfer. Running ones always."""
    for attempt, outcome, told in ((1, "OK", False), (1, "CANCELLED", True), (2, "OK", True)):
        call, end = lab.begin(start=10, attempt=attempt)
        call.bytes = 5
        (unended,) = lab.look().unended
        assert (unended.start, unended.stop, unended.broken) == (10, 15, True)
        end(ended(call, outcome))
        assert [(one.start, one.stop, one.broken) for one in lab.look().reads] == [(10, 15, outcome != "OK")] * told
        assert lab.look().reads == [], "once"


async def test_a_reader_that_cannot_take_figures_gets_all_later(lab: Lab) -> None:
    """While the parent does not read, nothing is lost: what is published next contains it."""
    lab.takes = False
    call, end = lab.begin()
    call.bytes = 7
    end(ended(call, "CANCELLED"))
    assert not lab.counts.publish()
    lab.takes = True
    figures = lab.look()
    assert figures.counters["unspool_calls_ended_total", "ReadFile", "CANCELLED"] == 1
    assert len(figures.reads) == 1


async def test_figures_come_by_themselves_while_something_happens(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that begins sets a timer, which ends after the last call has ended: an idle server does nothing."""
    monkeypatch.setattr(module, "INTERVAL", 0.001)
    call, end = lab.begin()
    while not lab.taken:
        await asyncio.sleep(0)
    end(ended(call))
    while lab.taken[-1].gauges["unspool_calls_running", "ReadFile"]:
        await asyncio.sleep(0)
    assert lab.counts._timer is None
    lab.begin()
    assert lab.counts._timer is not None
    lab.counts.close()
    assert lab.counts._timer is None
    assert lab.taken[-1].gauges["unspool_calls_running", "ReadFile"] == 1


async def test_the_store_is_timed(lab: Lab) -> None:
    """Each kind of request to the store has a histogram, and the bytes are the store's."""
    store = lab.counts.watched(MemoryStore({"a.bin": BYTES}))
    assert (await read_file(store, "a.bin"))[1] == BYTES
    await store.stat("a.bin")
    await store.read_small(["a.bin"], 1 << 20)
    await store.read_spans([("a.bin", 1, 2)], 1 << 20)
    timed = {key[1]: sum(one.counts) for key, one in lab.look().histograms.items() if key[0] == "unspool_store_seconds"}
    assert timed.keys() == {"open", "read", "stat", "read_small", "read_spans"}
    assert timed["stat"] == 1


def test_figures_add_up() -> None:
    """Counters and histograms of several processes are added, gauges too unless the process has ended."""
    one, other = Figures(), Figures()
    for figures, value in ((one, 0.05), (other, 5000.0)):
        figures.count("unspool_stalls_total")
        figures.gauges["unspool_streams_stalled",] = 2
        figures.observe(value, "unspool_call_seconds", "ReadFile")
    whole = added(one, added(other, gauges="dropped"))
    assert whole.counters == {("unspool_stalls_total",): 2}
    assert whole.gauges == {("unspool_streams_stalled",): 2}
    histogram = whole.histograms["unspool_call_seconds", "ReadFile"]
    assert isinstance(histogram, Histogram)
    assert (sum(histogram.counts), histogram.counts[-2], histogram.total) == (2, 1, 5000.05)
    assert sum(one.histograms["unspool_call_seconds", "ReadFile"].counts) == 1, "the parts stay as they were"


def test_of_points_in_time_the_first_counts() -> None:
    """The certificate of several processes that expires first is the one to be shown."""
    several = [Figures(gauges={("unspool_certificate_expires_timestamp_seconds",): when}) for when in (30.0, 10.0, 20.0)]
    assert added(*several).gauges == {("unspool_certificate_expires_timestamp_seconds",): 10.0}


def test_figures_are_one_line_and_come_back() -> None:
    """What a worker writes is one line, and means the same to its parent."""
    figures = Figures()
    figures.count("unspool_calls_ended_total", "ReadFile", "OK", by=3)
    figures.gauges["unspool_calls_running", "ReadFile"] = 1
    figures.observe(0.2, "unspool_call_seconds", "ReadFile")
    figures.reads.append(Read("t\n", 0, 5, broken=True, began=0.5, ended=1.5))
    figures.unended.append(Read("u", 5, 9, broken=True, began=0.5, ended=1.5))
    line = figures.encode()
    assert b"\n" not in line
    again = decode(line)
    assert again.encode() == line
    assert again.reads == figures.reads
    assert again.unended == figures.unended
