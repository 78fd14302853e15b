"""When to try again: the budget and the waits of one transfer, as a pure machine.

Rule 1: the budget counts attempts in a row that brought no new byte. Progress refills it, so a transfer that moves is never
        given up, and one that does not move ends.
Rule 2: waits double up to a cap, with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015), and begin anew
        after progress. A wait the server asked for (RetryInfo) is the least that is waited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unspool.errors import UnspoolError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How stubborn a transfer is.

    Attributes:
        budget: attempts in a row without a new byte before giving up; 0 never tries again. Ten, with the waits below, ride
            out about a minute of a server being away: a restart, a rolling deploy. (Bazel and aria2 allow 5,
            remote-apis-sdks 6.)
        first_wait: upper bound of the first wait, seconds (remote-apis-sdks: 0.225).
        longest_wait: upper bound of any wait of our own, seconds (google-cloud-storage: 60; gRPC: 120).
        longest_retry_after: the longest wait a server may ask for, seconds; more is cut to this, so that no server can hang
            a client.
    """

    budget: int = 10
    first_wait: float = 0.25
    longest_wait: float = 30.0
    longest_retry_after: float = 300.0


class RetryBudget:
    """The budget of one transfer. `random` returns a float in [0, 1)."""

    def __init__(self, policy: RetryPolicy, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random
        self._fruitless = 0

    def next_wait(self, error: UnspoolError, *, progressed: bool) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is to be none.

        Args:
            error: what ended the attempt.
            progressed: whether the attempt brought at least one new byte.
        """
        if not error.retryable:
            return None
        self._fruitless = 0 if progressed else self._fruitless + 1
        if self._fruitless >= self._policy.budget:
            return None
        doublings = max(self._fruitless - 1, 0)
        wait = self._random() * min(self._policy.longest_wait, self._policy.first_wait * 2.0 ** min(doublings, 32))
        if error.retry_after is not None:
            wait += min(max(error.retry_after, 0.0), self._policy.longest_retry_after)
        return wait
