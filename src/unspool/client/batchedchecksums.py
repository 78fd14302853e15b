"""Asks for the checksums of many small files with one stream.

A batch whose entries begin at the end of each file brings a header and a summary for each, and no bytes. One stream for 500
files of 4 KiB takes a tenth of the time of 500 streams (measured).

Rule 1: every answer goes through a receiver, as in any read.
Rule 2: this only saves time. Whatever goes wrong, the checksums that are still missing are requested one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from unspool.client.transfer import Transfer
from unspool.core.model import BatchRequest, FileInfo, WantedFile, is_heartbeat
from unspool.core.receiver import Receiver
from unspool.errors import UnspoolError


async def add_checksums(infos: Sequence[FileInfo], transfer: Transfer) -> list[FileInfo]:
    """Return the files at the same revisions, with the CRC32C of those for which the server has sent it."""
    receivers = [Receiver(info.name, info.size, pinned=info, transfer_id=transfer.id) for info in infos]
    request = BatchRequest(
        files=tuple(WantedFile(info.name, info.revision, info.size) for info in infos), transfer_id=transfer.id, attempt=1
    )
    for receiver in receivers:
        receiver.next_request(1)
    with suppress(UnspoolError):
        async for attempt in transfer.attempts():
            with attempt:
                attempt.final = True
                async with aclosing(transfer.transport.read_files(request)) as messages:
                    while (message := await transfer.bounded(anext(messages, None), lambda: "checksums")) is not None:
                        for piece in message:
                            if piece.frame is not None and not is_heartbeat(piece.frame) and 0 <= piece.index < len(receivers):
                                receivers[piece.index].receive(piece.frame)
    return [_with_checksum(info, receiver) for info, receiver in zip(infos, receivers, strict=True)]


def _with_checksum(info: FileInfo, receiver: Receiver) -> FileInfo:
    if not receiver.complete or receiver.summary is None:
        return info
    return replace(info, crc32c=receiver.summary.crc32c)
