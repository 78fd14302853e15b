"""The example clients in Go and Node, written from PROTOCOL.md alone, and in Java, against our server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest

from client.handmade import handmade
from peers import go_example, java_example, node_example
from unspool import LocalStore, MemoryStore
from unspool.core.checksum import crc32c
from unspool.core.model import Block, Bytes, FileInfo, Frame, Header, Span, Summary
from unspool.rpc import wire
from unspool.server.report import CallEnd
from unspool.stores.base import OpenFile, RunSize, Store
from unspool.testing import Recorder, serve

MIB = 1 << 20


@dataclass(frozen=True)
class Ended:
    """How a run of the client ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Example:
    """An example client.

    Attributes:
        program: how it is started.
        spelled: how its language spells a status.
    """

    program: Sequence[str | Path]
    spelled: Callable[[str], str]

    async def start(self, *args: str | Path) -> asyncio.subprocess.Process:
        """Start the client."""
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*self.program, *args, stdout=pipe, stderr=pipe)

    async def get(self, *args: str | Path) -> Ended:
        """Run the client to its end."""
        process = await self.start(*args)
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    async def cut_off(self, out: Path, *args: str | Path, at_least: int) -> None:
        """Run the client, and kill it when so many bytes have arrived."""
        process = await self.start(*args, out)
        part = out.with_name(out.name + ".part")
        async with asyncio.timeout(30):
            while not part.exists() or part.stat().st_size < at_least:
                assert process.returncode is None, await process.communicate()
                await asyncio.sleep(0.005)
        process.kill()
        await process.communicate()


def _as_go(status: str) -> str:
    return "".join(word.capitalize() for word in status.split("_"))


# Java is slow to build and to start: a second for each test.
@pytest.fixture(params=["go", "node", pytest.param("java", marks=pytest.mark.deep)])
def example(request: pytest.FixtureRequest) -> Example:
    """Return an example client; the test is skipped where its language is not installed."""
    match request.param:
        case "go":
            return Example([go_example()], _as_go)
        case "node":
            return Example(node_example(), str)
        case _:
            return Example(java_example(), str)


