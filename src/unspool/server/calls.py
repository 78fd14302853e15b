"""What every call of every dialect has in common on the server's side: errors, heartbeats, coming and going, the report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import grpc

from unspool.core.limits import BlockSizes, Pace, Paces, Slots
from unspool.core.model import ReadRequest
from unspool.errors import OverloadedError, ServerError, UnreachableError, UnspoolError
from unspool.options import LimitOptions
from unspool.rpc import status
from unspool.server.outlet import ClientGoneError, Outlet

log = logging.getLogger("unspool.rpc")

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

T = TypeVar("T")


_FULL_RETRY = 1.0
"""Seconds a client is asked to wait when all places are taken: transfers end all the time. Its own jitter spreads the rest."""

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
    """The calls a server is answering: who may begin one, how many run, what became of them.

    Args:
        on_transfer_end: called once for every read that ended, however it ended.
        limits: how much is given to whom.
    """

    def __init__(
        self, on_transfer_end: Callable[[TransferEnd], None] = lambda _: None, limits: LimitOptions | None = None
    ) -> None:
        self._on_transfer_end = on_transfer_end
        self._limits = limits or LimitOptions()
        self._slots = Slots(self._limits.streams, self._limits.streams_per_peer)
        self._connections: Counter[str] = Counter()  # streams of each, by address and port
        self._requests = Paces(self._limits.requests, burst=self._limits.requests)
        self._bandwidth = _pace(self._limits.bandwidth)
        self._block_sizes = BlockSizes(self._limits.memory)
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

    def admit(self, context: Context) -> None:
        """Count a request of any kind. Raises OverloadedError if its peer makes too many."""
        pace = self._requests.of(_host(context.peer()))
        now = time.monotonic()
        if wait := pace.wait_for(1, now):
            raise OverloadedError(f"more than {self._limits.requests:g} requests a second from one peer", retry_after=wait)
        pace.take(1, now)

    def outlet(self, context: Context, heartbeat: bytes | None, interval: float) -> Outlet:
        """Return the sending side of a stream, within its limits."""
        stream = _pace(self._limits.stream_bandwidth)
        paces = [pace for pace in (stream, self._bandwidth) if pace is not None]
        return Outlet(context.write, heartbeat, interval, paces, self._limits.stream_age)

    def block_sizes(self, wanted: int) -> BlockSize:
        """Return how large the blocks of one more stream may be; `wanted` is the most it asks for."""
        rates = [rate for rate in (self._limits.stream_bandwidth, self._limits.bandwidth) if rate is not None]
        # Under a cap, a block should not take so long that the client thinks that nothing comes any more.
        most = min(wanted, max(int(min(rates)), 1)) if rates else wanted
        return BlockSize(self._block_sizes, most, lambda: len(self._running))

    @contextmanager
    def streaming(self, context: Context) -> Iterator[None]:
        """Count the current task as a running stream; refuse it while draining or over a limit, end it when cut."""
        if self._draining:
            raise _going_away()
        self.admit(context)
        connection = context.peer()
        host = _host(connection)
        full = self._slots.full_for(host)
        if full is None and connection not in self._connections and len(self._connections) >= self._limits.connections:
            full = f"{self._limits.connections} connections have streams running, which is the limit"
        if full is not None:
            raise OverloadedError(f"{full}: try again", retry_after=_FULL_RETRY)
        task = asyncio.current_task()
        assert task is not None
        self._slots.take(host)
        self._connections[connection] += 1
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
            self._slots.give_back(host)
            self._connections[connection] -= 1
            if not self._connections[connection]:
                del self._connections[connection]
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
            with self.streaming(context):
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


def _pace(rate: float | None) -> Pace | None:
    """Return a pace with a burst of a quarter of a second, for what has a rate."""
    return None if rate is None else Pace(rate, burst=rate / 4)


def _host(peer: str) -> str:
    """Return whose connection it is, without its port: `ipv4:127.0.0.1:50051` is `ipv4:127.0.0.1`."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer


def _going_away() -> UnreachableError:
    return UnreachableError("the server is going away: try again", retry_after=_DRAIN_RETRY)


class BlockSize:
    """How large the next block of one stream may be."""

    def __init__(self, sizes: BlockSizes, wanted: int, streams: Callable[[], int]) -> None:
        self._sizes = sizes
        self._wanted = wanted
        self._streams = streams
        self._size = 0

    def first(self, length: int) -> int:
        """Return the size of the first block of a stream of `length` bytes."""
        self._size = self._sizes.first(self._wanted, self._streams(), length)
        return self._size

    def next(self, seconds: float) -> int:
        """Return the size of the next block, after one that took `seconds` to send."""
        self._size = self._sizes.next(self._size, seconds, self._wanted, self._streams())
        return self._size

    @property
    def settled(self) -> bool:
        """Whether blocks are as large as they were asked for, or as so many streams may have them."""
        return self._size >= min(self._wanted, self._sizes.largest(self._streams()))


@dataclass(slots=True)
class Report:
    """Counts while a read runs."""

    bytes: int = 0
