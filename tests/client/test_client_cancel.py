"""Cancels the client at every wait, at both moments of each: nothing is left behind, and the next run succeeds."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from client.cancelling import cancelled_at, nothing_left
from client.lab import BLOCK, DATA, JOURNAL, NAME, NEW, PART, Lab, WithoutChecksum, names_in
from contract.partfile_contract import part_at
from contract.transport_contract import until
from unspool.client.client import Client
from unspool.core.checksum import crc32c
from unspool.core.journal import Journal, decode
from unspool.core.segments import Segment
from unspool.errors import BusyError, UnreachableError
from unspool.stores import MemoryStore
from unspool.testing import FaultyStore, serve

SEGMENT = 3 * BLOCK


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the journal's segments three blocks long, and do not wait for a real disk."""
    monkeypatch.setattr("unspool.client.unfinished.segment_size_for", lambda _: SEGMENT)
    monkeypatch.setattr("os.fsync", lambda _: None)


async def fresh(directory: Path) -> Lab:
    """Nothing is here, and the network is bad."""
    return Lab("..x..!.E")


async def over_another(directory: Path) -> Lab:
    """Another file of the same length is here."""
    (directory / "b.bin").write_bytes(bytes(len(DATA)))
    return Lab()


async def resumed(directory: Path) -> Lab:
    """An earlier run left some bytes, and some of them are damaged."""
    lab = Lab("." * 7 + "x", budget=0)
    with suppress(UnreachableError):
        await lab.get(directory / "b.bin")
    with (directory / PART).open("r+b") as part:
        part.write(b"damage")
    return Lab(".x", store=lab.store)


async def changing(directory: Path) -> Lab:
    """The file changes during the download."""
    return Lab("...v")


async def changed(directory: Path) -> Lab:
    """The file has changed since an earlier run."""
    lab = Lab("." * 7 + "x", budget=0)
    with suppress(UnreachableError):
        await lab.get(directory / "b.bin")
    lab.change()
    return Lab(store=lab.store)


async def mismatching(directory: Path) -> Lab:
    """The bytes of an earlier run are wrong, but match its journal."""
    lab = Lab("." * 3 + "x", budget=0)
    with suppress(UnreachableError):
        await lab.get(directory / "b.bin")
    (directory / PART).write_bytes(bytes(SEGMENT))
    journal = decode((directory / JOURNAL).read_bytes())
    assert journal is not None
    segments = {0: Segment(SEGMENT, crc32c(bytes(SEGMENT)))}
    lying = Journal(journal.name, journal.source, journal.revision, journal.size, SEGMENT, segments)
    (directory / JOURNAL).write_bytes(lying.encode())
    return Lab(store=lab.store)


async def finished(directory: Path) -> Lab:
    """The file is here already; the server learns its checksum only by reading."""
    (directory / "b.bin").write_bytes(DATA)
    lab = Lab()
    lab.client = lab.client_of(WithoutChecksum(lab.transport, knows=True))
    return lab


Scene: TypeAlias = Callable[[Path], Awaitable[Lab]]

SCENES: list[Scene] = [fresh, over_another, resumed, changing, changed, mismatching, finished]


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "late"])
@pytest.mark.parametrize("scene", SCENES)
async def test_a_download_cancelled_anywhere(tmp_path: Path, scene: Scene, late: bool) -> None:  # noqa: FBT001 - a parameter
    """Wherever a download is cancelled, the final name is complete or unchanged, nothing is left, and the next run succeeds."""
    for place in range(200):
        directory = tmp_path / str(place)
        directory.mkdir()
        lab = await scene(directory)
        path = directory / "b.bin"
        before = path.read_bytes() if path.exists() else None
        with nothing_left():
            waits, was_cancelled = await cancelled_at(lab.get(path), place, late=late)
        after = path.read_bytes() if path.exists() else None
        assert after in (before, DATA, NEW)
        assert set(names_in(directory)) <= {"b.bin", JOURNAL, PART}
        again = Lab(store=lab.store)
        with nothing_left():
            await again.get(path)
        assert path.read_bytes() in (DATA, NEW)
        assert crc32c(path.read_bytes()) == (await again.client.stat(NAME)).crc32c
        assert names_in(directory) == ["b.bin"]
        if not was_cancelled:
            assert waits == place  # there are no more places
            assert place > (4 if scene is finished else 10)
            return
    raise AssertionError("there is no end of places to cancel at")


