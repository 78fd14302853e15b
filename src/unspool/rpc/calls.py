"""What every call of every dialect has in common on the server's side: errors, heartbeats, coming and going, the report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Self, TypeAlias, TypeVar

import grpc

from unspool.core.model import FileInfo, ReadRequest, Span
from unspool.errors import ServerError, StartPastEndError, UnreachableError, UnspoolError
from unspool.rpc import status

log = logging.getLogger("unspool.rpc")

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client left while a message was on its way to it. Never leaves this room."""


_DRAIN_RETRY = 1.0
"""Seconds a client is asked to wait when the server is going away: long enough for a balancer to notice."""


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[None]:
    """Turn what goes wrong inside into the status of the call: the one place where that is done."""
    try:
        yield
    except ClientGoneError:
        return
    except UnspoolError as error:
        code, message, metadata = status.encode_error(error)
    except Exception as error:
        log.exception("a call failed in a way nobody foresaw")
        code, message, metadata = status.encode_error(ServerError(f"internal error: {type(error).__name__}"))
    else:
        return
    await context.abort(code, message, metadata)


@dataclass(frozen=True, slots=True)
class TransferEnd:
    """What became of one stream, for the log.

    Attributes:
        method: of the service, as `ReadFile`.
        bytes: of the file that were handed to gRPC; a client that left need not have got them all.
        outcome: `OK`, `CANCELLED` (the client left), or the reason of the error.
        message: of the error, or "".
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


class Calls:
    """The calls a server is answering.

    Args:
        on_transfer_end: called once for every read that ended, however it ended.
    """

    def __init__(self, on_transfer_end: Callable[[TransferEnd], None] = lambda _: None) -> None:
        self._on_transfer_end = on_transfer_end
        self._draining = False
        self._cutting = False
        self._running: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def active(self) -> int:
        """How many streams are running."""
        return len(self._running)

    def drain(self) -> None:
        """Refuse new streams from now on, asking clients to come back; running ones go on."""
        self._draining = True

    def cut(self) -> None:
        """End the running streams, whatever each of them waits for, asking clients to come back."""
        self._draining = self._cutting = True
        for task in self._running:
            task.cancel()

    async def wait_idle(self) -> None:
        """Wait until no stream is running."""
        await self._idle.wait()

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count the current task as a running stream; refuse it while draining, end it when cut."""
        if self._draining:
            raise _going_away()
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self._idle.clear()
        try:
            yield
        except asyncio.CancelledError:
            # By `cut`, unless the client left: then gRPC cancelled it, perhaps as well.
            if self._cutting and not task.uncancel():
                raise _going_away() from None
            raise
        finally:
            self._running.discard(task)
            if not self._running:
                self._idle.set()

    @contextmanager
    def reading(self, method: str, wanted: ReadRequest, context: Context) -> Iterator[Report]:
        """Count a read as running, and report its end, however it ends."""
        report = Report()
        started = time.monotonic()
        peer = context.peer()  # gRPC forgets it when the client has gone
        outcome, message = "OK", ""
        try:
            with self.streaming():
                yield report
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
            self._on_transfer_end(
                TransferEnd(
                    method=method,
                    name=wanted.name,
                    start=wanted.start,
                    bytes=report.bytes,
                    seconds=time.monotonic() - started,
                    outcome=outcome,
                    message=message,
                    attempt=wanted.attempt,
                    transfer_id=wanted.transfer_id,
                    peer=peer,
                )
            )


def _going_away() -> UnreachableError:
    return UnreachableError("the server is going away: try again", retry_after=_DRAIN_RETRY)


@dataclass(slots=True)
class Report:
    """Counts while a read runs."""

    bytes: int = 0


class Outlet:
    """The sending side of one call, with heartbeats while the store keeps it waiting.

    Args:
        write: sends one message, and returns when gRPC has taken it (that is the flow control).
        heartbeat: the message that says "still here"; None for a dialect that has none.
        interval: seconds of waiting after which it is sent.
    """

    def __init__(self, write: Callable[[bytes], Awaitable[None]], heartbeat: bytes | None, interval: float) -> None:
        self._write = write
        self._heartbeat = heartbeat
        self._interval = interval
        self._waiting = False
        self._one_at_a_time = asyncio.Lock()  # gRPC takes one message of a call at a time
        self._beat: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._tick()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)

    async def send(self, message: bytes) -> None:
        """Send a message. Raises ClientGoneError if there is nobody left to take it."""
        async with self._one_at_a_time:
            try:
                await self._write(message)
            except grpc.aio.InternalError as error:
                raise ClientGoneError from error

    async def patiently(self, awaitable: Awaitable[T]) -> T:
        """Wait for something that is not the client, with heartbeats."""
        self._waiting = True
        try:
            return await awaitable
        finally:
            self._waiting = False

    def _tick(self) -> None:
        if self._waiting and self._heartbeat is not None and (self._beat is None or self._beat.done()):
            self._beat = asyncio.ensure_future(self._send_heartbeat(self._heartbeat))
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._tick)

    async def _send_heartbeat(self, message: bytes) -> None:
        with suppress(ClientGoneError):  # the next real message finds out too
            await self.send(message)


def span_of(wanted: ReadRequest, info: FileInfo) -> Span:
    """Return the bytes of the file that a request means, cut at the file's end.

    Raises:
        StartPastEndError: the request begins beyond the end of the file; at the end is fine.
    """
    if wanted.start > info.size:
        raise StartPastEndError(
            f"{info.name}: asked for the bytes from {wanted.start}, but the file ends at {info.size}",
            name=info.name,
            offset=wanted.start,
        )
    length = info.size - wanted.start if wanted.length is None else wanted.length
    return Span(wanted.start, min(wanted.start + length, info.size))
