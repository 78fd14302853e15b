"""When to try again, and when to begin again: the budgets and the waits of one transfer, as a pure machine.

Rule 1: the budget counts attempts in a row that brought no new byte. Progress refills it, so a transfer that moves is never
        given up, and one that does not move ends.
Rule 2: waits double up to a cap, with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015), and begin anew
        after progress. A wait the server asked for (RetryInfo) is the least that is waited.
Rule 3: a server that has not answered yet is not part of a transfer: connecting to it is tried for `connect_wait` seconds, and
        costs nothing of the budget.
Rule 4: beginning again from zero is counted apart, and nothing refills that: a file that changes faster than it can be fetched
        brings bytes for ever. The first time is at once; then the waits double, so that who writes to it may finish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unspool.errors import UnspoolError

_LONGEST_CONNECT_WAIT = 1.0
"""Seconds between two attempts to connect to a server that is waited for: it should not have to wait for us when it is up."""


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
        connect_wait: seconds to go on trying to connect to a server that has not answered yet, from the first attempt on. By
            default one failure is the end (curl, wget: 0 as well): an address that was mistyped never answers, and a server
            that has answered once gets the whole budget.
        restarts: times a file that changed on the server is begun again from zero before giving up (as many as Bazel and
            aria2 try anything).
        restart_wait: upper bound of the wait before the second of them, seconds; with five, the waits come to 8 to 15 s.
    """

    budget: int = 10
    first_wait: float = 0.25
    longest_wait: float = 30.0
    longest_retry_after: float = 300.0
    connect_wait: float = 0.0
    restarts: int = 5
    restart_wait: float = 1.0


class RetryBudget:
    """The budget of one transfer. `random` returns a float in [0, 1)."""

    def __init__(self, policy: RetryPolicy, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random
        self._fruitless = 0
        self._restarts = 0
        self._connects = 0

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

    def next_connect_wait(self, elapsed: float) -> float | None:
        """Return the seconds to wait before connecting again to a server that never answered, or None to give up.

        Args:
            elapsed: seconds since the first attempt.
        """
        left = self._policy.connect_wait - elapsed
        if left <= 0:
            return None
        self._connects += 1
        wait = min(_LONGEST_CONNECT_WAIT, self._policy.first_wait * 2.0 ** min(self._connects - 1, 32))
        return min(wait * (1 + self._random()) / 2, left)

    def next_restart(self) -> float | None:
        """Return the seconds to wait before beginning again from zero, or None if that is not to be done once more."""
        if self._restarts >= self._policy.restarts:
            return None
        self._restarts += 1
        if self._restarts == 1:
            return 0.0
        bound = min(self._policy.longest_wait, self._policy.restart_wait * 2.0 ** min(self._restarts - 2, 32))
        return bound * (1 + self._random()) / 2  # at least half of it: what is waited for needs time