class HalfWay:
    """A store whose reads from the start of a file stop half-way and wait, so that a client can be cut off there."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.stat = store.stat
        self.list = store.list
        self.read_small = store.read_small
        self.read_spans = store.read_spans
        self.aclose = store.aclose

    async def open(self, name: str, revision: str | None = None) -> OpenFile:
        """See `Store.open`."""
        return _HalfWay(await self._store.open(name, revision))


class _HalfWay:
    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self.info = file.info

    async def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[Bytes, None]:
        position = span.start
        async for data in self._file.read(span, run_size):
            if not span.start and position >= self.info.size // 2:
                await asyncio.Event().wait()
            yield data
            position += len(data)

    async def steady(self) -> bool:
        return await self._file.steady()

    async def aclose(self) -> None:
        await self._file.aclose()


@pytest.mark.parametrize("size", [0, 1, MIB, 5 * MIB + 17])
async def test_a_whole_file_arrives_verified(example: Example, tmp_path: Path, size: int) -> None:
    """A client written from the document gets a file of any size, whole and verified, and leaves nothing beside it."""
    (tmp_path / "served").mkdir()
    data = os.urandom(size)
    (tmp_path / "served" / "a.bin").write_bytes(data)
    store = LocalStore(tmp_path / "served")
    out = tmp_path / "out"
    async with serve(store) as address:
        ended = await example.get(address, "a.bin", out)
    await store.aclose()
    assert ended == Ended(0, f"{out}: {size} bytes, 0 of them here before, attempts: 1, verified: file\n", "")
    assert out.read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "served"]


async def test_a_killed_client_goes_on_where_it_stopped(example: Example, tmp_path: Path) -> None:
    """Killed half-way and run again, it fetches only what its record does not claim, and the whole is verified."""
    data = os.urandom(40 * MIB)
    out = tmp_path / "out"
    ends = Recorder[CallEnd]()
    async with serve(HalfWay(MemoryStore({"a.bin": data})), observers=[ends]) as address:
        await example.cut_off(out, address, "a.bin", at_least=20 * MIB)
        assert not out.exists()
        ended = await example.get(address, "a.bin", out, "--start-from-part")
    assert ended.code == 0, ended
    assert ended.out == f"{out}: {40 * MIB} bytes, {16 * MIB} of them here before, attempts: 1, verified: file\n"
    assert out.read_bytes() == data
    assert [(end.start, end.bytes) for end in ends if end.outcome == "OK"] == [(16 * MIB, 24 * MIB)]


async def test_a_damaged_part_is_not_built_upon(example: Example, tmp_path: Path) -> None:
    """A part file that is not what its record says is thrown away, and the file arrives whole from zero."""
    data = os.urandom(40 * MIB)
    out = tmp_path / "out"
    async with serve(HalfWay(MemoryStore({"a.bin": data}))) as address:
        await example.cut_off(out, address, "a.bin", at_least=20 * MIB)
    with (tmp_path / "out.part").open("r+b") as part:
        part.seek(3 * MIB)
        part.write(bytes([data[3 * MIB] ^ 1]))
    async with serve(MemoryStore({"a.bin": data})) as address:
        ended = await example.get(address, "a.bin", out, "--start-from-part")
    assert ended.out == f"{out}: {40 * MIB} bytes, 0 of them here before, attempts: 1, verified: file\n"
    assert out.read_bytes() == data


async def test_a_file_that_changed_fails_by_name(example: Example, tmp_path: Path) -> None:
    """If the file changed while nobody downloaded, going on with the old part fails and says why."""
    out = tmp_path / "out"
    store = MemoryStore({"a.bin": os.urandom(40 * MIB)})
    async with serve(HalfWay(store)) as address:
        await example.cut_off(out, address, "a.bin", at_least=20 * MIB)
        store.put("a.bin", os.urandom(40 * MIB))
        ended = await example.get(address, "a.bin", out, "--start-from-part")
    assert ended.code == 1
    assert ended.err.startswith(f"get: FILE_CHANGED ({example.spelled('ABORTED')}): a.bin: ")
    assert not out.exists()


async def test_a_missing_file_is_told_by_its_code(example: Example, tmp_path: Path) -> None:
    """What a server refuses is told by reason and status at once, and nothing is left behind."""
    async with serve(MemoryStore()) as address:
        ended = await example.get(address, "nope", tmp_path / "out")
    assert ended == Ended(1, "", f"get: FILE_NOT_FOUND ({example.spelled('NOT_FOUND')}): nope: no such file\n")
    assert list(tmp_path.iterdir()) == []


async def test_nobody_there_is_tried_again_until_the_budget_is_spent(example: Example, tmp_path: Path) -> None:
    """A server that is away is tried again with waits in between, and then told of."""
    async with serve(MemoryStore()) as address:
        pass
    ended = await example.get(address, "a", tmp_path / "out", "--retry-budget", "2")
    assert ended.code == 1
    assert [line.partition(" (")[0] for line in ended.err.splitlines()] == [
        ended.err.partition(": UNAVAILABLE")[0] + ": UNAVAILABLE",
        "get: UNAVAILABLE",
    ]


# What a server could send that breaks the rules, one message after the other.

DATA = b"the bytes"
INFO = FileInfo("a", len(DATA), "r1")
HEADER = Header(INFO, 0, len(DATA))
BLOCK = Block(0, DATA, crc32c(DATA))
SUMMARY = Summary(len(DATA), at_end=True, crc32c=crc32c(DATA))
GOOD: list[Frame | bytes] = [Frame(header=HEADER), Frame(), Frame(block=BLOCK), Frame(summary=SUMMARY)]

OTHER = replace(HEADER, info=replace(INFO, revision="r2"))

BROKEN: dict[str, tuple[str, list[Frame | bytes]]] = {
    "another whole": ("FILE_MISMATCH", [*GOOD[:3], Frame(summary=replace(SUMMARY, crc32c=1))]),
    "a whole of 0": ("FILE_MISMATCH", [*GOOD[:3], Frame(summary=replace(SUMMARY, crc32c=0))]),
    "no summary": ("TRUNCATED", GOOD[:2]),
    "an end too soon": ("TRUNCATED", [*GOOD[:2], Frame(summary=SUMMARY)]),
    "damaged": ("BLOCK_CORRUPT", [*GOOD[:2], Frame(block=replace(BLOCK, data=b"THE BYTES")), GOOD[3]]),
    "another start": ("START_IGNORED", [Frame(header=replace(HEADER, start=1, length=len(DATA) - 1))]),
    "another length": ("START_IGNORED", [Frame(header=replace(HEADER, length=len(DATA) - 1))]),
    "a gap": ("SEQUENCE", [*GOOD[:2], Frame(block=replace(BLOCK, offset=1))]),
    "two headers": ("SEQUENCE", [GOOD[0], Frame(header=OTHER)]),
    "a block first": ("SEQUENCE", [GOOD[2]]),
    "too much": ("TOO_MUCH_DATA", [*GOOD[:2], Frame(block=Block(0, DATA * 2, 1))]),
    "nothing in a block": ("PROTOCOL", [*GOOD[:2], Frame(block=Block(0, b"", 1))]),
    "another name": ("PROTOCOL", [Frame(header=replace(OTHER, info=replace(INFO, name="b")))]),
    "a negative size": ("PROTOCOL", [Frame(header=replace(HEADER, info=replace(INFO, size=-1), start=1))]),
    "not at the end": ("PROTOCOL", [*GOOD[:3], Frame(summary=replace(SUMMARY, at_end=False, crc32c=1))]),
    "two wholes": ("PROTOCOL", [Frame(header=replace(HEADER, info=replace(INFO, crc32c=0))), *GOOD[1:]]),
    "too large for gRPC": ("PROTOCOL", [bytes(5 << 20)]),
    "silence": ("STALLED", GOOD[:2]),
}
"""By what is wrong: the name of the first check that fails, and what is sent."""


@asynccontextmanager
async def sending(frames: Sequence[Frame | bytes], *, then_wait: bool) -> AsyncGenerator[str, None]:
    """Answer every read with these messages, and end the stream or fall silent."""

    async def read_file(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        for frame in frames:
            await context.write(frame if isinstance(frame, bytes) else wire.encode_frame(frame))
        if then_wait:
            await asyncio.Event().wait()

    async with handmade(ReadFile=read_file) as address:
        yield address


async def test_the_messages_that_are_broken_below_are_good_as_they_are(example: Example, tmp_path: Path) -> None:
    """Header, heartbeat, block and summary in messages of their own make a file."""
    async with sending(GOOD, then_wait=False) as address:
        assert (await example.get(address, "a", tmp_path / "out")).code == 0
    assert (tmp_path / "out").read_bytes() == DATA


@pytest.mark.parametrize("wrong", BROKEN)
async def test_a_stream_that_breaks_a_rule_makes_no_file(example: Example, tmp_path: Path, wrong: str) -> None:
    """Each rule of the document, broken, ends in its own name, in every language, and never in a file at the final name."""
    name, frames = BROKEN[wrong]
    stalls = name == "STALLED"
    async with sending(frames, then_wait=stalls) as address:
        timeout = "0.2s" if stalls else "30s"
        ended = await example.get(address, "a", tmp_path / "out", "--retry-budget", "1", "--idle-timeout", timeout)
    assert ended.code == 1
    assert ended.err.startswith(f"get: {name}"), ended.err
    assert ended.err[len(f"get: {name}")] in ": "
    assert not (tmp_path / "out").exists()
