"""The upload of the example client in Go, written from PROTOCOL.md, against our server."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from examples.test_example_clients import Ended, Example
from peers import go_example
from unspool import LocalStore, MemoryStore
from unspool.core.acceptor import Acceptor
from unspool.core.checksum import crc32c
from unspool.core.model import Block
from unspool.core.segments import SEGMENT_SIZE
from unspool.errors import UnreachableError
from unspool.ingest.local import LocalIngester
from unspool.ingest.memory import MemoryIngester, MemoryUpload
from unspool.server.report import CallEnd
from unspool.testing import Recorder, serve

MIB = 1 << 20


@pytest.fixture
def example() -> Example:
    """The client; the test is skipped where Go is not installed."""
    return Example([go_example()], str)


def said(data: bytes, there: int, attempts: int, ended: Ended) -> None:
    """Check what the client says of a file that it has uploaded."""
    line = rf"a\.bin: {len(data)} bytes, {there} of them there before, attempts: {attempts}, verified: file, revision \S+\n"
    assert ended.code == 0, ended
    assert re.fullmatch(line, ended.out), ended.out


@pytest.mark.parametrize("size", [0, 1, 5 * MIB + 17])
async def test_a_whole_file_is_uploaded(example: Example, tmp_path: Path, size: int) -> None:
    """A file of any size is there, whole, and nothing is left beside it; a second upload replaces it with another."""
    (tmp_path / "root").mkdir()
    path = tmp_path / "source"
    store, ingester = LocalStore(tmp_path / "root"), LocalIngester(tmp_path / "root")
    async with serve(store, ingester=ingester) as address:
        for data in (os.urandom(size), os.urandom(size)):
            path.write_bytes(data)
            said(data, 0, 1, await example.get("put", address, path, "a.bin"))
            assert (tmp_path / "root/a.bin").read_bytes() == data
    assert {one.name for one in tmp_path.iterdir()} == {"root", "source"}
    await ingester.aclose()
    await store.aclose()


class Halfway:
    """An ingester that stops taking blocks half-way, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()
        write = MemoryUpload.write

        async def gated(upload: MemoryUpload, block: Block) -> None:
            if block.end > after:
                self.reached.set()
                await self.let_go.wait()
            await write(upload, block)

        monkeypatch.setattr(MemoryUpload, "write", gated)


@pytest.mark.parametrize("edited", [False, True])
async def test_a_killed_client_goes_on(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, edited: bool
) -> None:
    """Killed half-way and run again, it sends what the server lacks; of a file that was edited in a hidden way, all."""
    data = bytearray(os.urandom(8 * MIB))
    path = tmp_path / "source"
    path.write_bytes(data)
    store, ends = MemoryStore(), Recorder[CallEnd]()
    halfway = Halfway(monkeypatch, 4 * MIB)
    async with serve(store, ingester=MemoryIngester(store), observers=[ends]) as address:
        process = await example.start("put", address, path, "a.bin")
        await asyncio.wait_for(halfway.reached.wait(), 30)
        process.kill()
        await process.communicate()
        assert (tmp_path / "source.upload").exists()
        if edited:
            status = path.stat()
            data[0] ^= 1
            path.write_bytes(data)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        halfway.let_go.set()
        ended = await example.get("put", address, path, "a.bin")
    assert ended.code == 0, ended
    there = int(ended.out.split(" of them there before")[0].split()[-1])
    assert (there == 0) is edited
    assert store._files["a.bin"][1] == bytes(data)
    assert [end.bytes for end in ends if end.outcome == "OK"][-1] == len(data) - there
    assert not (tmp_path / "source.upload").exists()


async def test_a_server_that_comes_and_goes_is_gone_on_with(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client opens the upload again after an error, and what has arrived is not sent again."""
    data = os.urandom(8 * MIB)
    path = tmp_path / "source"
    path.write_bytes(data)
    store, broken = MemoryStore(), list[int]()
    write = MemoryUpload.write

    async def breaking(upload: MemoryUpload, block: Block) -> None:
        await write(upload, block)
        if block.offset % (3 * MIB) == 0 and block.offset not in broken:
            broken.append(block.offset)
            raise UnreachableError("a.bin: go to another server", retry_after=0.0)

    monkeypatch.setattr(MemoryUpload, "write", breaking)
    async with serve(store, ingester=MemoryIngester(store)) as address:
        said(data, 0, 4, await example.get("put", address, path, "a.bin"))
    assert store._files["a.bin"][1] == data
    assert broken == [0, 3 * MIB, 6 * MIB]


async def test_a_segment_that_differs_is_sent_again(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the whole differs although every block was right, what the server says it has is compared, and sent again."""
    data = os.urandom(SEGMENT_SIZE + MIB)
    path = tmp_path / "source"
    path.write_bytes(data)
    store, damaged = MemoryStore(), list[int]()
    accept = Acceptor.accept

    def damaging(acceptor: Acceptor, block: Block) -> str:
        deed = accept(acceptor, block)
        if not damaged:
            damaged.append(block.offset)
            wrong = bytes([block.data[0] ^ 1]) + bytes(block.data[1:])
            acceptor.table.forget(0)
            acceptor.table.record(replace(block, data=wrong, crc32c=crc32c(wrong)))
        return deed

    written = MemoryUpload.write

    async def write(upload: MemoryUpload, block: Block) -> None:
        if block.offset in damaged:
            damaged[0] = -1
            wrong = bytes([block.data[0] ^ 1]) + bytes(block.data[1:])
            block = replace(block, data=wrong, crc32c=crc32c(wrong))
        await written(upload, block)

    monkeypatch.setattr(Acceptor, "accept", damaging)
    monkeypatch.setattr(MemoryUpload, "write", write)
    async with serve(store, ingester=MemoryIngester(store)) as address:
        ended = await example.get("put", address, path, "a.bin")
    assert ended.code == 0, ended
    assert "some segments are sent again" in ended.err
    assert store._files["a.bin"][1] == data


async def test_what_the_server_refuses_is_said(example: Example, tmp_path: Path) -> None:
    """A server that takes no files, and a name that is none, end it at once, with the reason."""
    path = tmp_path / "source"
    path.write_bytes(b"abc")
    store = MemoryStore()
    async with serve(store) as address:
        refused = await example.get("put", address, path, "a.bin")
    assert (refused.code, "UNSUPPORTED" in refused.err) == (1, True)
    async with serve(store, ingester=MemoryIngester(store)) as address:
        refused = await example.get("put", address, path, "../a")
    assert (refused.code, "INVALID_NAME" in refused.err) == (1, True)
    assert (await example.get("put", "127.0.0.1:1", path)).code == 2
