"""What is read of a file that is uploaded, by whom, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import cast

import pytest

from unspool.client.material import _AHEAD, Blocks, Material
from unspool.client.transfer import Transfer
from unspool.core.model import Block, Span
from unspool.local.source import FileSource

SIZE = 1000
DATA = Random(7).randbytes(50 * SIZE)


class Watched(FileSource):
    """A file of which some blocks are in memory; it notes how each was read, and never more than one at a time is."""

    def __init__(self, path: Path, cold: range = range(0)) -> None:
        super().__init__(path)
        self.cold = cold
        self.how = ""
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._one = threading.Lock()

    def read(self, span: Span) -> Block:
        """See `Source.read`."""
        assert self._one.acquire(blocking=False)
        assert self.may_go_on.wait(30)
        self.how += "t"
        try:
            return super().read(span)
        finally:
            self._one.release()

    def read_at_once(self, span: Span) -> Block | None:
        """See `Source.read_at_once`."""
        assert self._one.acquire(blocking=False)
        try:
            if span.start // SIZE in self.cold:
                return None
            self.how += "."
            return super().read_at_once(span)
        finally:
            self._one.release()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, which is in memory."""
    monkeypatch.setattr("unspool.system.pagecache._NO_WAIT", 0)
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    return path


def spans() -> Iterator[Span]:
    """Yield the spans of the blocks."""
    return (Span(start, start + SIZE) for start in range(0, len(DATA), SIZE))


async def read_all(source: Watched) -> str:
    """Read a file as a stream does, compare it, and return how it was read."""
    material = Material(source, cast(Transfer, None))
    try:
        blocks, rest = Blocks(material), list(spans())
        while rest:
            block = await blocks.next(rest[0])
            assert block is not None
            assert bytes(block.data) == DATA[block.offset : block.end]
            del rest[0]
            blocks.read_ahead(rest[0] if rest else None)
    finally:
        material.close()
    return source.how


async def test_a_file_in_memory_needs_no_thread(path: Path) -> None:
    """Blocks in the page cache are read on the event loop."""
    assert await read_all(Watched(path)) == "." * 50


async def test_from_a_block_that_is_not_in_memory_a_thread_reads_for_a_while(path: Path) -> None:
    """The thread reads that block and some more, each ahead of the stream; then the page cache is tried again."""
    assert await read_all(Watched(path, range(10, 12))) == "." * 10 + "t" * (1 + _AHEAD) + "." * (50 - 11 - _AHEAD)


async def test_a_file_on_a_disk_is_read_ahead_to_its_end(path: Path) -> None:
    """If nothing is in memory, the thread reads everything."""
    assert await read_all(Watched(path, range(50))) == "t" * 50


async def test_the_read_of_a_stream_that_broke_is_not_overtaken(path: Path) -> None:
    """While the thread still reads what a broken stream wanted, the next stream leaves its own reads to the thread."""
    source = Watched(path, range(1))
    material = Material(source, cast(Transfer, None))
    try:
        source.may_go_on.clear()
        first, second = material.read(Span(0, SIZE)), Blocks(material)
        assert material.read_at_once(Span(SIZE, 2 * SIZE)) is None
        source.may_go_on.set()
        block = await second.next(Span(SIZE, 2 * SIZE))
        assert block is not None
        assert block.offset == SIZE
        assert first.done()
    finally:
        material.close()
