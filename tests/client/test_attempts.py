"""The client's retry loop: attempts within a budget."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from random import Random

import pytest

from unspool.client.events import Event, Observers, Retrying
from unspool.client.seams import Seams
from unspool.client.transfer import Attempt, Transfer
from unspool.core.retry import RetryPolicy
from unspool.errors import NotFoundError, StalledError, TruncatedError, UnreachableError
from unspool.options import TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, StoreTransport


class Told:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        self.events.append(event)


def transfer_of(budget: int, told: Told | None = None) -> tuple[Transfer, FakeClock]:
    """Return a transfer with a retry budget, and the clock it waits on."""
    clock = FakeClock()
    seams = Seams(StoreTransport(MemoryStore()), clock, Random(0))
    return Transfer(seams, TransferOptions(retry=RetryPolicy(budget=budget)), told or Observers()), clock


async def attempted(
    transfer: Transfer, work: Callable[[Attempt], None], below: Callable[[Attempt], None] = lambda _: None
) -> None:
    """Do the work until it succeeds, and after each attempt the code below it."""
    async for attempt in transfer.attempts():
        with attempt:
            work(attempt)
        below(attempt)


def failing(error: Exception) -> Callable[[Attempt], None]:
    """Return work that always fails."""

    def work(_: Attempt) -> None:
        raise error

    return work


async def test_one_that_ends_well_is_the_last() -> None:
    """The loop ends after the first attempt without an error, and nothing waits."""
    transfer, clock = transfer_of(3)
    numbers: list[int] = []
    await attempted(transfer, lambda attempt: numbers.append(attempt.number))
    assert numbers == [1]
    assert clock.slept == []


async def test_what_may_help_is_tried_again_until_the_budget_is_spent() -> None:
    """Each failure is reported and followed by a wait; the last one is raised unchanged."""
    told = Told()
    transfer, clock = transfer_of(3, told)
    errors = [UnreachableError(str(number)) for number in range(5)]

    def work(attempt: Attempt) -> None:
        raise errors[attempt.number - 1]

    with pytest.raises(UnreachableError) as caught:
        await attempted(transfer, work)
    assert caught.value is errors[2]
    assert transfer.tally.attempts == 3
    assert [event.attempt for event in told.events if isinstance(event, Retrying)] == [1, 2]
    assert len(clock.slept) == 2


async def test_progress_refills_the_budget() -> None:
    """An attempt that reports progress does not use up the budget."""
    transfer, _ = transfer_of(2)

    def below(attempt: Attempt) -> None:
        attempt.progressed = attempt.number < 6

    with pytest.raises(TruncatedError):
        await attempted(transfer, failing(TruncatedError("cut")), below)
    assert transfer.tally.attempts == 7  # five with progress, and two in a row without


async def test_what_cannot_help_is_raised_at_once() -> None:
    """An error that is not retryable ends the loop; the code below the `with` runs first."""
    transfer, clock = transfer_of(3)
    done_below: list[object] = []
    with pytest.raises(NotFoundError):
        await attempted(transfer, failing(NotFoundError("gone")), lambda attempt: done_below.append(attempt.error))
    assert [type(error) for error in done_below] == [NotFoundError]
    assert clock.slept == []


async def test_a_final_attempt_is_not_followed_by_another() -> None:
    """An error after bytes were passed on that cannot be passed on twice is raised at once."""
    transfer, clock = transfer_of(3)

    def work(attempt: Attempt) -> None:
        attempt.final = True
        raise UnreachableError("broke")

    with pytest.raises(UnreachableError):
        await attempted(transfer, work)
    assert transfer.tally.attempts == 1
    assert clock.slept == []


async def test_asking_for_another_is_no_failure_of_the_loop() -> None:
    """If the stream itself ended well, a spent budget ends the loop without an error."""
    transfer, _ = transfer_of(2)
    await attempted(transfer, lambda _: None, lambda attempt: attempt.again(TruncatedError("one file did not come")))
    assert transfer.tally.attempts == 2


async def test_what_is_no_error_of_ours_passes_through() -> None:
    """A bug is not retried."""
    transfer, _ = transfer_of(3)
    with pytest.raises(ZeroDivisionError):
        await attempted(transfer, failing(ZeroDivisionError()))
    assert transfer.tally.attempts == 1


async def test_a_stall_renews_the_connection() -> None:
    """After a stall the next attempt uses another connection and requests smaller blocks."""
    transfer, _ = transfer_of(2)
    renewed: list[int | None] = []

    def renew(window: int | None = None) -> None:
        renewed.append(window)

    transfer.route.transport.renew = renew  # type: ignore[method-assign]  # watched
    async for attempt in transfer.attempts():
        with attempt:
            if attempt.number == 1:
                raise StalledError("silence")
    assert transfer.block_size == 8 * 1024
    assert renewed == [8 * 8 * 1024]


class Big:
    """An object that must not be kept in memory."""


async def test_a_failed_attempt_keeps_nothing_alive() -> None:
    """Local objects of a failed attempt are freed without the garbage collector: errors do not keep blocks in memory."""
    transfer, _ = transfer_of(3)
    kept: list[weakref.ref[Big]] = []

    def fail() -> None:
        big = Big()
        kept.append(weakref.ref(big))
        raise UnreachableError("broke")

    gc.disable()
    try:
        async for attempt in transfer.attempts():
            assert [ref for ref in kept if ref() is not None] == []
            with attempt:
                if attempt.number < 3:
                    fail()
    finally:
        gc.enable()
    assert len(kept) == 2
