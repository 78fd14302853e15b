"""Retries: when the client retries, from which byte, after which wait, and when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from client.lab import BLOCK, DATA, JOURNAL, NAME, NEW, PART, Lab, Wrapper, names_in
from unspool.client.events import Advanced, Retrying
from unspool.client.transport import Transport
from unspool.core.model import HEARTBEAT, FileInfo, Frame, ListRequest, Page, ReadRequest
from unspool.errors import (
    DataLossError,
    LocalFileError,
    NotAFileError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    StalledError,
    StartIgnoredError,
    TruncatedError,
    UnauthenticatedError,
    UnreachableError,
    UnspoolError,
    UnsupportedError,
)
from unspool.stores import MemoryStore
from unspool.testing import FaultyStore


@pytest.mark.parametrize(
    ("letter", "kept"),
    [("x", 2), ("E", 2), ("!", 2), ("z", 2), ("2", 3), ("~", 2)],
)
async def test_the_next_attempt_asks_for_what_is_missing(tmp_path: Path, letter: str, kept: int) -> None:
    """After a fault, the client requests exactly the missing bytes, at the same revision."""
    lab = Lab(f"..{letter}")
    result = await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == letter
    assert lab.starts == [0, kept * BLOCK]
    assert [request.revision for request in lab.transport.requests] == [None, "m1"]
    assert [request.attempt for request in lab.transport.requests] == [1, 2]
    assert len({request.transfer_id for request in lab.transport.requests}) == 1
    assert (tmp_path / "b.bin").read_bytes() == DATA
    assert result.bytes_received == len(DATA)
    assert result.verified == "file"


async def test_a_block_that_is_short_costs_its_last_byte(tmp_path: Path) -> None:
    """A block that is one byte short, with a matching checksum, is used, and the missing byte is requested."""
    lab = Lab("..<")
    await lab.get(tmp_path / "b.bin")
    assert lab.starts == [0, 3 * BLOCK - 1]
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_progress_refills_the_budget(tmp_path: Path) -> None:
    """A transfer that breaks after every block succeeds with a budget of one."""
    lab = Lab(".x" * 10, budget=1)
    result = await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == "x" * 10
    assert lab.starts == [n * BLOCK for n in range(11)]
    assert result.bytes_received == len(DATA)
    assert result.attempts == 11
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_progress_of_an_attempt_that_ended_well_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures before and after a gap that was filled do not count as failures in a row."""
    monkeypatch.setattr("unspool.client.unfinished.segment_size_for", lambda _: 2 * BLOCK)
    first = Lab("......x", budget=0)
    with pytest.raises(UnreachableError):
        await first.get(tmp_path / "b.bin")
    with (tmp_path / PART).open("r+b") as part:
        part.write(b"damage")
    # The first gap is bytes 0 to 200, the second 600 to the end: a failure at each.
    lab = Lab("x..x", store=first.store, budget=2)
    result = await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == "xx"
    assert lab.starts == [0, 0, 6 * BLOCK, 6 * BLOCK]
    assert result.resumed_from == 4 * BLOCK
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_a_spent_budget_ends_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """When the budget is spent, the last error is raised; received bytes are kept, and the next run requests only the rest."""
    lab = Lab("...xxxE", budget=3)
    with pytest.raises(TruncatedError):
        await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == "xxxE"
    assert lab.starts == [0, 3 * BLOCK, 3 * BLOCK, 3 * BLOCK]
    assert names_in(tmp_path) == [JOURNAL, PART]
    again = Lab(store=lab.store)
    result = await again.get(tmp_path / "b.bin")
    assert again.starts == [3 * BLOCK]
    assert (result.resumed_from, result.bytes_received) == (3 * BLOCK, len(DATA) - 3 * BLOCK)
    assert result.verified == "file"
    assert (tmp_path / "b.bin").read_bytes() == DATA
    assert names_in(tmp_path) == ["b.bin"]


