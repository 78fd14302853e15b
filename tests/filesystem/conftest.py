"""A real server in a thread of its own, so that blocking code can read from it while it counts what is asked for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from processes import eventually
from unspool import CallEnd, LocalStore
from unspool.filesystem import UnspoolFileSystem
from unspool.ingest.local import LocalIngester
from unspool.options import ServerOptions
from unspool.testing import Recorder, serve


@dataclass(frozen=True)
class Served:
    """A served directory, where it is served, and the calls that ended."""

    root: Path
    address: str
    ended: Recorder[CallEnd]

    def path(self, name: str = "") -> str:
        """Return the path of a file as fsspec has it."""
        return f"{self.address}/{name}"

    def url(self, name: str = "") -> str:
        """Return the URL of a file."""
        return f"unspool://{self.path(name)}"

    def calls(self, at_least: int) -> list[CallEnd]:
        """Return the calls since this was last asked, when there are so many."""
        eventually(lambda: len(self.ended) >= at_least)
        calls = list(self.ended)
        del self.ended[: len(calls)]
        return calls

    def reads(self, at_least: int) -> list[CallEnd]:
        """Return the reads among them, batches too."""
        eventually(lambda: sum(call.method.startswith("ReadFile") for call in self.ended) >= at_least)
        return [call for call in self.calls(0) if call.method.startswith("ReadFile")]


@contextmanager
def served_in_a_thread(root: Path, options: ServerOptions | None = None, *, writable: bool = False) -> Iterator[Served]:
    """Serve a directory while inside."""
    ended: Recorder[CallEnd] = Recorder()
    address: list[str] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    leave = asyncio.Event()

    async def main() -> None:
        store = LocalStore(root)
        ingester = LocalIngester(root) if writable else None
        async with serve(store, options, [ended], ingester) as where:
            address.append(where)
            ready.set()
            await leave.wait()
        if ingester is not None:
            await ingester.aclose()
        await store.aclose()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(30)
    try:
        yield Served(root, address[0], ended)
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join()
        loop.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Serve a directory with a few files."""
    root = tmp_path / "served"
    (root / "dir" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a.bin").write_bytes(Random(0).randbytes(3_000_000))
    (root / "dir" / "b.txt").write_bytes(b"one\ntwo\nthree")
    (root / "dir" / "deep" / "c").write_bytes(b"")
    with served_in_a_thread(root) as served:
        yield served


@pytest.fixture
def writable(tmp_path: Path) -> Iterator[Served]:
    """Serve an empty directory that takes files."""
    (tmp_path / "written").mkdir()
    with served_in_a_thread(tmp_path / "written", writable=True) as served:
        yield served


@pytest.fixture
def fs() -> UnspoolFileSystem:
    """Return a file system that no other test uses."""
    return UnspoolFileSystem(skip_instance_cache=True)
