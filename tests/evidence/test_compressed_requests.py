"""Requests that would become millions of objects, and compressed ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc

from processes import peak_memory, serving

MIB = 1 << 20

EMPTY_ENTRIES = b"\x0a\x00" * (2 * MIB - 100)
"""Two million files with empty names: nearly 4 MiB, which gRPC accepts by default, and 4 KiB when compressed."""

IDENTITY, GZIP = grpc.Compression.NoCompression, grpc.Compression.Gzip


async def refused(address: str, compression: grpc.Compression) -> grpc.aio.AioRpcError:
    """Send the request; return the error."""
    async with grpc.aio.insecure_channel(address, compression=compression) as channel:
        make: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/unspool.v1.FileService/ReadFiles")
        call = make(EMPTY_ENTRIES)
        try:
            async for _ in call:
                raise AssertionError("it was answered")
        except grpc.aio.AioRpcError as error:
            return error
    raise AssertionError("it was taken for an empty batch")


def ten(root: Path, log: Path, compression: grpc.Compression) -> tuple[list[grpc.aio.AioRpcError], int]:
    """Send ten such requests at once to a real server; return the errors, and by how many bytes its memory grew at most."""

    async def sent(address: str) -> list[grpc.aio.AioRpcError]:
        return await asyncio.gather(*(refused(address, compression) for _ in range(10)))

    with serving(root, log, anew=True) as server:
        status = Path(f"/proc/{server.process.pid}/status")
        before = peak_memory(status)
        errors = asyncio.run(sent(server.address))
        return errors, peak_memory(status) - before


def test_millions_of_entries_are_refused_before_they_are_made(tmp_path: Path) -> None:
    """Ten requests of two million entries are INVALID_ARGUMENT, and take less memory than one as objects."""
    errors, grown = ten(tmp_path, tmp_path / "log", IDENTITY)
    assert grown < 100 * MIB
    assert {error.code() for error in errors} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert {error.details() for error in errors} == {"more than 1000 files are asked for at once: at most 1000 can be"}


def test_compressed_requests_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    """The same requests, compressed, are UNIMPLEMENTED, and take less memory than one of them unpacked."""
    errors, grown = ten(tmp_path, tmp_path / "log", GZIP)
    assert grown < 3 * MIB
    assert {error.code() for error in errors} == {grpc.StatusCode.UNIMPLEMENTED}
    assert {error.details() for error in errors} == {"Compression algorithm 'gzip' is disabled."}
