"""Many calls in one process: what their connections may receive ahead."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from client.handmade import Context, handmade
from crash.roomy import roomy
from processes import ENVIRONMENT, peak_memory, serving
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Frame, Header, ReadRequest
from unspool.core.windows import FEW
from unspool.rpc import wire
from unspool.rpc.transport import GrpcTransport

MIB = 1 << 20

NAME = "a.bin"

FIRST = Frame(Header(FileInfo(NAME, MIB, "r1"), 0, MIB), Block(0, b"data", crc32c(b"data")))

# The readers take turns on one event loop, so that each is slower than the server.
READERS = """
import asyncio, sys
from unspool import Client
from unspool.loops import keep_freed_memory, run

address, count = sys.argv[1], int(sys.argv[2])

async def read():
    async with Client(address) as client, client.open("a.bin") as reading:
        async for _ in reading:
            pass

async def main():
    await asyncio.gather(*(read() for _ in range(count)))

keep_freed_memory()
run(main())
print(open("/proc/self/status").read())
"""


async def test_many_calls_have_connections_with_windows() -> None:
    """The first calls share a connection, and so do the next ones; when all have ended, the first kind is used again."""
    peers: list[str] = []

    async def read_file(request: bytes, context: Context) -> None:
        peers.append(context.peer())
        await context.write(wire.encode_frame(FIRST))
        await asyncio.Event().wait()

    async def begin(stack: AsyncExitStack, transport: GrpcTransport) -> None:
        frames: AsyncGenerator[Frame, None] = await stack.enter_async_context(aclosing(transport.read(ReadRequest(NAME))))
        await anext(frames)

    async with handmade(ReadFile=read_file) as address:
        transport = GrpcTransport(address)
        async with AsyncExitStack() as stack:
            for _ in range(2 * FEW):
                await begin(stack, transport)
        async with AsyncExitStack() as stack:
            await begin(stack, transport)
        await transport.aclose()
    first, then, last = set(peers[:FEW]), set(peers[FEW : 2 * FEW]), set(peers[2 * FEW :])
    assert [len(first), len(then), len(last)] == [1, 1, 1]
    assert first != then != last


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system does not say how much memory a process has held"
)
@pytest.mark.parametrize(
    ("readers", "size", "limit"),
    [(48, 32 * MIB, 600 * MIB), pytest.param(256, 128 * MIB, 1024 * MIB, marks=pytest.mark.deep)],
)
def test_many_readers_of_a_fast_server_need_little_memory(tmp_path: Path, readers: int, size: int, limit: int) -> None:
    """Readers of one process that are slower than the server do not receive ahead without end."""
    with roomy(2 * size) as directory:
        with (directory / "a.bin").open("wb") as file:
            file.truncate(size)
        many = ("--max-streams", "1000", "--max-streams-per-peer", "1000", "--workers", "2")
        with serving(directory, tmp_path / "log", *many, anew=True) as server:
            command = [sys.executable, "-c", READERS, server.address, str(readers)]
            done = subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    (tmp_path / "status").write_text(done.stdout)
    assert peak_memory(tmp_path / "status") < limit
