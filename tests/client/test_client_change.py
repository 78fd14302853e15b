"""A file that changes on the server, between attempts or during one: the client notices, and never mixes two revisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.lab import BLOCK, DATA, JOURNAL, NAME, NEW, PART, Lab, names_in
from unspool.client.events import Event, Restarting, Retrying
from unspool.errors import FileChangedError, FileKeepsChangingError, NotFoundError, UnreachableError
from unspool.stores import MemoryStore
from unspool.testing import FaultyStore


async def test_a_change_during_an_attempt(tmp_path: Path) -> None:
    """If the file changes during the stream, the download begins again from zero and gets the new file."""
    lab = Lab("...v")
    result = await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == "v"
    assert lab.starts == [0, 0]
    assert (tmp_path / "b.bin").read_bytes() == NEW
    assert (result.restarts, result.resumed_from, result.size) == (1, 0, len(NEW))
    assert result.bytes_received == 4 * BLOCK + len(NEW)
    assert len(lab.told(Restarting)) == 1
    assert lab.clock.slept == []


async def test_a_change_between_attempts(tmp_path: Path) -> None:
    """If the file changes while the connection is broken, the next attempt notices, and the download begins again."""

    class ChangedWhileWaiting(Lab):
        def notify(self, event: Event) -> None:
            super().notify(event)
            if isinstance(event, Retrying):
                self.change()

    lab = ChangedWhileWaiting("...x")
    result = await lab.get(tmp_path / "b.bin")
    assert lab.starts == [0, 3 * BLOCK, 0]
    assert [request.revision for request in lab.transport.requests] == [None, "m1", None]
    assert (tmp_path / "b.bin").read_bytes() == NEW
    assert result.restarts == 1


async def test_a_change_is_an_error_if_so_wished(tmp_path: Path) -> None:
    """With `fail`, a change ends the download, and the destination stays unchanged."""
    (tmp_path / "b.bin").write_bytes(b"old")
    lab = Lab("...v", on_change="fail")
    with pytest.raises(FileChangedError):
        await lab.get(tmp_path / "b.bin")
    assert lab.starts == [0]
    assert (tmp_path / "b.bin").read_bytes() == b"old"
    assert names_in(tmp_path) == ["b.bin", JOURNAL, PART]


async def test_a_few_changes_are_followed_with_longer_and_longer_waits(tmp_path: Path) -> None:
    """A file that changes five times is begun again at once, and then after at most 1, 2, 4 and 8 seconds."""
    lab = Lab(".v" * 5)
    result = await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == "v" * 5
    assert result.restarts == 5
    assert (tmp_path / "b.bin").read_bytes() == NEW
    assert [restart.wait for restart in lab.told(Restarting)] == [0, *lab.clock.slept]
    assert all(bound / 2 <= wait <= bound for bound, wait in zip([1, 2, 4, 8], lab.clock.slept, strict=True))


@pytest.mark.parametrize("bytes_before", [0, 1, 5])
async def test_a_file_that_keeps_changing_is_given_up(tmp_path: Path, bytes_before: int) -> None:
    """The sixth change ends the download, whatever arrived in between, and the final name does not appear."""
    store = FaultyStore(MemoryStore({NAME: DATA}))
    store.fail(FileChangedError("changed"), at=bytes_before * BLOCK, times=100)
    lab = Lab(store=store)
    with pytest.raises(FileKeepsChangingError, match="begun again 5 times already"):
        await lab.get(tmp_path / "b.bin")
    assert lab.starts == [0] * 6
    assert not (tmp_path / "b.bin").exists()


async def test_a_shorter_file_leaves_nothing_of_the_longer(tmp_path: Path) -> None:
    """Bytes of a longer old revision do not stay at the end of a shorter new one."""
    lab = Lab("." * 10 + "x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path / "b.bin")
    lab.change(b"short")
    await Lab(store=lab.store).get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == b"short"
    assert names_in(tmp_path) == ["b.bin"]


async def test_a_file_that_becomes_empty(tmp_path: Path) -> None:
    """A file that becomes empty meanwhile arrives as an empty file."""
    lab = Lab("....x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path / "b.bin")
    lab.change(b"")
    result = await Lab(store=lab.store).get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == b""
    assert (result.size, result.verified) == (0, "file")


async def test_a_file_that_goes_away(tmp_path: Path) -> None:
    """A file that is removed during the download raises NotFoundError and leaves no destination."""

    class RemovedWhileWaiting(Lab):
        def notify(self, event: Event) -> None:
            super().notify(event)
            if isinstance(event, Retrying):
                assert isinstance(self.store, MemoryStore)
                self.store.remove(NAME)

    with pytest.raises(NotFoundError):
        await RemovedWhileWaiting("...x").get(tmp_path / "b.bin")
    assert names_in(tmp_path) == [JOURNAL, PART]
