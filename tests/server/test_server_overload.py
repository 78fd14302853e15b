"""Over a limit: calls are refused at once with a wait, and a client that waits that long is served."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from server.wiretap import Wiretap, wiretap
from unspool import Client, MemoryStore, RetryPolicy, ServerOptions, TransferOptions
from unspool.client.events import Event, Retrying
from unspool.core.model import Bytes, ReadRequest
from unspool.errors import OverloadedError, StreamAgeError
from unspool.options import LimitOptions, ServiceOptions
from unspool.server.report import CallEnd
from unspool.testing import FaultyStore, Recorder, serve

MIB = 1 << 20
DATA = Random(0).randbytes(3 * MIB)
EAGER = TransferOptions(retry=RetryPolicy(first_wait=0.001))


class Watch:
    """Keeps all events."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        if isinstance(event, Retrying):
            self.errors.append(event.error)


def limited(**limits: float | None) -> ServerOptions:
    """Return options with these limits."""
    return ServerOptions(limits=LimitOptions(**limits))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(("limits", "named"), [({"streams": 2}, "limit in all"), ({"streams_per_peer": 2}, "for one peer")])
async def test_one_stream_too_many_is_refused_until_another_ends(limits: dict[str, float | None], named: str) -> None:
    """Over the limit the answer is RESOURCE_EXHAUSTED with a wait; a released slot is used again."""
    store = FaultyStore(MemoryStore({"f": DATA}))
    store.pause()
    async with serve(store, limited(**limits)) as address, wiretap(address) as tap:
        held = [tap.read(ReadRequest("f")) for _ in range(2)]
        await store.until_paused()
        while store.open_files < len(held):
            await asyncio.sleep(0.001)
        refused = await _refusal(tap, named, times=1)
        assert refused.retry_after
        store.resume()
        for call in held:
            await tap.rest(call)
        assert await tap.frames(ReadRequest("f"))


async def _refusal(tap: Wiretap, named: str, times: int) -> OverloadedError:
    """Make calls until one is refused, and return its error."""
    for _ in range(times):
        try:
            await tap.frames(ReadRequest("f"))
        except OverloadedError as error:
            found = error
            break
    else:
        raise AssertionError("it was never too much")
    assert re.search(named, found.message)
    return found


async def test_connections_are_counted_while_they_have_streams() -> None:
    """Over the limit on connections with streams, another connection is refused; the existing ones may open more streams."""
    store = FaultyStore(MemoryStore({"f": DATA}))
    store.pause()
    async with serve(store, limited(connections=1)) as address, wiretap(address) as tap, Client(address) as other:
        held = tap.read(ReadRequest("f"))
        await store.until_paused()
        with pytest.raises(OverloadedError, match="1 connection with"):
            await other.get("f", Nowhere(), options=TransferOptions(retry=RetryPolicy(budget=0)))
        second = tap.read(ReadRequest("f"))
        store.resume()
        await tap.rest(held)
        await tap.rest(second)
        assert await other.read("f") == DATA


class Nowhere:
    """Accepts bytes and discards them."""

    def write(self, data: Bytes, /) -> None:
        """See `Writer.write`."""


async def test_requests_come_no_faster_than_allowed() -> None:
    """A peer with too many requests is told how long to wait, and that wait is sufficient."""
    async with serve(MemoryStore({"f": b"x"}), limited(requests=5)) as address, wiretap(address) as tap:
        refused = await _refusal(tap, "5 requests a second", times=20)
        assert refused.retry_after is not None
        assert 0 < refused.retry_after <= 1
        await asyncio.sleep(refused.retry_after)
        assert await tap.frames(ReadRequest("f"))


async def test_clients_wait_as_they_are_told_and_all_are_served(tmp_path: Path) -> None:
    """Eight clients at a server with one slot: all but one are refused with OVERLOADED, and every one gets its file."""
    ends = Recorder[CallEnd]()
    watches = [Watch() for _ in range(8)]
    store = FaultyStore(MemoryStore({"f": DATA}))
    store.pause()  # so that the first stays until the others have arrived
    async with serve(store, limited(streams=1), [ends]) as address, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(address, options=EAGER)) for _ in watches]
        work = asyncio.gather(
            *(c.get("f", tmp_path / str(n), observers=[watches[n]]) for n, c in enumerate(clients))  # each with its own
        )
        while sum(bool(watch.errors) for watch in watches) < 7 and store.open_files <= 1:
            await asyncio.sleep(0.001)
        store.resume()
        await work
    assert all((tmp_path / str(number)).read_bytes() == DATA for number in range(8))
    errors = [error for watch in watches for error in watch.errors]
    assert sum(bool(watch.errors) for watch in watches) == 7
    assert all(isinstance(error, OverloadedError) and "limit in all" in error.message for error in errors)
    assert sum(end.outcome == "OK" for end in ends) == 8


async def test_a_stream_that_is_old_ends_between_two_blocks_and_is_gone_on_with(tmp_path: Path) -> None:
    """A stream ends at its age with a retryable error; the transfer continues, and no byte comes twice."""
    ends = Recorder[CallEnd]()
    watch = Watch()
    options = limited(stream_age=0.05, stream_bandwidth=4 * MIB)
    async with serve(MemoryStore({"f": DATA}), options, [ends]) as address, Client(address, options=EAGER) as client:
        result = await client.get("f", tmp_path / "f", observers=[watch])
    assert (tmp_path / "f").read_bytes() == DATA
    assert result.attempts >= 2
    assert result.bytes_received == len(DATA)
    assert {type(error) for error in watch.errors} == {StreamAgeError}
    assert {end.outcome for end in ends} == {"STREAM_AGE", "OK"}


async def test_even_the_shortest_age_lets_a_transfer_move(tmp_path: Path) -> None:
    """However short the age, each stream brings a block, so that the transfer ends."""
    async with serve(MemoryStore({"f": DATA}), limited(stream_age=1e-9)) as address, Client(address, options=EAGER) as client:
        await client.get("f", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("limit", ["stream_bandwidth", "bandwidth"])
async def test_bandwidth_is_kept_to(limit: str) -> None:
    """Bytes arrive no faster than the limit allows, for one stream or for all of them together."""
    loop = asyncio.get_running_loop()
    streams = 2 if limit == "bandwidth" else 1
    rate = 10 * MIB
    async with serve(MemoryStore({"f": DATA}), limited(**{limit: rate})) as address, Client(address) as client:
        started = loop.time()
        await asyncio.gather(*(client.read("f") for _ in range(streams)))
        assert loop.time() - started >= (streams * len(DATA) - rate / 4) / rate * 0.9


async def test_a_tight_cap_does_not_look_like_a_stall() -> None:
    """Under a limit at which a large block would take too long, small blocks and heartbeats keep the client from giving up."""
    options = ServerOptions(service=ServiceOptions(heartbeat=0.05), limits=LimitOptions(stream_bandwidth=20_000))
    patience = TransferOptions(idle_timeout=0.5, retry=RetryPolicy(budget=0))
    async with serve(MemoryStore({"f": DATA[:30_000]}), options) as address, Client(address, options=patience) as client:
        assert await client.read("f") == DATA[:30_000]