async def test_a_budget_of_nothing_never_tries_again(tmp_path: Path) -> None:
    """With a budget of 0 the first failure is the last, even after progress."""
    lab = Lab("..x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path / "b.bin")
    assert len(lab.starts) == 1
    assert lab.clock.slept == []


async def test_waits_grow_and_begin_anew_after_progress(tmp_path: Path) -> None:
    """The bound of the wait doubles while no byte arrives, and is reset by progress."""
    lab = Lab("xxxx.x")
    await lab.get(tmp_path / "b.bin")
    assert [told.wait for told in lab.told(Retrying)] == lab.clock.slept
    for waited, most in zip(lab.clock.slept, [0.25, 0.5, 1, 2, 0.25], strict=True):
        assert 0 < waited <= most


async def test_a_wait_asked_for_is_the_least(tmp_path: Path) -> None:
    """The client does not retry before the time that the server asks for, and not long after it."""
    lab = Lab(store=FaultyStore(MemoryStore({NAME: DATA})))
    assert isinstance(lab.store, FaultyStore)
    lab.store.fail(OverloadedError("later", retry_after=42), at=3 * BLOCK)
    await lab.get(tmp_path / "b.bin")
    assert len(lab.clock.slept) == 1
    assert 42 <= lab.clock.slept[0] <= 42.25


@pytest.mark.parametrize(
    "kind",
    [
        NotFoundError,
        NotAFileError,
        UnauthenticatedError,
        PermissionDeniedError,
        UnsupportedError,
        DataLossError,
    ],
)
@pytest.mark.parametrize("at", [None, 3 * BLOCK])
async def test_what_will_not_change_is_not_tried_again(tmp_path: Path, kind: type[UnspoolError], at: int | None) -> None:
    """An error that is not retryable is raised at once."""
    lab = Lab(store=FaultyStore(MemoryStore({NAME: DATA})))
    assert isinstance(lab.store, FaultyStore)
    lab.store.fail(kind("no"), at=at, times=5)
    with pytest.raises(kind):
        await lab.get(tmp_path / "b.bin")
    assert len(lab.starts) == 1
    assert lab.clock.slept == []


async def test_an_ignored_start_is_not_tried_again(tmp_path: Path) -> None:
    """If a server ignores the start, the part file is not changed, and a second run resumes from it."""
    lab = Lab("..x^")
    with pytest.raises(StartIgnoredError):
        await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == "x^"
    assert names_in(tmp_path) == [JOURNAL, PART]
    again = Lab(store=lab.store)
    await again.get(tmp_path / "b.bin")
    assert again.starts == [2 * BLOCK]
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_a_cancel_is_not_tried_again(tmp_path: Path) -> None:
    """A cancelled download raises CancelledError, and the next run resumes."""
    lab = Lab(store=FaultyStore(MemoryStore({NAME: DATA})))
    assert isinstance(lab.store, FaultyStore)
    download = asyncio.create_task(lab.get(tmp_path / "b.bin"))
    while not lab.told(Advanced):
        await asyncio.sleep(0)
    lab.store.pause()
    await lab.store.until_paused()
    download.cancel()
    with pytest.raises(asyncio.CancelledError):
        await download
    assert len(lab.starts) == 1
    assert lab.store.open_files == 0
    lab.store.resume()
    again = Lab(store=lab.store)
    result = await again.get(tmp_path / "b.bin")
    assert result.resumed_from > 0
    assert (tmp_path / "b.bin").read_bytes() == DATA


# Stalls


async def test_a_stall_is_noticed_after_the_idle_timeout(tmp_path: Path) -> None:
    """A stream without messages is given up after exactly the idle timeout, with StalledError."""
    lab = Lab("..z", budget=0, idle_timeout=17)
    with pytest.raises(StalledError):
        await lab.get(tmp_path / "b.bin")
    assert lab.clock.now == 17
    assert names_in(tmp_path) == [JOURNAL, PART]


class Beating(Wrapper):
    """Sends a heartbeat every 20 seconds, three before each frame."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.transport)
        self._clock = lab.clock

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        async for frame in self.inner.read(request):
            for _ in range(3):
                await self._clock.sleep(20)
                yield HEARTBEAT
            yield frame


async def test_heartbeats_keep_a_stream_alive(tmp_path: Path) -> None:
    """A slow server that sends heartbeats is waited for without limit: there is no overall timeout."""
    lab = Lab(budget=0, idle_timeout=30)
    await lab.get(tmp_path / "b.bin", lab.client_of(Beating(lab)))
    assert lab.clock.now == 11 * 3 * 20
    assert len(lab.starts) == 1
    assert (tmp_path / "b.bin").read_bytes() == DATA


class OnlyBeating(Wrapper):
    """Sends a heartbeat, then breaks."""

    attempts = 0

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        self.attempts += 1
        yield HEARTBEAT
        raise UnreachableError("gone")


async def test_heartbeats_refill_nothing(tmp_path: Path) -> None:
    """A heartbeat is not progress: a server that sends only heartbeats is given up."""
    lab = Lab(budget=4)
    transport = OnlyBeating(lab.transport)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path / "b.bin", lab.client_of(transport))
    assert transport.attempts == 4
    assert names_in(tmp_path) == []


# Stat and list


class Shaky(Wrapper):
    """A server whose stat fails a given number of times, and whose listings break after a given number of pages and times."""

    def __init__(self, inner: Transport, *errors: UnspoolError, after: int = 0) -> None:
        super().__init__(inner)
        self.errors = list(errors)
        self.after = after
        self.calls = 0

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return await self.inner.stat(name)

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        self.calls += 1
        yield Page()
        left = self.after
        async for page in self.inner.list(request):
            if not left and self.errors:
                raise self.errors.pop(0)
            left -= 1
            yield page


async def test_stat_is_tried_again() -> None:
    """A failed stat is retried with the same budget and the same waits."""
    lab = Lab()
    transport = Shaky(lab.transport, UnreachableError("gone"), OverloadedError("later", retry_after=5))
    assert (await lab.client_of(transport).stat(NAME)).size == len(DATA)
    assert transport.calls == 3
    assert 5 <= lab.clock.slept[1] <= 5.5


async def test_stat_gives_up() -> None:
    """A stat that fails for the whole budget ends with the last error; an error that is not retryable ends it at once."""
    lab = Lab(budget=2)
    transport = Shaky(lab.transport, UnreachableError("1"), TruncatedError("2"), UnreachableError("3"))
    with pytest.raises(TruncatedError):
        await lab.client_of(transport).stat(NAME)
    transport = Shaky(lab.transport, PermissionDeniedError("no"))
    with pytest.raises(PermissionDeniedError):
        await lab.client_of(transport).stat(NAME)
    assert transport.calls == 1


class Silent(Wrapper):
    """Never answers."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.transport)
        self._clock = lab.clock

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        await self._clock.sleep(float("inf"))
        raise AssertionError

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        await self._clock.sleep(float("inf"))
        yield Page()


async def test_stat_and_list_notice_a_stall() -> None:
    """A stat or listing that is not answered is given up after the idle timeout."""
    for call in ("stat", "list"):
        lab = Lab(budget=0, idle_timeout=9)
        client = lab.client_of(Silent(lab))
        with pytest.raises(StalledError):
            await (client.stat(NAME) if call == "stat" else anext(client.pages()))
        assert lab.clock.now == 9


async def test_a_listing_that_has_told_nothing_is_begun_again() -> None:
    """A listing that breaks before its first entry is begun again; heartbeats are not entries and are not yielded."""
    lab = Lab()
    transport = Shaky(lab.transport, UnreachableError("gone"), UnreachableError("gone"))
    pages = [page async for page in lab.client_of(transport).pages(recursive=True)]
    assert [info.name for page in pages for info in page.files] == [NAME]
    assert transport.calls == 3


async def test_a_listing_that_has_told_something_is_not_begun_again() -> None:
    """A listing that breaks after its first entry fails, because it cannot be resumed."""
    lab = Lab(store=MemoryStore(dict.fromkeys("abc", b"")))
    transport = Shaky(lab.transport, UnreachableError("gone"), after=1)
    listing = lab.client_of(transport).pages(page_size=1)
    assert [info.name for info in (await anext(listing)).files] == ["a"]
    with pytest.raises(UnreachableError):
        await anext(listing)
    assert transport.calls == 1


# The local disk


async def test_a_local_error_is_not_tried_again(tmp_path: Path) -> None:
    """A refusal of the local file system is raised at once, and the server gets no request."""
    lab = Lab()
    with pytest.raises(LocalFileError):
        await lab.get(tmp_path / "missing" / "b.bin")
    assert lab.starts == []
    assert lab.clock.slept == []


async def test_the_file_may_change_between_runs(tmp_path: Path) -> None:
    """Bytes of another revision from an earlier run are not used: the download begins from zero."""
    lab = Lab("....x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path / "b.bin")
    lab.change()
    again = Lab(store=lab.store)
    result = await again.get(tmp_path / "b.bin")
    assert [request.revision for request in again.transport.requests] == ["m1", None]
    assert (result.restarts, result.resumed_from) == (1, 0)
    assert (tmp_path / "b.bin").read_bytes() == NEW
