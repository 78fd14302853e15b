"""Compares a local file with the server's, by size and by the checksum of the whole file."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from unspool.client.transfer import Transfer
from unspool.core.counted import counted
from unspool.core.model import FileInfo
from unspool.core.receiver import Receiver
from unspool.core.whole import agreement
from unspool.errors import FileMismatchError, UnsupportedError, VerificationError

if TYPE_CHECKING:
    from unspool.local.copy import LocalCopy


async def stat(name: str, transfer: Transfer, *, sha256: bool = False) -> FileInfo:
    """Return the present description of a file, with its SHA-256 if `sha256` is true.

    Raises:
        UnsupportedError: the server cannot compute a SHA-256.
    """
    if sha256:
        return await _with_sha256(Receiver(name, 0, 0, transfer_id=transfer.id, sha256=True), transfer)
    return await transfer.call(lambda: transfer.transport.stat(name), name)


async def verify(name: str, copy: LocalCopy, transfer: Transfer, *, sha256: bool = False) -> FileInfo:
    """Return the server's description of the file, if the local file has the same bytes.

    Raises:
        FileMismatchError: it has other bytes.
        VerificationError: the server has no checksum to compare with.
        UnsupportedError: `sha256` is true, and the server cannot compute a SHA-256.
        LocalFileError: the local file cannot be read.
    """
    return await compare(await stat(name, transfer), copy, transfer, sha256=sha256)


async def compare(info: FileInfo, copy: LocalCopy, transfer: Transfer, *, sha256: bool = False) -> FileInfo:
    """Compare a local file with a description from the server; see `verify`. FileChangedError if the revision has changed."""
    name = info.name
    size = await asyncio.to_thread(copy.size)
    if size != info.size:
        raise FileMismatchError(f"{copy.path}: has {counted(size, 'byte')}, {name} on the server has {info.size}", name=name)
    if sha256:
        info = await _with_sha256(Receiver(name, 0, 0, pinned=info, transfer_id=transfer.id, sha256=True), transfer)
    else:
        info = await with_checksum(info, transfer)
    theirs = info.crc32c
    if theirs is None and info.sha256 is None:
        raise VerificationError(f"{name}: the server has no checksum to compare with", name=name)
    ours, digest = await checksums_of(copy, sha256=sha256)
    if agreement(ours, theirs) is False:
        raise FileMismatchError(
            f"{copy.path}: has other bytes than {name} on the server (crc32c {ours:08x} here, {theirs:08x} there)", name=name
        )
    if info.sha256 is not None and digest != info.sha256:
        raise FileMismatchError(
            f"{copy.path}: has other bytes than {name} on the server (sha256 {digest.hex()} here, {info.sha256.hex()} there)",
            name=name,
        )
    return info


async def with_checksum(info: FileInfo, transfer: Transfer) -> FileInfo:
    """Return the description of a file at that revision, with the CRC32C of the whole file if the server can compute it.

    Requests zero bytes at the end of the file: the summary has the checksum. The server sends heartbeats while it computes it.

    Raises:
        FileChangedError: the file is no longer at that revision.
    """
    if info.crc32c is not None:
        return info
    return await _read_nothing(Receiver(info.name, info.size, pinned=info, transfer_id=transfer.id), transfer)


async def _with_sha256(receiver: Receiver, transfer: Transfer) -> FileInfo:
    """Return the description in the header of a read that requests the SHA-256. Heartbeats arrive while it is computed."""
    info = await _read_nothing(receiver, transfer)
    if info.sha256 is None:
        raise UnsupportedError(
            f"{receiver.name}: the server has no SHA-256 (it may be older); ask without it (sha256=False)", name=receiver.name
        )
    return info


async def _read_nothing(receiver: Receiver, transfer: Transfer) -> FileInfo:
    """Return the description and the checksum that a read of zero bytes brings."""
    async with aclosing(transfer.blocks(receiver)) as blocks:
        async for _ in blocks:
            raise AssertionError("the receiver returned bytes although none were requested")
    if receiver.info is None:
        raise UnsupportedError(f"{receiver.name}: the server does not say what the file is", name=receiver.name)
    assert receiver.summary is not None
    return replace(receiver.info, crc32c=receiver.summary.crc32c)


async def checksum_of(copy: LocalCopy) -> int:
    """Return the CRC32C of a local file."""
    return (await checksums_of(copy))[0]


async def checksums_of(copy: LocalCopy, *, sha256: bool = False) -> tuple[int, bytes]:
    """Return the CRC32C of a local file, and its SHA-256 if `sha256` is true."""
    enough = threading.Event()
    summing = asyncio.ensure_future(asyncio.to_thread(copy.checksums, enough, sha256=sha256))
    try:
        return await asyncio.shield(summing)
    finally:
        # The thread opens and closes the file. A cancelled caller waits for that: at most the time to read one piece.
        enough.set()
        await asyncio.wait([summing])
