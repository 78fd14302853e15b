"""What became of every call: told to observers, and logged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from unspool.core.abridged import abridged
from unspool.errors import ServerError, UnspoolError
from unspool.server.entry import Call, Sent
from unspool.server.outlet import ClientGoneError

log = logging.getLogger("unspool.server")


MOST_FILES = 100
"""Files of a batch that are told of one by one. With names of up to 80 characters a JSON line of the log then stays within
16 KiB, where Docker and containerd cut lines."""


@dataclass(frozen=True, slots=True)
class FileEnd:
    """What became of one file of a batch.

    Attributes:
        name: of the file.
        bytes: of it that were handed to gRPC.
        outcome: `OK`, the reason of the error that ended this file and no other, or None: the call ended before the file did.
        message: of the error, or "".
    """

    name: str
    bytes: int
    outcome: str | None
    message: str


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """What became of the files of a batch.

    Attributes:
        count: files that were asked for.
        failed: of these, how many ended in an error of their own.
        files: what became of each, those that failed first, else as they were asked for; at most `MOST_FILES`.
        left_out: how many files are not in `files`.
    """

    count: int
    failed: int
    files: tuple[FileEnd, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class CallEnd:
    """What became of one call.

    Attributes:
        method: of the service, as `ReadFile`.
        name: of the file, or of the prefix. Empty for a batch, and for a call that was refused before its request was decoded,
            as is all that the request says.
        start: first byte asked for.
        bytes: of files that were handed to gRPC; a client that left need not have got them all.
        seconds: how long it took.
        outcome: `OK`, `CANCELLED` (the client left), or the reason of the error.
        message: of the error, or "".
        attempt, transfer_id: what the client calls it.
        peer: the client's address as gRPC writes it.
        batch: what became of the files of a batch; None for other calls.
    """

    method: str
    name: str
    start: int
    bytes: int
    seconds: float
    outcome: str
    message: str
    attempt: int
    transfer_id: str
    peer: str
    batch: BatchEnd | None = None


class CallObserver(Protocol):
    """Is told what happens at a server, on the event loop; it should be quick."""

    def notify(self, event: CallEnd) -> None:
        """Take note of an event. What it raises is logged, and concerns no call."""
        ...


class Log:
    """The observer that logs one line for each call that ended; always there."""

    def notify(self, event: CallEnd) -> None:
        """See `CallObserver.notify`."""
        log.info(
            "%s %s from=%d bytes=%d seconds=%.3f outcome=%s attempt=%d transfer=%s peer=%s%s%s",
            event.method,
            _in_short(event.batch) if event.batch else event.name or "-",
            event.start,
            event.bytes,
            event.seconds,
            event.outcome,
            event.attempt,
            event.transfer_id or "-",
            event.peer,
            f" failed={event.batch.failed}" if event.batch and event.batch.failed else "",
            f" message={event.message!r}" if event.message else "",
            extra={"transfer": event},
        )


class Reports:
    """Tells observers how calls end.

    Args:
        observers: are told, after the log.
    """

    def __init__(self, observers: Sequence[CallObserver] = ()) -> None:
        self._observers: tuple[CallObserver, ...] = (Log(), *observers)

    @contextmanager
    def reported(self, call: Call) -> Iterator[None]:
        """Report the end of a call, however it ends."""
        started = time.monotonic()
        outcome, message = "OK", ""
        try:
            yield
        except (asyncio.CancelledError, ClientGoneError):
            outcome = "CANCELLED"
            raise
        except UnspoolError as error:
            outcome, message = error.reason, error.message
            raise
        except Exception as error:
            outcome, message = ServerError.reason, repr(error)
            raise
        finally:
            asked = call.asked
            self._tell(
                CallEnd(
                    method=call.method,
                    name=asked.names[0] if asked.names and not asked.batch else "",
                    start=asked.start,
                    bytes=call.bytes,
                    seconds=time.monotonic() - started,
                    outcome=outcome,
                    message=message,
                    attempt=asked.attempt,
                    transfer_id=asked.transfer_id,
                    peer=call.caller.address,
                    batch=_batch_end(call) if asked.batch else None,
                )
            )

    def _tell(self, event: CallEnd) -> None:
        for observer in self._observers:
            try:
                observer.notify(event)
            except Exception:
                log.exception("an observer failed")


def _batch_end(call: Call) -> BatchEnd:
    names = call.asked.names
    failed = {index for index, sent in call.sent.items() if sent.error is not None}
    told = sorted(range(len(names)), key=lambda index: index not in failed)[:MOST_FILES]
    files = tuple(_file_end(names[index], call.sent.get(index) or Sent()) for index in told)
    return BatchEnd(len(names), len(failed), files, len(names) - len(files))


def _file_end(name: str, sent: Sent) -> FileEnd:
    if sent.error is not None:
        return FileEnd(name, sent.bytes, sent.error.reason, abridged(sent.error.message))
    return FileEnd(name, sent.bytes, "OK" if sent.ended else None, "")


def _in_short(batch: BatchEnd) -> str:
    """Name one file of a batch, one that failed if there is such, and say how many others there are."""
    more = f" and {batch.count - 1} more" if batch.count > 1 else ""
    return f"{batch.files[0].name if batch.files else '-'}{more}"
