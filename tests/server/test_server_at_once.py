"""Reads that need no waiting: one message, without a thread or heartbeats, and the same as any read."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from server.wiretap import Wiretap, wiretap
from unspool.core.model import ReadRequest
from unspool.errors import FileChangedError, StartPastEndError
from unspool.server.outlet import Outlet
from unspool.stores import LocalStore, localfile
from unspool.testing.loopback import serve

DATA = os.urandom(300_000)


@pytest.fixture
async def tap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Wiretap, None]:
    """A connection to a server that has read the file twice, so that it is kept open."""
    monkeypatch.setattr(localfile, "every_write_shows", lambda *_: True)
    (tmp_path / "a").write_bytes(DATA)
    store = LocalStore(tmp_path)
    async with serve(store) as address, wiretap(address) as tap:
        for _ in range(2):
            await tap.frames(ReadRequest("a", 0, 10))
        yield tap
    await store.aclose()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes what a read that needs no waiting does not do."""
    done: list[str] = []

    def note(kind: type[object], method: str) -> None:
        real = getattr(kind, method)

        def noted(*arguments: object, **more: object) -> object:
            done.append(method)
            return real(*arguments, **more)

        monkeypatch.setattr(kind, method, noted)

    note(Outlet, "__aenter__")
    note(LocalStore, "open")
    note(LocalStore, "_open_in_a_thread")
    return done


@pytest.mark.parametrize(("start", "length"), [(0, 10), (70_000, 65_536), (299_999, 1), (299_990, 500), (0, 300_000)])
async def test_a_short_span_is_answered_at_once(tap: Wiretap, slow: list[str], start: int, length: int) -> None:
    """A span of a file that is open and in memory is one message, without opening, timers or tasks, and as any other way."""
    (frame,) = await tap.frames(ReadRequest("a", start, length))
    assert slow == []
    assert frame.block is not None
    assert frame.block.data == DATA[start : start + length]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStore, "read_at_once", lambda *_: None)
        assert await tap.frames(ReadRequest("a", start, length)) == [frame]
    assert slow != []


async def test_what_needs_waiting_waits(tap: Wiretap, slow: list[str]) -> None:
    """A file to its end, whose checksum has to be computed first, takes the longer way, once; then it is known."""
    frames = await tap.frames(ReadRequest("a", 299_000))
    assert slow != []
    checksum = frames[-1].summary and frames[-1].summary.crc32c
    slow.clear()
    (frame,) = await tap.frames(ReadRequest("a", 299_000))
    assert slow == []
    assert checksum is not None
    assert (frame.summary and frame.summary.crc32c) == checksum


async def test_what_is_wrong_is_told_alike(tap: Wiretap, tmp_path: Path) -> None:
    """Another revision, a start beyond the end, and a change of the file are what they are for any read."""
    with pytest.raises(FileChangedError):
        await tap.frames(ReadRequest("a", 0, 10, revision="another"))
    with pytest.raises(StartPastEndError):
        await tap.frames(ReadRequest("a", 300_001, 10))
    (tmp_path / "a").write_bytes(DATA[::-1])
    (frame,) = await tap.frames(ReadRequest("a", 0, 10))
    assert frame.block is not None
    assert frame.block.data == DATA[::-1][:10]
