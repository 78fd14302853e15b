"""One transfer: one or more attempts, each one stream or call.

This is the client's only retry loop:

    async for attempt in transfer.attempts():
        with attempt:
            ...

An error of unspool inside the `with` ends the attempt. If the retry budget allows another one, the loop waits and goes round
again; otherwise it raises the error. Code below the `with` runs after every attempt, whether it failed or not.

If there are several replicas, the next attempt goes to another one, and at once (`unspool.core.replicas`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, TypeVar

from unspool.client.events import AttemptBegan, Observer, Restarting, Retrying, TransferBegan, TransferEnded
from unspool.client.heartbeats import Heartbeats, silent_error
from unspool.client.ratelimit import RateLimit
from unspool.client.replicas import Route
from unspool.client.seams import Seams
from unspool.client.transport import Transport
from unspool.core.blocksizing import BlockSizing
from unspool.core.listing import Listing
from unspool.core.model import Block, Frame, ListRequest, Page, is_heartbeat
from unspool.core.receiver import Receiver
from unspool.core.retry import RetryBudget
from unspool.errors import ConnectError, StalledError, UnspoolError
from unspool.options import TransferOptions

T = TypeVar("T")

_BLOCKS_UNDER_WAY = 8
"""Most blocks in flight on a slow link, where blocks are small: each takes about an eighth of the idle timeout."""

_BYTES_OF_ENTRY = 100
"""Approximate bytes of an entry in a listing. On a slow link a page should be no longer than a block."""


@dataclass(slots=True)
class Tally:
    """The counts of a transfer's attempts.

    Attributes:
        attempts: streams and calls begun so far.
        bytes_received: verified bytes received; bytes received twice count twice.
        bytes_sent: bytes of files sent; bytes sent twice count twice.
        by_server: the bytes that each server sent or was sent: no transfer does both.
        without: replicas that did not have the revision that the transfer wants.
    """

    attempts: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    by_server: dict[str, int] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)

    def add(self, size: int, server: str) -> None:
        """Count bytes from a server, or to one."""
        self.by_server[server] = self.by_server.get(server, 0) + size


class Attempt:
    """One attempt, used in a `with`. An UnspoolError inside is kept, and `Attempts` decides on it; other errors pass through.

    Attributes:
        number: from 1, within the transfer.
        error: the error that ended the attempt; None if there is none.
        progressed: whether the attempt made progress. Received bytes count as progress without this.
        final: whether this is the last attempt: an error is raised at once.
        ended_well: whether the attempt ended without an error, and `error` only says why another one is needed.
    """

    def __init__(self, number: int, route: Route) -> None:
        self.number = number
        self._route = route
        self.error: UnspoolError | None = None
        self.progressed = False
        self.final = False
        self.ended_well = False

    def again(self, error: UnspoolError) -> None:
        """Request another attempt although this one did not fail. If the budget is spent, the loop ends without raising."""
        self.error = error
        self.ended_well = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> bool:
        self._route.end(error)
        if isinstance(error, UnspoolError) and not self.final:
            self.error = error
            return True
        return False


class Attempts:
    """The attempts of a transfer, one at a time, until one succeeds.

    Raises:
        UnspoolError: the error of the last attempt, if it is not retryable or the budget is spent.
    """

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._last: Attempt | None = None
        transfer.route.anew()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        """Wait until the next attempt may begin, and return it."""
        last = self._last
        if last is not None:
            # The traceback of an error refers to frames that hold blocks, so no reference to the error is kept for long.
            error, last.error = last.error, None
            if error is None:
                raise StopAsyncIteration
            error = self._transfer.seams.contact.judge(error)
            try:
                if not await self._transfer.may_go_on(error, progressed=last.progressed):
                    raise StopAsyncIteration if last.ended_well else self._transfer.route.final(error)
            finally:
                del error
        await self._transfer.route.begin()
        self._last = Attempt(self._transfer.next_attempt(), self._transfer.route)
        return self._last


class Transfer:
    """One transfer: its seams, options, observer and retry budget.

    Attributes:
        id: the transfer's id, which the server logs too.
        tally: the counts of this transfer and of those made from it by `beside`.
        route: the way of its attempts: which replica each goes to.
    """

    def __init__(self, seams: Seams, options: TransferOptions, observer: Observer) -> None:
        self.id = f"{seams.random.getrandbits(128):032x}"
        self.seams = seams
        self._share(Tally())
        self.options = options
        self.observer = observer
        self._budget = RetryBudget(options.retry, seams.random.random)
        self._sizing = BlockSizing(_largest_block(options, seams.limit), options.idle_timeout)
        self._received = 0
        self._received_at_failure = 0
        self._began = seams.clock.monotonic()

    def beside(self, seams: Seams) -> Self:
        """Return a second stream of the same transfer: same id and counts, but its own connection and retry budget."""
        other = type(self)(seams, self.options, self.observer)
        other.id = self.id
        other._share(self.tally)
        return other

    def _share(self, tally: Tally) -> None:
        self.tally = tally
        self.route = Route(self.seams.transport, self.seams.clock, tally.without)

    @contextmanager
    def observed(self, call: str, name: str) -> Iterator[None]:
        """Notify the observer that the transfer begins, and at the end of the `with` how it ended."""
        clock, outcome, message, failed = self.seams.clock, "OK", "", None
        began = clock.monotonic()
        self.observer.notify(TransferBegan(call, name, self.id))
        try:
            yield
        except UnspoolError as error:
            outcome, message, failed = error.reason, error.message, error
            raise
        except BaseException as error:  # the caller was cancelled, or left by an exception of its own
            outcome, message = "CANCELLED", repr(error) if isinstance(error, Exception) else ""
            raise
        finally:
            self.observer.notify(
                TransferEnded(
                    call=call,
                    name=name,
                    outcome=outcome,
                    message=message,
                    error=failed,
                    attempts=self.tally.attempts,
                    bytes_received=self.tally.bytes_received,
                    bytes_sent=self.tally.bytes_sent,
                    seconds=clock.monotonic() - began,
                    transfer=self.id,
                    without=self.without,
                )
            )
            del failed  # its traceback refers to this frame: a cycle, which would keep blocks in memory

    def next_attempt(self) -> int:
        """Begin an attempt, and return its number."""
        self.tally.attempts += 1
        self.observer.notify(AttemptBegan(self.tally.attempts, self.route.server, self.id))
        return self.tally.attempts

    def attempts(self) -> Attempts:
        """Return the attempts of this transfer, for an `async for` loop."""
        return Attempts(self)

    async def may_go_on(self, error: UnspoolError, *, progressed: bool) -> bool:
        """Return whether another attempt may follow this error. If so, wait until it may begin."""
        if isinstance(error, StalledError):
            # A silent connection may be dead, or full of data for streams that were given up: so the next attempt uses a new
            # one. Or the link is slow and blocks are too large for it: so the next attempt requests smaller ones.
            self._sizing.stalled()
            self._renew()
        # Counts bytes since the last failure, not only those of this attempt: attempts in between may have succeeded.
        progressed = progressed or self._received > self._received_at_failure
        self._received_at_failure = self._received
        if self.route.failed(error, progressed=progressed):
            self.observer.notify(Retrying(error, self.tally.attempts, 0.0, self.id))
            return True
        error = self.route.deciding(error, begun=self.tally.bytes_received > 0)
        if isinstance(error, ConnectError) and error.retryable:
            wait = self._budget.next_connect_wait(self.seams.clock.monotonic() - self._began)
        else:
            wait = self._budget.next_wait(error, progressed=progressed)
        if wait is None:
            return False
        self.observer.notify(Retrying(error, self.tally.attempts, wait, self.id))
        await self.seams.clock.sleep(wait)
        self.route.anew()
        return True

    async def may_begin_again(self, error: UnspoolError) -> bool:
        """Return whether the transfer may begin again from zero after this error. If so, wait until it may begin."""
        wait = self._budget.next_restart()
        if wait is None:
            return False
        self.route.forget()
        self.observer.notify(Restarting(error, wait, self.id))
        if wait:
            await self.seams.clock.sleep(wait)
        return True

    # One attempt

    @property
    def transport(self) -> Transport:
        """The transport of the attempt that runs."""
        return self.route.transport

    def received(self, size: int) -> None:
        """Count verified bytes of the attempt that runs."""
        self.tally.bytes_received += size
        self.tally.add(size, self.route.server)

    @property
    def without(self) -> tuple[str, ...]:
        """The replicas that did not have the revision that the transfer wants, as far as they were asked."""
        return tuple(sorted(self.tally.without))

    @property
    def block_size(self) -> int | None:
        """The largest block to request now, in bytes; None leaves it to the server."""
        return self._sizing.size

    def _renew(self) -> None:
        size = self._sizing.size
        self.route.transport.renew(size * _BLOCKS_UNDER_WAY if size is not None and self._sizing.small else None)

    async def stream(self, receiver: Receiver, attempt: Attempt) -> AsyncGenerator[Block, None]:
        """Yield, in one attempt, the verified blocks that the receiver still needs, in order.

        If the measured speed calls for another block size, the rest is requested again with that size.
        """
        number = attempt.number
        clock = self.seams.clock
        try:
            while True:
                anew = False
                self._sizing.begin()
                frames = self.transport.read(receiver.next_request(number, self._sizing.size))
                heartbeats = Heartbeats(self, receiver.whereabouts, _is_heartbeat)
                async with aclosing(frames):
                    since = clock.monotonic()
                    while (frame := await heartbeats.next(anext(frames, None))) is not None:
                        block = receiver.receive(frame)
                        if block is not None:
                            size = len(block.data)
                            self._received += size
                            self.received(size)
                            anew = self._sizing.received(size, clock.monotonic() - since) and not receiver.complete
                            await self.slow_down(size)
                            yield block
                            if anew:
                                break
                        # Measure the link only: leave out the time that the caller or the server's store took.
                        since = clock.monotonic()
                if not anew:
                    receiver.end_of_stream()
                    return
                if self._sizing.small:
                    self._renew()  # the old connection is full of data for the stream that was just given up
                number = self.next_attempt()
        except UnspoolError:
            if not receiver.complete:  # an error after the last byte and the summary does not matter
                raise

    async def pages(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Yield, in one attempt, the pages of a listing, without heartbeats."""
        if self._sizing.size is not None and self._sizing.small:
            entries = max(self._sizing.size // _BYTES_OF_ENTRY, 1)
            request = replace(request, page_size=min(request.page_size or entries, entries))
        listing = Listing(request.prefix, self.options.listing_limit)
        heartbeats = Heartbeats(self, lambda: request.prefix or "/", _is_empty)
        async with aclosing(self.transport.list(request)) as pages:
            while (page := await heartbeats.next(anext(pages, None))) is not None:
                if not _is_empty(page):
                    listing.take(page)
                    yield page

    async def sent(self, size: int, seconds: float) -> None:
        """Count `size` bytes that took `seconds` to send, and wait as long as the rate limit requires."""
        self.tally.bytes_sent += size
        self.tally.add(size, self.route.server)
        self._sizing.received(size, seconds)
        await self.slow_down(size)

    async def slow_down(self, size: int) -> None:
        """Wait as long as the rate limit requires after `size` bytes have arrived, or are sent."""
        limit, clock = self.seams.limit, self.seams.clock
        if limit is not None and (wait := limit.take(size, clock.monotonic())):
            await clock.sleep(wait)

    async def bounded(self, coming: Coroutine[Any, Any, T], about: Callable[[], str]) -> T:
        """Await an answer within the idle timeout. Raises StalledError after that; `about` begins its message."""
        try:
            async with self.seams.clock.timeout(self.options.idle_timeout):
                answer = await coming
        except UnspoolError:
            raise
        except TimeoutError:
            raise silent_error(about(), self.options.idle_timeout) from None
        self.seams.contact.made = True
        return answer

    # With retries

    async def blocks(self, receiver: Receiver) -> AsyncGenerator[Block, None]:
        """Yield the verified blocks that the receiver needs, in order, until it is complete."""
        async for attempt in self.attempts():
            with attempt:
                async with aclosing(self.stream(receiver, attempt)) as blocks:
                    async for block in blocks:
                        yield block

    async def take_all(self, receiver: Receiver, take: Callable[[Block], object]) -> None:
        """Pass the verified blocks that the receiver needs to `take`, in order, until it is complete.

        It does what `blocks` does, with fewer steps for each block, for callers that do not wait between two.
        """
        async for attempt in self.attempts():
            with attempt:
                async with aclosing(self.stream(receiver, attempt)) as blocks:
                    async for block in blocks:
                        take(block)

    async def call(self, what: Callable[[], Coroutine[Any, Any, T]], about: str) -> T:
        """Return the answer of a unary call. `about` begins the message if the call stalls."""
        async for attempt in self.attempts():
            with attempt:
                return await self.bounded(what(), lambda: about)
        raise AssertionError("an attempt that ends well has an answer")


def _is_heartbeat(frame: Frame | None) -> bool:
    return frame is not None and is_heartbeat(frame)


def _is_empty(page: Page | None) -> bool:
    return page is not None and not (page.files or page.prefixes or page.omitted)


def _largest_block(options: TransferOptions, limit: RateLimit | None) -> int | None:
    """Return the largest block that the options and the rate limit allow; None leaves it to the server."""
    limited = None if limit is None else limit.block_size
    return min((size for size in (options.block_size, limited) if size is not None), default=None)
