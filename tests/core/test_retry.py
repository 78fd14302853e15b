"""The retry budget: when to go on, and how long to wait first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool import errors
from unspool.core.retry import RetryBudget, RetryPolicy
from unspool.errors import NotFoundError, OverloadedError, UnreachableError, UnspoolError

BROKEN = UnreachableError("the connection broke")


def almost_one() -> float:
    """Return the most that a random number can be."""
    return 1 - 2**-53


def budget(size: int, random: Callable[[], float] = almost_one) -> RetryBudget:
    """Return a budget with waits of at most 1, 2, 4, 8, 10, 10 ... seconds."""
    return RetryBudget(RetryPolicy(budget=size, first_wait=1, longest_wait=10, longest_retry_after=100), random)


@pytest.mark.parametrize("progressed", [True, False])
def test_a_budget_of_nothing_never_tries_again(progressed: bool) -> None:  # noqa: FBT001
    """With a budget of 0 the first error is the last, even after progress."""
    assert budget(0).next_wait(BROKEN, progressed=progressed) is None


@given(st.integers(1, 20))
def test_the_budget_is_the_fruitless_attempts_in_a_row(size: int) -> None:
    """N attempts without a new byte, and it is over; not one earlier, and then it stays over."""
    machine = budget(size)
    waits = [machine.next_wait(BROKEN, progressed=False) for _ in range(size + 2)]
    assert [wait is not None for wait in waits] == [True] * (size - 1) + [False] * 3


@given(st.integers(1, 10), st.lists(st.booleans(), max_size=60))
def test_progress_refills_the_budget(size: int, attempts: list[bool]) -> None:
    """Whether to go on depends on nothing but how many attempts at the end brought no new byte."""
    machine = budget(size)
    fruitless = 0
    for progressed in attempts:
        fruitless = 0 if progressed else fruitless + 1
        assert (machine.next_wait(BROKEN, progressed=progressed) is None) == (fruitless >= size)


def test_waits_double_up_to_a_cap_and_begin_anew_after_progress() -> None:
    """The upper bounds of the waits: doubling, capped, and small again as soon as bytes arrive."""
    machine = budget(100)
    waits = [machine.next_wait(BROKEN, progressed=n == 6) for n in range(10)]
    assert waits == [pytest.approx(bound) for bound in (1, 2, 4, 8, 10, 10, 1, 1, 2, 4)]


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 3000))
def test_waits_are_random_within_their_bounds(random: float, before: int) -> None:
    """The k-th wait lies in [0, min(cap, first * 2**k)], spread by the random number; no k overflows."""
    machine = budget(10_000, lambda: random)
    for _ in range(before):
        machine.next_wait(BROKEN, progressed=False)
    wait = machine.next_wait(BROKEN, progressed=False)
    assert wait == pytest.approx(random * (10 if before >= 4 else 2**before))


@given(st.floats(0, 1, exclude_max=True), st.floats(-10, 1000))
def test_what_the_server_asked_for_is_the_least_that_is_waited(random: float, asked: float) -> None:
    """The server's wish is added to the wait of our own, and cut to what a server may ask for; a negative one is none."""
    error = OverloadedError("come back later", retry_after=asked)
    wait = budget(5, lambda: random).next_wait(error, progressed=False)
    assert wait == pytest.approx(min(max(asked, 0), 100) + random)


@pytest.mark.parametrize("kind", [kind for kind in vars(errors).values() if isinstance(kind, type)], ids=lambda k: k.__name__)
def test_only_what_may_help_is_tried_again(kind: type) -> None:
    """Errors that another attempt cannot mend end the transfer at once, whatever the budget; the others do not."""
    assert issubclass(kind, UnspoolError)
    error = kind("it failed", retry_after=1)
    assert (budget(9).next_wait(error, progressed=True) is not None) == kind.retryable


def test_what_cannot_be_mended_costs_no_budget() -> None:
    """An error that is not retryable says nothing about progress, and leaves the count as it was."""
    machine = budget(2)
    assert machine.next_wait(BROKEN, progressed=False) is not None
    assert machine.next_wait(NotFoundError("gone"), progressed=True) is None
    assert machine.next_wait(BROKEN, progressed=False) is None


def test_the_defaults_ride_out_about_a_minute() -> None:
    """As the policy's docstring says: with waits in the middle of their bounds, a server may be away for most of a minute."""
    machine = RetryBudget(RetryPolicy(), lambda: 0.5)
    waits = []
    while (wait := machine.next_wait(BROKEN, progressed=False)) is not None:
        waits.append(wait)
    assert len(waits) == 9
    assert 30 < sum(waits) < 60


@given(st.integers(0, 20), st.floats(0, 1, exclude_max=True))
def test_beginning_again_is_bounded_and_spaced(restarts: int, random: float) -> None:
    """So many times and no more; the first at once, the others after at least half of bounds that double up to the cap."""
    machine = RetryBudget(RetryPolicy(restarts=restarts, restart_wait=1, longest_wait=10), lambda: random)
    waits = [machine.next_restart() for _ in range(restarts + 2)]
    assert waits[restarts:] == [None, None]
    bounds = [0, 1, 2, 4, 8, *[10] * 15][:restarts]
    assert waits[:restarts] == [pytest.approx(bound * (1 + random) / 2) for bound in bounds]


def test_progress_does_not_refill_what_there_is_of_restarts() -> None:
    """A file that keeps changing brings bytes each time, and is given up all the same."""
    machine = RetryBudget(RetryPolicy(restarts=2), lambda: 0.5)
    for _ in range(2):
        assert machine.next_wait(BROKEN, progressed=True) is not None
        assert machine.next_restart() is not None
    assert machine.next_restart() is None


@given(st.floats(0.01, 1e6), st.floats(0, 1, exclude_max=True))
def test_a_server_that_is_not_there_yet_is_waited_for_as_long_as_is_said(wait: float, random: float) -> None:
    """Waits add up to the time given, to the millisecond; none is longer than a second."""
    machine = RetryBudget(RetryPolicy(connect_wait=wait), lambda: random)
    elapsed, waits = 0.0, 0
    while (next_wait := machine.next_connect_wait(elapsed)) is not None and waits < 1000:
        assert 0 < next_wait <= 1
        assert next_wait <= wait - elapsed
        elapsed = wait if next_wait == wait - elapsed else elapsed + next_wait
        waits += 1
    assert waits == 1000 or wait - elapsed < 0.001


def test_a_server_that_is_not_there_is_not_waited_for_by_default() -> None:
    """Without `connect_wait` the first failure to connect is the last."""
    assert RetryBudget(RetryPolicy(), almost_one).next_connect_wait(0.0) is None
