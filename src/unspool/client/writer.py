"""A download to a writer: writes each verified block, and the last one only when the whole file is verified."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from io import TextIOBase
from typing import Any, Protocol

from unspool.client.events import Advanced, Started
from unspool.client.results import Result
from unspool.client.transfer import Transfer
from unspool.core.abridged import abridged
from unspool.core.checksum import combine
from unspool.core.counted import counted
from unspool.core.model import Block, Bytes
from unspool.core.oserrors import local_file_error, reason_of
from unspool.core.receiver import Receiver
from unspool.core.whole import check_whole
from unspool.errors import InvalidRequestError, LocalFileError, UnspoolError


class Writer(Protocol):
    """Anything that bytes can be written to, such as a binary file."""

    def write(self, data: Bytes, /) -> Any:
        """Write the bytes; return the number written, or None for all."""
        ...


def check_writer(writer: object) -> None:
    """Raise InvalidRequestError if bytes cannot be written to `writer`."""
    if isinstance(writer, TextIOBase):
        raise InvalidRequestError("the destination is a text file, which takes no bytes: open it with mode 'wb'")
    if not callable(getattr(writer, "write", None)):
        raise InvalidRequestError(f"the destination is {abridged(repr(writer))}: give a path, or a file opened with mode 'wb'")


async def write_to(writer: Writer, name: str, transfer: Transfer) -> Result:
    """Download a file to a writer; see `Client.get`."""
    clock, observer = transfer.seams.clock, transfer.observer
    started = clock.monotonic()
    receiver = Receiver(name, transfer_id=transfer.id)
    checksum, held = 0, None
    async with aclosing(transfer.blocks(receiver)) as blocks:
        async for block in blocks:
            if held is None:
                observer.notify(Started(name, receiver.info.size if receiver.info else None, 0, transfer.id))
            else:
                await _write(writer, held)
            held = block
            checksum = combine(checksum, block.crc32c, len(block.data))
            observer.notify(Advanced(block.end, transfer.id))
    assert receiver.summary is not None
    verified = check_whole(name, checksum, receiver.summary.crc32c, "the last block was not written: throw away what was")
    if held is not None:
        await _write(writer, held)
    else:
        observer.notify(Started(name, 0, 0, transfer.id))
    return Result(
        name=name,
        path=None,
        size=receiver.position,
        revision=receiver.info.revision if receiver.info else None,
        verified=verified if receiver.info else "none",
        crc32c=checksum,
        bytes_received=transfer.tally.bytes_received,
        servers=dict(transfer.tally.by_server),
        without=transfer.without,
        resumed_from=0,
        attempts=transfer.tally.attempts,
        restarts=0,
        seconds=clock.monotonic() - started,
    )


async def _write(writer: Writer, block: Block) -> None:
    """Write the whole block, in a worker thread."""
    rest = memoryview(block.data)
    try:
        while rest:
            taken = await asyncio.to_thread(writer.write, rest)
            if not isinstance(taken, int):
                return
            if not 0 < taken <= len(rest):
                raise LocalFileError(
                    f"the writer took {taken} of the {counted(len(rest), 'byte')} at {block.end - len(rest)}",
                    offset=block.end - len(rest),
                )
            rest = rest[taken:]
    except UnspoolError:
        raise
    except TypeError as error:
        raise InvalidRequestError(f"the writer does not take bytes ({error}): open a file with mode 'wb'") from error
    except ValueError as error:
        raise InvalidRequestError(f"the writer refused the bytes: {error}") from error
    except OSError as error:
        at = block.end - len(rest)
        raise local_file_error(f"the writer refused the bytes at {at}: {reason_of(error)}", error, offset=at) from error
