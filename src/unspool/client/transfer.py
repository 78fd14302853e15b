"""One transfer: as many attempts as it takes, each one stream or call.

This is the one way to try again. Whoever fetches something writes

    async for attempt in transfer.attempts():
        with attempt:
            ...

and what goes wrong inside ends the attempt. Then the budget says whether to go on, the clock waits, and the loop comes round;
or it ends with what ended the last attempt. What has to be done in between, whatever comes, stands below the `with`.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

from unspool.client.clock import Clock
from unspool.client.events import Observer, Restarting, Retrying
from unspool.client.ratelimit import RateLimit
from unspool.client.transport import Transport
from unspool.core.model import Block, ListRequest, Page
from unspool.core.receiver import Receiver
from unspool.core.retry import RetryBudget
from unspool.core.wish import BlockWish
from unspool.errors import ConnectError, StalledError, UnreachableError, UnspoolError
from unspool.options import TransferOptions

T = TypeVar("T")

_BLOCKS_UNDER_WAY = 8
"""Blocks that may be on their way at once where they are small because the way is slow: an eighth of the idle timeout each."""

_BYTES_OF_ENTRY = 100
"""Of a listing, about: a page should be no longer than a block."""


@dataclass(slots=True)
class Contact:
    """Whether the server has answered yet, to any transfer of the client.

    A server that never answered is probably named wrongly or not started; one that did is away and will be back.
    """

    made: bool = False

    def judge(self, error: UnspoolError) -> UnspoolError:
        """Return what an error of an attempt means, and take note of what it tells of the server."""
        if isinstance(error, ConnectError):
            return UnreachableError(error.message) if self.made else error
        if not isinstance(error, StalledError):
            self.made = True  # whatever went wrong, a server said so or a connection to one broke
        return error


@dataclass(frozen=True, slots=True)
class Seams:
    """What a transfer needs of the world.

    Attributes:
        transport: to the server.
        contact: shared by all transfers to the server.
        connect: makes another transport to the same server; None where there is but the one.
        limit: how fast bytes may be taken; None is as fast as they come.
    """

    transport: Transport
    clock: Clock
    random: Random
    connect: Callable[[], Transport] | None = None
    contact: Contact = field(default_factory=Contact)
    limit: RateLimit | None = None

    @asynccontextmanager
    async def another(self) -> AsyncGenerator[Seams, None]:
        """Lend the same world with a connection of its own, if there can be one."""
        if self.connect is None:
            yield self
            return
        transport = self.connect()
        try:
            yield replace(self, transport=transport)
        finally:
            await transport.aclose()


@dataclass(slots=True)
class Tally:
    """What the attempts of one transfer came to.

    Attributes:
        attempts: streams and calls begun so far.
        bytes_received: verified bytes that came over the wire, those that came twice counted twice.
    """

    attempts: int = 0
    bytes_received: int = 0


class Attempt:
    """One try, entered as a `with`. An error of ours inside is kept, for `Attempts` to decide on; any other passes through.

    Attributes:
        number: from 1, within the transfer.
        error: what ended it; None while nothing has.
        progressed: whether it brought anything new; bytes received are noticed without being told.
        final: whether no other may follow: an error is raised as it comes.
        ended_well: whether `error` is no more than the reason for another one.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.error: UnspoolError | None = None
        self.progressed = False
        self.final = False
        self.ended_well = False

    def again(self, error: UnspoolError) -> None:
        """Ask for another try, though nothing broke. If there is to be none, the loop just ends."""
        self.error = error
        self.ended_well = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> bool:
        if isinstance(error, UnspoolError) and not self.final:
            self.error = error
            return True
        return False


class Attempts:
    """The attempts of a transfer, one at a time, until one ends well.

    Raises:
        UnspoolError: what ended the last one, when it is not to be tried again or the budget is spent.
    """

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._last: Attempt | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        """Return the next one, when it is time for it."""
        last = self._last
        if last is not None:
            # An error leads by its traceback to whoever holds it, and to the blocks at hand there: nobody holds it for long.
            error, last.error = last.error, None
            if error is None:
                raise StopAsyncIteration
            error = self._transfer.seams.contact.judge(error)
            try:
                if not await self._transfer.may_go_on(error, progressed=last.progressed):
                    raise StopAsyncIteration if last.ended_well else error
            finally:
                del error
        tally = self._transfer.tally
        tally.attempts += 1
        self._last = Attempt(tally.attempts)
        return self._last


