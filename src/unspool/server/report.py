"""What became of every call: told to observers, and logged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from unspool.errors import ServerError, UnspoolError
from unspool.server.entry import Call
from unspool.server.outlet import ClientGoneError

log = logging.getLogger("unspool.server")


@dataclass(frozen=True, slots=True)
class CallEnd:
    """What became of one call.

    Attributes:
        method: of the service, as `ReadFile`.
        name: of the file, or of the prefix; of many files the first, and how many more. Empty for a call that was refused
            before its request was decoded, as is all that the request says.
        start: first byte asked for.
        bytes: of files that were handed to gRPC; a client that left need not have got them all.
        seconds: how long it took.
        outcome: `OK`, `CANCELLED` (the client left), or the reason of the error.
        message: of the error, or "".
        attempt, transfer_id: what the client calls it.
        peer: the client's address as gRPC writes it.
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


class Observer(Protocol):
    """Is told what happens at a server, on the event loop; it should be quick."""

    def notify(self, event: CallEnd) -> None:
        """Take note of an event. What it raises is logged, and concerns no call."""
        ...


class Log:
    """The observer that logs one line for each call that ended; always there."""

    def notify(self, event: CallEnd) -> None:
        """See `Observer.notify`."""
        log.info(
            "%s %s from=%d bytes=%d seconds=%.3f outcome=%s attempt=%d transfer=%s peer=%s%s",
            event.method,
            event.name or "-",
            event.start,
            event.bytes,
            event.seconds,
            event.outcome,
            event.attempt,
            event.transfer_id or "-",
            event.peer,
            f" message={event.message!r}" if event.message else "",
            extra={"transfer": event},
        )


class Reports:
    """Tells observers how calls end.

    Args:
        observers: are told, after the log.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers: tuple[Observer, ...] = (Log(), *observers)

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
            self._tell(
                CallEnd(
                    method=call.method,
                    name=str(call.asked),
                    start=call.asked.start,
                    bytes=call.bytes,
                    seconds=time.monotonic() - started,
                    outcome=outcome,
                    message=message,
                    attempt=call.asked.attempt,
                    transfer_id=call.asked.transfer_id,
                    peer=call.caller.address,
                )
            )

    def _tell(self, event: CallEnd) -> None:
        for observer in self._observers:
            try:
                observer.notify(event)
            except Exception:
                log.exception("an observer failed")
