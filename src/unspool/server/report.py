"""Reports of how each call ended, for the log and for observers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from unspool.core.abridged import abridged
from unspool.errors import OverloadedError, ServerError, StreamAgeError, UnspoolError
from unspool.server.entry import Call, Sent
from unspool.server.outlet import ClientGoneError

log = logging.getLogger("unspool.server")


MOST_FILES = 100
"""Files of a batch that are reported one by one. With names of up to 80 characters a JSON line of the log then stays within
16 KiB, where Docker and containerd cut lines."""


@dataclass(frozen=True, slots=True)
class FileEnd:
    """How one file of a batch ended.

    Attributes:
        name: the file's name.
        bytes: how many of its bytes were handed to gRPC.
        outcome: `OK`, the reason of the error that ended this file only, or None if the call ended before the file did.
        message: the error's message, or "".
    """

    name: str
    bytes: int
    outcome: str | None
    message: str


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """How the files of a batch ended.

    Attributes:
        count: files in the request, or in all messages of a stream that writes.
        failed: how many of them ended in an error of their own.
        files: at most `MOST_FILES` of them, of the last message: failed files first, otherwise in the order of the request.
        left_out: how many files are not in `files`.
    """

    count: int
    failed: int
    files: tuple[FileEnd, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How one call ended. For a call refused before its request was decoded, the fields that the request sets are empty or 0.

    Attributes:
        method: the method's name, such as `ReadFile`.
        name: the name of the file, or the prefix. Empty for a batch.
        start: first byte asked for.
        bytes: file bytes handed to gRPC; a client that left may not have received all of them, even if the outcome is `OK`.
            Of a call that writes, those that came.
        seconds: how long the call took.
        outcome: `OK`, `CANCELLED` (the client left), or the reason of the error.
        message: the error's message, or "".
        attempt, transfer_id: as the client set them in the request.
        peer: the client's address as gRPC writes it.
        batch: how the files of a batch ended; None for other calls.
        principal: who the client is, or "" if it was not identified.
        limit: the limit that refused or ended the call: a field of `LimitOptions`, `waiting` or `descriptors`.
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
    principal: str = ""
    limit: str = ""


@runtime_checkable
class CallObserver(Protocol):
    """Receives an event for each call that ends. It runs on the event loop, so it should be quick."""

    def notify(self, event: CallEnd) -> None:
        """Handle an event. An exception raised here is logged and affects no call."""
        ...


@runtime_checkable
class CallWatcher(Protocol):
    """Is told of each call when it begins, and sees it run. It runs on the event loop, so it should be quick."""

    def begin(self, call: Call) -> Callable[[CallEnd], None]:
        """Handle the beginning of a call, in its task, and return what handles its end.

        An exception raised by either is logged and affects no call.

        Args:
            call: it changes while it runs: what is asked for is known as soon as the request is decoded, `bytes` grows.
        """
        ...


CallFollower: TypeAlias = CallObserver | CallWatcher
"""What may be in `observers` of a server."""


class Log:
    """The observer that logs one line for each call. It is always installed."""

    def notify(self, event: CallEnd) -> None:
        """See `CallObserver.notify`."""
        log.info(
            "%s %s from=%d bytes=%d seconds=%.3f outcome=%s attempt=%d transfer=%s peer=%s%s%s%s",
            event.method,
            _in_short(event.batch) if event.batch else event.name or "-",
            event.start,
            event.bytes,
            event.seconds,
            event.outcome,
            event.attempt,
            event.transfer_id or "-",
            event.peer,
            f" principal={event.principal}" if event.principal else "",
            f" failed={event.batch.failed}" if event.batch and event.batch.failed else "",
            f" message={event.message!r}" if event.message else "",
            extra={"transfer": event},
        )


class Reports:
    """Notifies observers when calls end.

    Args:
        observers: notified after the log.
    """

    def __init__(self, observers: Sequence[CallFollower] = ()) -> None:
        self._observers = (Log(), *(one for one in observers if isinstance(one, CallObserver)))
        self._watchers = tuple(one for one in observers if isinstance(one, CallWatcher))

    @contextmanager
    def reported(self, call: Call) -> Iterator[None]:
        """Report the end of a call, however it ends."""
        ends = [self._begin(watcher, call) for watcher in self._watchers]
        started = time.monotonic()
        outcome, message, limit = "OK", "", ""
        try:
            yield
        except (asyncio.CancelledError, ClientGoneError):
            outcome = "CANCELLED"
            raise
        except UnspoolError as error:
            outcome, message, limit = error.reason, error.message, _limit_of(error)
            raise
        except Exception as error:
            outcome, message = ServerError.reason, repr(error)
            raise
        finally:
            asked = call.asked
            self._tell(
                ends,
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
                    principal=call.caller.principal.name if call.caller.principal is not None else "",
                    limit=limit,
                ),
            )

    def _begin(self, watcher: CallWatcher, call: Call) -> Callable[[CallEnd], None]:
        try:
            return watcher.begin(call)
        except Exception:
            log.exception("an observer failed")
            return lambda _: None

    def _tell(self, ends: Sequence[Callable[[CallEnd], None]], event: CallEnd) -> None:
        for tell in (*(observer.notify for observer in self._observers), *ends):
            try:
                tell(event)
            except Exception:
                log.exception("an observer failed")


def _limit_of(error: UnspoolError) -> str:
    if isinstance(error, OverloadedError):
        return error.limit
    return "stream_age" if isinstance(error, StreamAgeError) else ""


def _batch_end(call: Call) -> BatchEnd:
    names = call.asked.names
    failed = {index for index, sent in call.sent.items() if sent.error is not None}
    told = sorted(range(len(names)), key=lambda index: index not in failed)[:MOST_FILES]
    files = tuple(_file_end(names[index], call.sent.get(index) or Sent()) for index in told)
    count, failures = call.earlier
    return BatchEnd(count + len(names), failures + len(failed), files, count + len(names) - len(files))


def _file_end(name: str, sent: Sent) -> FileEnd:
    if sent.error is not None:
        return FileEnd(name, sent.bytes, sent.error.reason, abridged(sent.error.message))
    return FileEnd(name, sent.bytes, "OK" if sent.ended else None, "")


def _in_short(batch: BatchEnd) -> str:
    """Return the name of one file of a batch (a failed one if there is one) and the number of the others."""
    more = f" and {batch.count - 1} more" if batch.count > 1 else ""
    return f"{batch.files[0].name if batch.files else '-'}{more}"