async def into_a_writer(client: Client) -> None:
    """Download to a writer."""
    writer = io.BytesIO()
    await client.get(NAME, writer)
    assert writer.getvalue() == DATA


async def read(client: Client) -> None:
    """Read a span."""
    assert await client.read(NAME, start=50, length=600) == DATA[50:650]


async def look(client: Client) -> None:
    """Stat and list."""
    assert (await client.stat(NAME)).size == len(DATA)
    assert [page async for page in client.pages(recursive=True)]


def tasks_but_the_servers() -> list[asyncio.Task[Any] | None]:
    """Return the running tasks, except those of gRPC's server and of our own server."""
    return [task for task in asyncio.all_tasks() if not re.search("/aio/server.pyx|Connections.watch", repr(task))]


Use: TypeAlias = Callable[[Client], Any]


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "late"])
@pytest.mark.parametrize("use", [into_a_writer, read])
async def test_a_read_cancelled_anywhere(use: Use, late: bool) -> None:  # noqa: FBT001 - a parameter
    """Wherever a read is cancelled, nothing is left, and the store's file is closed."""
    for place in range(200):
        store = FaultyStore(MemoryStore({NAME: DATA}))
        lab = Lab("..x..!.E", store=store)
        with nothing_left():
            _, was_cancelled = await cancelled_at(use(lab.client), place, late=late)
        assert store.open_files == 0
        if not was_cancelled:
            assert place > 2
            return
    raise AssertionError("there is no end of places to cancel at")


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "late"])
@pytest.mark.parametrize("use", [into_a_writer, read, look])
async def test_a_call_over_grpc_cancelled_anywhere(use: Use, late: bool) -> None:  # noqa: FBT001 - a parameter
    """Over gRPC a read can be cancelled at any point; the server closes the file, and the client can still be used."""
    store = FaultyStore(MemoryStore({NAME: DATA}))
    async with serve(store) as address, Client(address, options=Lab().options) as client:
        await use(client)
        for place in range(200):
            _, was_cancelled = await cancelled_at(use(client), place, late=late)
            await until(lambda: store.open_files == 0 and tasks_but_the_servers() == [asyncio.current_task()])
            if not was_cancelled:
                assert place > 2
                return
    raise AssertionError("there is no end of places to cancel at")


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "late"])
async def test_a_download_over_grpc_cancelled_anywhere(tmp_path: Path, late: bool) -> None:  # noqa: FBT001 - a parameter
    """Over gRPC a download can be cancelled at any point, and run again."""
    store = FaultyStore(MemoryStore({NAME: DATA}))
    async with serve(store) as address, Client(address, options=Lab().options) as client:
        for place in range(200):
            path = tmp_path / f"{place}.bin"
            _, was_cancelled = await cancelled_at(client.get(NAME, path), place, late=late)
            assert not path.exists() or path.read_bytes() == DATA
            await client.get(NAME, path)
            assert path.read_bytes() == DATA
            await until(lambda: store.open_files == 0)
            if not was_cancelled:
                assert place > 10
                assert names_in(tmp_path) == sorted(f"{n}.bin" for n in range(place + 1))
                return
    raise AssertionError("there is no end of places to cancel at")


async def test_cancelled_while_another_process_has_it(tmp_path: Path) -> None:
    """A cancellation while waiting for the lock does not release the lock of another download."""
    for late in (False, True):
        for place in range(6):
            holder = part_at(tmp_path / "b.bin")
            holder.acquire()
            with nothing_left(), suppress(BusyError):
                await cancelled_at(Lab().get(tmp_path / "b.bin"), place, late=late)
            assert names_in(tmp_path) == [PART]
            holder.close()
