"""The client's side of the tutorial's dialect: it resumes by chunk numbers, and verifies only what the dialect allows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TypeAlias

import grpc
import pytest

from client.handmade import Context, handmade
from client.lab import JOURNAL, NAME, PART, Lab, content, names_in
from unspool.client.client import Client
from unspool.core.retry import RetryPolicy
from unspool.demo import files_pb2 as pb
from unspool.errors import (
    DestinationExistsError,
    FileChangedError,
    LocalFileError,
    ProtocolError,
    SequenceError,
    StartIgnoredError,
    StartPastEndError,
    UnreachableError,
    UnsupportedError,
)
from unspool.options import TransferOptions
from unspool.rpc.demowire import CHUNK_SIZE
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, serve

DATA = content(5 * CHUNK_SIZE + 100)

Chunks: TypeAlias = list[tuple[int, bytes]]


class Tutorial:
    """The tutorial's server: one file, and functions that change what it sends.

    Attributes:
        data: the bytes of the file.
        starts: the chunk numbers of the requests.
        meddle: changes the chunks of the n-th stream (from 1) before they are sent.
        break_after: the number of chunks after which each stream breaks, from the first stream on; later streams do not break.
    """

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.starts: list[int] = []
        self.meddle: Callable[[int, Chunks], Chunks] = lambda _, chunks: chunks
        self.break_after: list[int] = []

    async def get_file(self, request: bytes, context: Context) -> None:
        """Answer as the tutorial does: the last chunk is shorter than 32 KiB, and may be empty."""
        message = pb.Request.FromString(request)
        self.starts.append(message.start_at)
        last = max(len(self.data) // CHUNK_SIZE, message.start_at)
        chunks = [(n, self.data[n * CHUNK_SIZE : (n + 1) * CHUNK_SIZE]) for n in range(message.start_at, last + 1)]
        most = self.break_after.pop(0) if self.break_after else None
        for number, chunk in self.meddle(len(self.starts), chunks)[:most]:
            await context.write(pb.Response(chunk=chunk, chunk_number=number).SerializeToString())
        if most is not None:
            await context.abort(grpc.StatusCode.UNKNOWN, "broken pipe")

    @asynccontextmanager
    async def connected(self, budget: int = 10, **options: bool) -> AsyncGenerator[Client, None]:
        """Connect a client to it."""
        chosen = TransferOptions(retry=RetryPolicy(budget=budget), **options)  # type: ignore[arg-type]  # only flags
        async with handmade("demo.Files", GetFile=self.get_file) as address:
            client = Client(address, dialect="demo", clock=FakeClock(), random=Random(0), options=chosen)
            async with client:
                yield client


SIZES = [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE, len(DATA)]


@pytest.mark.parametrize("size", SIZES)
async def test_a_whole_file(tmp_path: Path, size: int) -> None:
    """A file arrives completely, and the result says that it was not verified."""
    async with Tutorial(DATA[:size]).connected() as client:
        result = await client.get(NAME, tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA[:size]
    assert (result.verified, result.revision, result.size) == ("none", None, size)
    assert names_in(tmp_path) == ["b.bin"]


@pytest.mark.parametrize("size", SIZES)
async def test_unspools_own_server_in_this_dialect(tmp_path: Path, size: int) -> None:
    """The server of unspool answers the same in this dialect."""
    async with serve(MemoryStore({NAME: DATA[:size]})) as address, Client(address, dialect="demo") as client:
        result = await client.get(NAME, tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA[:size]
    assert result.verified == "none"


async def test_a_broken_stream_goes_on_by_chunk_number(tmp_path: Path) -> None:
    """The next attempt requests the last chunk again, so that a file that has shrunk differs from one that ends there."""
    server = Tutorial()
    server.break_after = [2, 2, 1, 3]
    async with server.connected() as client:
        result = await client.get(NAME, tmp_path / "b.bin")
    assert server.starts == [0, 1, 2, 2, 4]
    assert result.bytes_received == len(DATA)
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_a_second_run_goes_on(tmp_path: Path) -> None:
    """A download resumes from the bytes of an earlier run only if they came from the same server."""
    server = Tutorial()
    server.break_after = [3]
    async with server.connected(budget=0) as client:
        with pytest.raises(Exception, match="broken pipe"):
            await client.get(NAME, tmp_path / "b.bin")
        assert names_in(tmp_path) == [JOURNAL, PART]
        result = await client.get(NAME, tmp_path / "b.bin")
    assert server.starts == [0, 2]
    assert (result.resumed_from, result.verified) == (3 * CHUNK_SIZE, "none")
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_another_server_is_begun_anew(tmp_path: Path) -> None:
    """Without revisions, bytes from another server are not used."""
    first, second = Tutorial(), Tutorial(bytes(len(DATA)))
    first.break_after = [3]
    async with first.connected(budget=0) as client:
        with pytest.raises(Exception, match="broken pipe"):
            await client.get(NAME, tmp_path / "b.bin")
    async with second.connected() as client:
        await client.get(NAME, tmp_path / "b.bin")
    assert second.starts == [0]
    assert (tmp_path / "b.bin").read_bytes() == bytes(len(DATA))


async def test_damage_here_is_fetched_again(tmp_path: Path) -> None:
    """Bytes that were damaged on the disk between runs are detected by the journal, in this dialect too."""
    server = Tutorial()
    server.break_after = [4]
    async with server.connected(budget=0) as client:
        with pytest.raises(Exception, match="broken pipe"):
            await client.get(NAME, tmp_path / "b.bin")
        with (tmp_path / PART).open("r+b") as part:
            part.write(b"damage")
        await client.get(NAME, tmp_path / "b.bin")
    assert server.starts == [0, 0]
    assert (tmp_path / "b.bin").read_bytes() == DATA


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE - 1])
async def test_a_file_that_shrank(tmp_path: Path, size: int) -> None:
    """If the file is shorter than its part file, it has changed: the download begins again, and no old byte stays."""
    new = content(size, seed=9)
    for unspool in (False, True):
        server, store = Tutorial(), MemoryStore({NAME: DATA})
        server.break_after = [3]

        def meddle(stream: int, chunks: Chunks, server: Tutorial = server) -> Chunks:
            server.data = new
            return chunks

        server.meddle = meddle
        path = tmp_path / f"{unspool}.bin"
        if unspool:
            async with server.connected(budget=0) as client:
                with pytest.raises(Exception, match="broken pipe"):
                    await client.get(NAME, path)
            store.put(NAME, new)
            async with serve(store) as address, Client(address, dialect="demo") as client:
                result = await client.get(NAME, path)
        else:
            async with server.connected() as client:
                result = await client.get(NAME, path)
            assert server.starts == [0, 2, 0]
            assert result.restarts == 1
        assert path.read_bytes() == new


async def test_a_file_that_shrank_is_an_error_if_so_wished(tmp_path: Path) -> None:
    """With `fail`, a file that shrank ends the download as one that changed."""
    server = Tutorial()
    server.break_after = [3]

    def meddle(stream: int, chunks: Chunks) -> Chunks:
        server.data = DATA[:CHUNK_SIZE]
        return chunks

    server.meddle = meddle
    async with server.connected() as client:
        with pytest.raises(FileChangedError, match="ends before"):
            await client.get(NAME, tmp_path / "b.bin", options=TransferOptions(on_change="fail"))
    assert not (tmp_path / "b.bin").exists()


def renumbered(stream: int, chunks: Chunks) -> Chunks:
    """Number chunks from one."""
    return [(number + 1, chunk) for number, chunk in chunks]


def skipping(stream: int, chunks: Chunks) -> Chunks:
    """Leave out a chunk."""
    return chunks[:1] + chunks[2:]


def repeating(stream: int, chunks: Chunks) -> Chunks:
    """Send a chunk twice."""
    return chunks[:2] + chunks[1:]


def larger(stream: int, chunks: Chunks) -> Chunks:
    """Send chunks of 64 KiB."""
    return [(chunks[0][0], chunks[0][1] + chunks[1][1])]


def short_inside(stream: int, chunks: Chunks) -> Chunks:
    """Send a short chunk that is not the last."""
    return [chunks[0], (chunks[1][0], chunks[1][1][:-1]), *chunks[2:]]


@pytest.mark.parametrize(
    ("meddle", "error", "attempts"),
    [
        (renumbered, StartIgnoredError, 1),
        (skipping, SequenceError, None),
        (larger, ProtocolError, 1),
    ],
)
async def test_chunks_that_are_wrong(
    tmp_path: Path, meddle: Callable[[int, Chunks], Chunks], error: type[Exception], attempts: int | None
) -> None:
    """Chunks with wrong numbers or sizes never become bytes of the file."""
    server = Tutorial()
    server.meddle = meddle
    async with server.connected(budget=2) as client:
        with pytest.raises(error):
            await client.get(NAME, tmp_path / "b.bin")
    assert not (tmp_path / "b.bin").exists()
    assert attempts in (None, len(server.starts))


@pytest.mark.parametrize("meddle", [skipping, repeating, short_inside])
async def test_chunks_that_are_wrong_once(tmp_path: Path, meddle: Callable[[int, Chunks], Chunks]) -> None:
    """After a stream with chunks out of order, the download resumes after the last correct chunk."""
    server = Tutorial()
    server.meddle = lambda stream, chunks: meddle(stream, chunks) if stream == 1 else chunks
    async with server.connected() as client:
        await client.get(NAME, tmp_path / "b.bin")
    assert len(server.starts) == 2
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_a_start_that_is_ignored(tmp_path: Path) -> None:
    """A server that ignores the requested start is detected on resume."""
    server = Tutorial()
    server.break_after = [3]
    server.meddle = lambda stream, chunks: chunks if stream == 1 else [(0, DATA[:CHUNK_SIZE]), *chunks]
    async with server.connected() as client:
        with pytest.raises(StartIgnoredError):
            await client.get(NAME, tmp_path / "b.bin")
    assert names_in(tmp_path) == [JOURNAL, PART]


async def test_what_is_no_chunk(tmp_path: Path) -> None:
    """Bytes that are not a valid chunk are a protocol error."""

    async def get_file(request: bytes, context: Context) -> None:
        await context.write(b"\xff\xff")

    async with handmade("demo.Files", GetFile=get_file) as address, Client(address, dialect="demo") as client:
        with pytest.raises(ProtocolError):
            await client.get(NAME, tmp_path / "b.bin")


@pytest.mark.parametrize("start", [0, 5, CHUNK_SIZE, CHUNK_SIZE + 5, len(DATA) - 1, len(DATA)])
@pytest.mark.parametrize("length", [None, 0, 1, CHUNK_SIZE, 2 * CHUNK_SIZE + 7, 2 * len(DATA)])
async def test_spans(start: int, length: int | None) -> None:
    """A span is returned exactly, although the dialect has only chunks."""
    async with Tutorial().connected() as client:
        stop = len(DATA) if length is None else start + length
        assert await client.read(NAME, start=start, length=length) == DATA[start:stop]


@pytest.mark.parametrize("start", [len(DATA) + 1, 9 * CHUNK_SIZE, 9 * CHUNK_SIZE + 1])
async def test_a_start_past_the_end(start: int) -> None:
    """A read beyond the end of the file is an error, in this dialect too."""
    async with Tutorial().connected() as client:
        with pytest.raises(StartPastEndError):
            await client.read(NAME, start=start)


async def test_a_destination_that_is_there(tmp_path: Path) -> None:
    """Files cannot be compared in this dialect: an existing file is replaced, or refused."""
    (tmp_path / "b.bin").write_bytes(DATA)
    server = Tutorial()
    async with server.connected(overwrite=False) as client:
        with pytest.raises(DestinationExistsError):
            await client.get(NAME, tmp_path / "b.bin")
    assert server.starts == []
    async with server.connected() as client:
        assert (await client.get(NAME, tmp_path / "b.bin")).bytes_received == len(DATA)


async def test_what_the_dialect_cannot_say(tmp_path: Path) -> None:
    """Stat, list and verify are errors that say that the dialect does not have them."""
    async with Tutorial().connected() as client:
        with pytest.raises(UnsupportedError):
            await client.stat(NAME)
        with pytest.raises(UnsupportedError):
            await client.verify(NAME, tmp_path / "b.bin")
        with pytest.raises(UnsupportedError):
            await anext(client.list())
        with pytest.raises(UnsupportedError):
            await client.read(NAME, revision="r1")


async def test_a_local_error_is_one_here_too(tmp_path: Path) -> None:
    """A refusal of the local file system is an error before the server gets a request."""
    server = Tutorial()
    async with server.connected() as client:
        with pytest.raises(LocalFileError):
            await client.get(NAME, tmp_path / "missing" / "b.bin")
    assert server.starts == []


async def test_what_was_begun_in_the_other_dialect(tmp_path: Path) -> None:
    """Bytes with a revision are not mixed with bytes without one: the download is refused, and the bytes are kept."""
    first = Lab("...x", budget=0)
    with pytest.raises(UnreachableError):
        await first.get(tmp_path / "b.bin")
    server = Tutorial()
    async with server.connected() as client:
        with pytest.raises(UnsupportedError, match="resume=False"):
            await client.get(NAME, tmp_path / "b.bin")
        assert server.starts == []
        assert names_in(tmp_path) == [JOURNAL, PART]
        await client.get(NAME, tmp_path / "b.bin", options=TransferOptions(resume=False))
    assert (tmp_path / "b.bin").read_bytes() == DATA
