"""open and read: spans of a file as they arrive; stat, list and verify; arguments that are refused without a request."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from client.lab import BLOCK, DATA, NAME, Lab, WithoutChecksum, Wrapper
from unspool.client.client import Client
from unspool.core.model import LARGEST_FILE, Frame, ReadRequest
from unspool.errors import (
    FileChangedError,
    FileMismatchError,
    InvalidNameError,
    InvalidRangeError,
    LocalFileError,
    NotFoundError,
    StartPastEndError,
    UnreachableError,
    VerificationError,
)
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, FaultyStore, StoreTransport

SIZE = len(DATA)


@pytest.mark.parametrize("start", [0, 1, BLOCK, SIZE - 1, SIZE])
@pytest.mark.parametrize("length", [None, 0, 1, BLOCK, 5 * BLOCK + 5, SIZE, 10 * SIZE])
async def test_a_span(start: int, length: int | None) -> None:
    """A span is returned exactly, cut at the end of the file; a length of 0 returns nothing."""
    stop = SIZE if length is None else start + length
    assert await Lab().client.read(NAME, start=start, length=length) == DATA[start:stop]


async def test_a_part_to_the_end_costs_its_own_bytes_only() -> None:
    """A read that begins later has a length: without one, the server would read the whole file for the checksum of it."""
    lab = Lab()
    assert await lab.client.read(NAME, start=SIZE - 2) == DATA[-2:]
    assert await lab.client.read(NAME) == DATA
    assert [request.length for request in lab.transport.requests] == [LARGEST_FILE - (SIZE - 2), None]


async def test_a_start_past_the_end() -> None:
    """A start beyond the end of the file is an error."""
    with pytest.raises(StartPastEndError):
        await Lab().client.read(NAME, start=SIZE + 1)


@pytest.mark.parametrize(("start", "length"), [(-1, None), (0, -1), (-1, -1)])
async def test_negative_numbers(start: int, length: int | None) -> None:
    """A negative start or length is refused without a request."""
    lab = Lab()
    with pytest.raises(InvalidRangeError):
        await lab.client.read(NAME, start=start, length=length)
    assert lab.starts == []


async def test_what_is_no_name(tmp_path: Path) -> None:
    """An invalid name is refused by every call without a request."""
    client = Client(transport=StoreTransport(MemoryStore()), clock=FakeClock())
    for name in ("", "/a", "../a", "a//b"):
        with pytest.raises(InvalidNameError):
            await client.stat(name)
        with pytest.raises(InvalidNameError):
            await client.read(name)
        with pytest.raises(InvalidNameError):
            await client.get(name, tmp_path / "b.bin")
        with pytest.raises(InvalidNameError):
            await client.verify(name, tmp_path / "b.bin")
    with pytest.raises(InvalidNameError):
        await anext(client.list("../a"))


async def test_a_span_survives_faults() -> None:
    """A span that breaks is continued where it stopped, with the remaining length."""
    lab = Lab(".x..E.!")
    assert await lab.client.read(NAME, start=100, length=700) == DATA[100:800]
    assert lab.transport.fired == "xE!"
    assert [(request.start, request.length) for request in lab.transport.requests] == [
        (100, 700),
        (200, 600),
        (400, 400),
        (500, 300),
    ]


async def test_blocks_come_as_they_arrive() -> None:
    """Blocks are returned as they arrive, in the requested size, before the rest is read."""
    lab = Lab(store=FaultyStore(MemoryStore({NAME: DATA})))
    assert isinstance(lab.store, FaultyStore)
    async with lab.client.open(NAME) as reading:
        assert reading.info is not None
        assert reading.info.size == SIZE
        sizes = []
        async for data in reading:
            sizes.append(len(data))
            assert lab.store.bytes_read <= sum(sizes) + BLOCK
    assert sizes == [BLOCK] * 10 + [1]


async def test_what_is_left_is_closed() -> None:
    """Leaving early leaves nothing behind: the stream ends with the `async with`."""
    lab = Lab(store=FaultyStore(MemoryStore({NAME: DATA})))
    assert isinstance(lab.store, FaultyStore)
    async with lab.client.open(NAME) as reading:
        async for _ in reading:
            break
        assert lab.store.open_files == 1
    assert lab.store.open_files == 0
    gc.collect()  # an open generator would cause a warning now


async def test_iterating_again_goes_on() -> None:
    """A second iteration continues where the first stopped; no byte comes twice."""
    async with Lab().client.open(NAME) as reading:
        first = await anext(reading)
        assert b"".join([first, *[data async for data in reading]]) == DATA
        assert [data async for data in reading] == []


async def test_a_pinned_revision() -> None:
    """A pinned revision is read, or the call fails."""
    lab = Lab()
    assert await lab.client.read(NAME, revision="m1") == DATA
    lab.change()
    with pytest.raises(FileChangedError):
        await lab.client.read(NAME, revision="m1")


async def test_a_change_while_reading() -> None:
    """A file that changes while it is read is an error; the bytes before it are of one revision."""
    lab = Lab("...v")
    got = b""

    async def read() -> None:
        nonlocal got
        async with lab.client.open(NAME) as reading:
            async for data in reading:
                got += data

    with pytest.raises(FileChangedError):
        await read()
    assert got == DATA[: 4 * BLOCK]


async def test_stat_tells_what_the_file_is() -> None:
    """Stat returns the store's description."""
    lab = Lab()
    assert await lab.client.stat(NAME) == await lab.store.stat(NAME)
    with pytest.raises(NotFoundError):
        await lab.client.stat("b.bin")