class Transfer:
    """What one transfer has to its name: the world, what is wished, who is told, and the budget.

    Attributes:
        id: what the server's log calls it.
        tally: what came of it, together with those made from it by `beside`.
    """

    def __init__(self, seams: Seams, options: TransferOptions, observer: Observer) -> None:
        self.id = uuid.UUID(int=seams.random.getrandbits(128), version=4).hex
        self.tally = Tally()
        self.seams = seams
        self.options = options
        self.observer = observer
        self._budget = RetryBudget(options.retry, seams.random.random)
        self._wish = BlockWish(_largest_block(options, seams.limit), options.idle_timeout)
        self._received = 0
        self._received_at_failure = 0
        self._began = seams.clock.monotonic()

    def beside(self, seams: Seams) -> Self:
        """Return one that goes on beside this one, over a connection of its own, as part of the same transfer."""
        other = type(self)(seams, self.options, self.observer)
        other.id, other.tally = self.id, self.tally
        return other

    def attempts(self) -> Attempts:
        """Return the attempts of something, as many as it takes."""
        return Attempts(self)

    async def may_go_on(self, error: UnspoolError, *, progressed: bool) -> bool:
        """Return whether there is to be another attempt after one that ended so, when it is time for it."""
        if isinstance(error, StalledError):
            # What went silent may be dead without anybody having said so, or choked with what nobody waits for any more; or
            # it is slow, and what was asked for was too much for it.
            self._wish.stalled()
            self._renew()
        # Since the last failure, not in this attempt: attempts that ended well in between count too.
        progressed = progressed or self._received > self._received_at_failure
        self._received_at_failure = self._received
        if isinstance(error, ConnectError):
            wait = self._budget.next_connect_wait(self.seams.clock.monotonic() - self._began)
        else:
            wait = self._budget.next_wait(error, progressed=progressed)
        if wait is None:
            return False
        self.observer.notify(Retrying(error, self.tally.attempts, wait, self.id))
        await self.seams.clock.sleep(wait)
        return True

    async def may_begin_again(self, error: UnspoolError) -> bool:
        """Return whether the transfer is to begin again from zero because of an error, when it is time for it."""
        wait = self._budget.next_restart()
        if wait is None:
            return False
        self.observer.notify(Restarting(error, wait, self.id))
        if wait:
            await self.seams.clock.sleep(wait)
        return True

    # One attempt

    @property
    def block_size(self) -> int | None:
        """The largest block to ask for now, in bytes; None leaves it to the server."""
        return self._wish.size

    def _renew(self) -> None:
        size = self._wish.size
        self.seams.transport.renew(size * _BLOCKS_UNDER_WAY if size is not None and self._wish.small else None)

    async def stream(self, receiver: Receiver, attempt: Attempt) -> AsyncGenerator[Block, None]:
        """Yield, in one attempt, the verified blocks of what the receiver still wants, in order.

        What comes may show that other sizes of blocks would do better: then the rest is asked for anew.
        """
        number = attempt.number
        clock = self.seams.clock
        try:
            while True:
                anew = False
                self._wish.begin()
                frames = self.seams.transport.read(receiver.next_request(number, self._wish.size))
                async with aclosing(frames):
                    since = clock.monotonic()
                    while (frame := await self.bounded(anext(frames, None), receiver.whereabouts)) is not None:
                        block = receiver.receive(frame)
                        if block is not None:
                            size = len(block.data)
                            self._received += size
                            self.tally.bytes_received += size
                            anew = self._wish.received(size, clock.monotonic() - since) and not receiver.complete
                            await self.slow_down(size)
                            yield block
                            if anew:
                                break
                        # How long who takes the blocks took, or what a heartbeat told of, is none of the way's doing.
                        since = clock.monotonic()
                if not anew:
                    receiver.end_of_stream()
                    return
                if self._wish.small:
                    self._renew()  # the old connection is full of what nobody waits for any more
                self.tally.attempts += 1
                number = self.tally.attempts
        except UnspoolError:
            if not receiver.complete:  # if it is, how the stream ended makes no difference
                raise

    async def pages(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Yield, in one attempt, the pages of a listing that have entries."""
        if self._wish.size is not None and self._wish.small:
            entries = max(self._wish.size // _BYTES_OF_ENTRY, 1)
            request = replace(request, page_size=min(request.page_size or entries, entries))
        listing = self.seams.transport.list(request)
        async with aclosing(listing) as pages:
            while (page := await self.bounded(anext(pages, None), lambda: request.prefix or "/")) is not None:
                if page.files or page.prefixes or page.omitted:
                    yield page

    async def slow_down(self, size: int) -> None:
        """Wait for as long as the rate limit asks for, after so many bytes have arrived."""
        limit, clock = self.seams.limit, self.seams.clock
        if limit is not None and (wait := limit.take(size, clock.monotonic())):
            await clock.sleep(wait)

    async def bounded(self, coming: Coroutine[Any, Any, T], about: Callable[[], str]) -> T:
        """Return what is coming, within the idle timeout; after that it is a stall, and `about` says of what."""
        try:
            async with self.seams.clock.timeout(self.options.idle_timeout):
                answer = await coming
        except UnspoolError:
            raise
        except TimeoutError:
            seconds = self.options.idle_timeout
            raise StalledError(f"{about()}: the server sent nothing for {seconds:g} s") from None
        self.seams.contact.made = True
        return answer

    # As many as it takes

    async def blocks(self, receiver: Receiver) -> AsyncGenerator[Block, None]:
        """Yield the verified blocks of what the receiver wants, in order, until its summary has agreed."""
        async for attempt in self.attempts():
            with attempt:
                async with aclosing(self.stream(receiver, attempt)) as blocks:
                    async for block in blocks:
                        yield block

    async def call(self, what: Callable[[], Coroutine[Any, Any, T]], about: str) -> T:
        """Return what a unary call answers. `about` is for the message of a stall."""
        async for attempt in self.attempts():
            with attempt:
                return await self.bounded(what(), lambda: about)
        raise AssertionError("an attempt that ends well has an answer")


def _largest_block(options: TransferOptions, limit: RateLimit | None) -> int | None:
    """Return the largest block to ask for in any case; None leaves it to the server."""
    limited = None if limit is None else limit.block_size
    return min((size for size in (options.block_size, limited) if size is not None), default=None)
