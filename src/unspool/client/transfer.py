"""One transfer: as many attempts as it takes, each one stream.

This is the drive loop: the transport brings frames, the receiver makes verified blocks of them, the budget says whether to go
on after an error, the clock waits. None of the four knows the others.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Self, TypeVar

from unspool.client.clock import Clock
from unspool.client.events import Observer, Retrying
from unspool.client.transport import Transport
from unspool.core.model import Block, Frame, Page
from unspool.core.receiver import Receiver
from unspool.core.retry import RetryBudget
from unspool.errors import StalledError, UnspoolError
from unspool.options import TransferOptions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seams:
    """What a transfer needs of the world.

    Attributes:
        transport: to the server.
        connect: makes another transport to the same server; None where there is but the one.
    """

    transport: Transport
    clock: Clock
    random: Random
    connect: Callable[[], Transport] | None = None

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
        attempts: streams opened so far.
        bytes_received: verified bytes that came over the wire, those that came twice counted twice.
    """

    attempts: int = 0
    bytes_received: int = 0


class Transfer:
    """The attempts of one transfer, one at a time.

    Args:
        seams, options, observer: the world, what is wished, and who is told.

    Attributes:
        id: what the server's log calls it.
        tally: what came of it, together with those made from it by `beside`.
        settle: awaited when an attempt has failed, before anything is made of it. What it raises ends the transfer, so that an
            error on this side is neither hidden by one on the other nor waited upon.
    """

    def __init__(self, seams: Seams, options: TransferOptions, observer: Observer) -> None:
        self.id = uuid.UUID(int=seams.random.getrandbits(128), version=4).hex
        self.tally = Tally()
        self.settle: Callable[[], Awaitable[None]] | None = None
        self._seams = seams
        self._options = options
        self._observer = observer
        self._budget = RetryBudget(options.retry, seams.random.random)
        self._received = 0
        self._received_at_failure = 0

    def beside(self, seams: Seams) -> Self:
        """Return one that goes on beside this one, over a connection of its own, as part of the same transfer."""
        other = type(self)(seams, self._options, self._observer)
        other.id, other.tally = self.id, self.tally
        return other

    async def blocks(self, receiver: Receiver) -> AsyncGenerator[Block, None]:
        """Yield the verified blocks of what the receiver wants, in order, until its summary has agreed.

        Raises:
            UnspoolError: what ended the last attempt, when it is not to be tried again or the budget is spent.
        """
        while not receiver.complete:
            self.tally.attempts += 1
            try:
                frames = self._seams.transport.read(receiver.next_request(self.tally.attempts))
                async with aclosing(frames):
                    while (frame := await self._next(frames, receiver)) is not None:
                        block = receiver.receive(frame)
                        if block is not None:
                            self._received += len(block.data)
                            self.tally.bytes_received += len(block.data)
                            yield block
                receiver.end_of_stream()
            except UnspoolError as error:
                if not receiver.complete and not await self.may_go_on(error):
                    raise

    async def call(self, what: Callable[[], Coroutine[Any, Any, T]], about: str) -> T:
        """Return what a unary call answers, tried again under the same budget. `about` is for the message of a stall."""
        while True:
            self.tally.attempts += 1
            try:
                return await self.bounded(what(), about)
            except UnspoolError as error:
                if not await self.may_go_on(error):
                    raise

    async def pages(self, listing: Callable[[], AsyncGenerator[Page, None]], about: str) -> AsyncGenerator[Page, None]:
        """Yield a listing's pages; one that breaks before its first entry is begun again under the same budget."""
        yielded = False
        while True:
            self.tally.attempts += 1
            try:
                async with aclosing(listing()) as pages:
                    while (page := await self.bounded(anext(pages, None), about)) is not None:
                        if page.files or page.prefixes:
                            yielded = True
                            yield page
            except UnspoolError as error:
                if yielded or not await self.may_go_on(error):
                    raise
            else:
                return

    async def _next(self, frames: AsyncGenerator[Frame, None], receiver: Receiver) -> Frame | None:
        return await self.bounded(anext(frames, None), f"{receiver.name}: at byte {receiver.position}")

    async def bounded(self, coming: Coroutine[Any, Any, T], about: str) -> T:
        """Return what is coming, within the idle timeout; after that it is a stall, and `about` says of what."""
        try:
            async with self._seams.clock.timeout(self._options.idle_timeout):
                return await coming
        except TimeoutError:
            seconds = self._options.idle_timeout
            raise StalledError(f"{about}: the server sent nothing for {seconds:g} s") from None

    async def may_go_on(self, error: UnspoolError, *, progressed: bool = False) -> bool:
        """Return whether there is to be another attempt, when it is time for it.

        Args:
            error: what ended the one before it.
            progressed: whether that one brought anything new; bytes received are noticed without being told.
        """
        if isinstance(error, StalledError):
            # What went silent may be dead without anybody having said so, or choked with what nobody waits for any more.
            self._seams.transport.renew()
        if self.settle is not None:
            await self.settle()
        # Since the last failure, not in this attempt: attempts that ended well in between count too.
        progressed = progressed or self._received > self._received_at_failure
        self._received_at_failure = self._received
        wait = self._budget.next_wait(error, progressed=progressed)
        if wait is None:
            return False
        self._observer.notify(Retrying(error, self.tally.attempts, wait))
        await self._seams.clock.sleep(wait)
        return True
