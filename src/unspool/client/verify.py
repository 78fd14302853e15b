"""Whether a local file is the server's, by size and checksum of the whole."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from dataclasses import replace

from unspool.client.transfer import Transfer
from unspool.core.model import FileInfo
from unspool.core.receiver import Receiver
from unspool.core.whole import agreement
from unspool.errors import FileMismatchError, VerificationError
from unspool.local.copy import LocalCopy


async def verify(name: str, copy: LocalCopy, transfer: Transfer) -> FileInfo:
    """Return the server's description of the file, if the local one has the same bytes.

    Raises:
        FileMismatchError: it has not.
        VerificationError: the server has no checksum to compare with.
        LocalFileError: the local file cannot be read.
    """
    info = await transfer.call(lambda: transfer.seams.transport.stat(name), name)
    size = await asyncio.to_thread(copy.size)
    if size != info.size:
        raise FileMismatchError(f"{copy.path}: has {size} bytes, {name} on the server has {info.size}", name=name)
    info = await with_checksum(info, transfer)
    theirs = info.crc32c
    if theirs is None:
        raise VerificationError(f"{name}: the server has no checksum to compare with", name=name)
    ours = await checksum_of(copy)
    if not agreement(ours, theirs):
        raise FileMismatchError(
            f"{copy.path}: has other bytes than {name} on the server (crc32c {ours:08x} here, {theirs:08x} there)", name=name
        )
    return info


async def with_checksum(info: FileInfo, transfer: Transfer) -> FileInfo:
    """Return what the server says of a file at that revision, with the CRC32C of the whole if it has one to give.

    Asks by reading nothing, from the file's end: the summary says it, and heartbeats come while the server makes it up.

    Raises:
        FileChangedError: the file is not at that revision any more.
    """
    if info.crc32c is not None:
        return info
    receiver = Receiver(info.name, info.size, pinned=info, transfer_id=transfer.id)
    async with aclosing(transfer.blocks(receiver)) as blocks:
        async for _ in blocks:
            raise AssertionError("the receiver gave out bytes beyond the end of the file")
    assert receiver.info is not None
    assert receiver.summary is not None
    return replace(receiver.info, crc32c=receiver.summary.crc32c)


async def checksum_of(copy: LocalCopy) -> int:
    """Return the CRC32C of a local file."""
    enough = threading.Event()
    summing = asyncio.ensure_future(asyncio.to_thread(copy.checksum, enough))
    try:
        return await asyncio.shield(summing)
    finally:
        # The thread opens and closes the file: who is cancelled waits until it has, at most one piece later.
        enough.set()
        await asyncio.wait([summing])
