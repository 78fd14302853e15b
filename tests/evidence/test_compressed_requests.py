"""Requests of a few bytes that decompress to millions of objects."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc

from processes import peak_memory, serving

MIB = 1 << 20

EMPTY_ENTRIES = b"\x0a\x00" * (2 * MIB - 100)
"""Two million files with empty names: nearly 4 MiB, which gRPC accepts by default, and 4 KiB when compressed."""


async def refused(address: str) -> grpc.aio.AioRpcError:
    """Send the request, compressed; return the error."""
    async with grpc.aio.insecure_channel(address, compression=grpc.Compression.Gzip) as channel:
        make: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/unspool.v1.FileService/ReadFiles")
        call = make(EMPTY_ENTRIES)
        try:
            async for _ in call:
                raise AssertionError("it was answered")
        except grpc.aio.AioRpcError as error:
            return error
    raise AssertionError("it was taken for an empty batch")


def test_millions_of_entries_are_refused_before_they_are_made(tmp_path: Path) -> None:
    """Ten such requests at once to a real server are INVALID_ARGUMENT, and take less memory than one as objects."""
    (tmp_path / "root").mkdir()

    async def ten(address: str) -> list[grpc.aio.AioRpcError]:
        return await asyncio.gather(*(refused(address) for _ in range(10)))

    with serving(tmp_path / "root", tmp_path / "log", anew=True) as server:
        status = Path(f"/proc/{server.process.pid}/status")
        before = peak_memory(status)
        errors = asyncio.run(ten(server.address))
        assert peak_memory(status) - before < 100 * MIB
    assert {error.code() for error in errors} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert {error.details() for error in errors} == {"more than 1000 files are asked for at once: at most 1000 can be"}
