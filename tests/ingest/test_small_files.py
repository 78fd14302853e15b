"""Small files into a directory: who waits for whom, and the locks on names."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from ingest.uploads import ingesting
from unspool.core.model import FileInfo
from unspool.core.reserved import UPLOADS
from unspool.errors import AccessError, UnspoolError
from unspool.ingest import small
from unspool.ingest.staging import lock_number
from unspool.testing.ingesting import new


async def test_while_one_thread_syncs_another_one_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message whose files are being synced, which may take long, does not hold up the files of another one."""
    async with ingesting(tmp_path) as ingester:
        syncing, synced = threading.Event(), threading.Event()

        def slow(_: int) -> None:
            syncing.set()
            assert synced.wait(10)

        monkeypatch.setattr(ingester._small, "_sync_all", slow)
        many = asyncio.create_task(ingester.write_small([new(f"many/{number}", b"1") for number in range(40)]))
        assert await asyncio.to_thread(syncing.wait, 10)
        (answer,) = await ingester.write_small([new("few", b"1")])
        assert isinstance(answer, FileInfo)
        assert not (tmp_path / "many/1").exists()
        synced.set()
        assert all(isinstance(answer, FileInfo) for answer in await many)


async def test_on_a_slow_file_system_threads_work_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file system takes long for a file, as one over a network does, the files of two messages are written at once."""
    both = threading.Barrier(2)
    real = os.write

    def meeting(descriptor: int, data: memoryview) -> int:
        if bytes(data) == b"meets":
            both.wait(10)
        return real(descriptor, data)

    async with ingesting(tmp_path) as ingester:
        with monkeypatch.context() as patch:
            patch.setattr(small, "_QUICK", -1.0)  # however quick it is, it is slow
            await ingester.write_small([new("first", b"1")])
        monkeypatch.setattr(os, "write", meeting)
        answers = await asyncio.gather(*(ingester.write_small([new(name, b"meets")]) for name in "ab"))
        assert [answer.name for (answer,) in answers if isinstance(answer, FileInfo)] == ["a", "b"]


async def test_a_message_without_work_says_nothing_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are there already need no turn to be named, so the time of that does not make the file system a slow one."""
    monkeypatch.setattr(small, "_QUICK", 3600.0)
    async with ingesting(tmp_path) as ingester:
        for _ in range(2):
            await ingester.write_small([new("a", b"1")])
        assert ingester._small._quick


async def test_a_lock_that_cannot_be_taken_fails_its_names_alone(tmp_path: Path) -> None:
    """If the lock on a name is not to be had, the file of that name is not written, and others are."""
    name, other = "0", next(f"{number}" for number in range(1, 100) if lock_number(f"{number}") != lock_number("0"))
    async with ingesting(tmp_path) as ingester:
        (tmp_path / UPLOADS / "locks" / f"{lock_number(name):02}").mkdir()
        refused, written = await ingester.write_small([new(name, b"1"), new(other, b"2")])
        assert isinstance(refused, UnspoolError)
        assert not isinstance(refused, AccessError)
        assert isinstance(written, FileInfo)
        assert not (tmp_path / name).exists()
        assert list((tmp_path / UPLOADS / "small").iterdir()) == []


async def test_two_files_of_one_name_come_in_their_order(tmp_path: Path) -> None:
    """If a message has two files of one name, the later one is there at the end."""
    async with ingesting(tmp_path) as ingester:
        answers = await ingester.write_small([new("a", b"first"), new("b", b"1"), new("a", b"second")])
        assert all(isinstance(answer, FileInfo) for answer in answers)
    assert (tmp_path / "a").read_bytes() == b"second"