async def test_list_tells_what_there_is() -> None:
    """List yields the files below a prefix: one level with its prefixes, or all; for a file's name, that file."""
    lab = Lab(store=MemoryStore(dict.fromkeys(("a", "b/1", "b/c/2"), b"")))

    async def listed(prefix: str, *, recursive: bool = False) -> tuple[list[str], list[str]]:
        pages = [page async for page in lab.client.pages(prefix, recursive=recursive, page_size=1)]
        return [info.name for page in pages for info in page.files], [name for page in pages for name in page.prefixes]

    assert await listed("") == (["a"], ["b/"])
    assert await listed("", recursive=True) == (["a", "b/1", "b/c/2"], [])
    assert await listed("b") == (["b/1"], ["b/c/"])
    assert await listed("b/") == (["b/1"], ["b/c/"])
    assert await listed("b/1") == (["b/1"], [])


async def test_verify(tmp_path: Path) -> None:
    """Verify compares a local file with the server's, by size and checksum, and returns the server's description."""
    lab = Lab()
    path = tmp_path / "b.bin"
    path.write_bytes(DATA)
    assert await lab.client.verify(NAME, path) == await lab.store.stat(NAME)
    for wrong in (DATA[:-1], DATA + b"x", DATA[:-1] + b"x"):
        path.write_bytes(wrong)
        with pytest.raises(FileMismatchError):
            await lab.client.verify(NAME, path)
    path.unlink()
    with pytest.raises(LocalFileError):
        await lab.client.verify(NAME, path)
    path.mkdir()
    with pytest.raises(LocalFileError):
        await Lab(store=MemoryStore({NAME: bytes(path.stat().st_size)})).client.verify(NAME, path)


async def test_verify_without_a_checksum(tmp_path: Path) -> None:
    """If the server learns its checksum only by reading, the client asks for it; if it has none, that is an error."""
    (tmp_path / "b.bin").write_bytes(DATA)
    lab = Lab()
    info = await lab.client_of(WithoutChecksum(lab.transport, knows=True)).verify(NAME, tmp_path / "b.bin")
    assert info == await lab.store.stat(NAME)
    with pytest.raises(VerificationError, match="no checksum"):
        await lab.client_of(WithoutChecksum(lab.transport)).verify(NAME, tmp_path / "b.bin")


class Generous(Wrapper):
    """Breaks after its last frame instead of ending."""

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        async for frame in self.inner.read(request):
            yield frame
        raise UnreachableError("gone")


async def test_the_summary_is_the_end() -> None:
    """A stream that breaks after its summary is complete: nothing is requested again."""
    lab = Lab()
    assert await lab.client_of(Generous(lab.transport)).read(NAME) == DATA
    assert len(lab.starts) == 1
