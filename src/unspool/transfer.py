"""One transfer: as many attempts as it takes, each one stream.

This is the drive loop: the transport brings frames, the receiver makes verified blocks of them, the budget says whether to go
on after an error, the clock waits. None of the four knows the others.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from unspool.clock import Clock
from unspool.core.model import Block, Frame, Page
from unspool.core.receiver import Receiver
from unspool.core.retry import RetryBudget
from unspool.errors import StalledError, UnspoolError
from unspool.events import Observer, Retrying
from unspool.options import TransferOptions
from unspool.rpc.transport import Transport

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seams:
    """What a transfer needs of the world."""

    transport: Transport
    clock: Clock
    random: Random


class Transfer:
    """The attempts of one transfer, and what they came to.

    Args:
        seams, options, observer: the world, what is wished, and who is told.
        settle: awaited when an attempt has failed, before anything is made of it. What it raises ends the transfer, so that an
            error on this side is neither hidden by one on the other nor waited upon.

    Attributes:
        attempts: streams opened so far.
        bytes_received: verified bytes that came over the wire, those that came twice counted twice.
    """

    def __init__(
        self,
        seams: Seams,
        options: TransferOptions,
        observer: Observer,
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.id = uuid.UUID(int=seams.random.getrandbits(128), version=4).hex
        self.attempts = 0
        self.bytes_received = 0
        self._seams = seams
        self._options = options
        self._observer = observer
        self._settle = settle
        self._budget = RetryBudget(options.retry, seams.random.random)
        self._received_at_failure = 0

    async def blocks(self, receiver: Receiver) -> AsyncGenerator[Block, None]:
        """Yield the verified blocks of what the receiver wants, in order, until its summary has agreed.

        Raises:
            UnspoolError: what ended the last attempt, when it is not to be tried again or the budget is spent.
        """
        while not receiver.complete:
            self.attempts += 1
            try:
                frames = self._seams.transport.read(receiver.next_request(self.attempts))
                async with aclosing(frames):
                    while (frame := await self._next(frames, receiver)) is not None:
                        block = receiver.receive(frame)
                        if block is not None:
                            self.bytes_received += len(block.data)
                            yield block
                receiver.end_of_stream()
            except UnspoolError as error:
                if not receiver.complete and not await self._may_go_on(error):
                    raise

    async def call(self, what: Callable[[], Coroutine[Any, Any, T]], about: str) -> T:
        """Return what a unary call answers, tried again under the same budget. `about` is for the message of a stall."""
        while True:
            self.attempts += 1
            try:
                return await self._bounded(what(), about)
            except UnspoolError as error:
                if not await self._may_go_on(error):
                    raise

    async def pages(self, listing: Callable[[], AsyncGenerator[Page, None]], about: str) -> AsyncGenerator[Page, None]:
        """Yield a listing's pages; one that breaks before its first entry is begun again under the same budget."""
        yielded = False
        while True:
            self.attempts += 1
            try:
                async with aclosing(listing()) as pages:
                    while (page := await self._bounded(anext(pages, None), about)) is not None:
                        if page.files or page.prefixes:
                            yielded = True
                            yield page
            except UnspoolError as error:
                if yielded or not await self._may_go_on(error):
                    raise
            else:
                return

    async def _next(self, frames: AsyncGenerator[Frame, None], receiver: Receiver) -> Frame | None:
        return await self._bounded(anext(frames, None), f"{receiver.name}: at byte {receiver.position}")

    async def _bounded(self, coming: Coroutine[Any, Any, T], about: str) -> T:
        try:
            async with self._seams.clock.timeout(self._options.idle_timeout):
                return await coming
        except TimeoutError:
            seconds = self._options.idle_timeout
            raise StalledError(f"{about}: the server sent nothing for {seconds:g} s") from None

    async def _may_go_on(self, error: UnspoolError) -> bool:
        """Return whether there is to be another attempt, when it is time for it."""
        if isinstance(error, StalledError):
            # What went silent may be dead without anybody having said so, or choked with what nobody waits for any more.
            self._seams.transport.renew()
        if self._settle is not None:
            await self._settle()
        # Since the last failure, not in this attempt: attempts that ended well in between count too.
        progressed = self.bytes_received > self._received_at_failure
        self._received_at_failure = self.bytes_received
        wait = self._budget.next_wait(error, progressed=progressed)
        if wait is None:
            return False
        self._observer.notify(Retrying(error, self.attempts, wait))
        await self._seams.clock.sleep(wait)
        return True
