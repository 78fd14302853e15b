"""Retries and restarts of one transfer: how many there may be, and how long to wait before each.

Rule 1: the budget limits consecutive attempts without a new byte. Progress resets it, so a transfer that makes progress is
        never given up, and one that makes none ends.
Rule 2: backoff doubles up to a cap, with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015), and is reset by
        progress. If the server asked for a wait (RetryInfo), that is the minimum.
Rule 3: failures to connect to a server that has never answered do not use the budget. They are retried for `connect_wait`
        seconds.
Rule 4: restarts from zero have a limit of their own, which progress does not reset: a file that keeps changing would otherwise
        be fetched for ever. The first restart is immediate. Later ones back off, so that the program that writes the file may
        finish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unspool.errors import UnspoolError

_SHORTEST_CONNECT_WAIT = 0.001
"""Seconds. Less is lost in rounding when it is added to the time of the clock, and would be waited again and again."""

_LONGEST_CONNECT_WAIT = 1.0
"""Most seconds between two attempts to connect, so that a server that has just started is found soon."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a transfer retries. All waits are in seconds.

    Attributes:
        budget: consecutive attempts without a new byte before giving up; 0 never retries. Ten, with the waits below, cover an
            outage of about a minute: a restart, a rolling deploy. (Bazel and aria2 allow 5, remote-apis-sdks 6.)
        first_wait: upper bound of the first wait (remote-apis-sdks: 0.225).
        longest_wait: upper bound of the backoff (google-cloud-storage: 60; gRPC: 120).
        longest_retry_after: the longest wait that a server may ask for. A longer one is cut to this, so that no server can hang
            a client.
        connect_wait: how long to keep trying to connect to a server that has never answered, from the first attempt on. By
            default the first failure is final (curl, wget: 0 as well), because a mistyped address never answers. A server that
            has answered once gets the whole budget.
        restarts: how often to start again from zero because the file changed on the server (Bazel and aria2 allow 5 tries of
            anything).
        restart_wait: upper bound of the wait before the second restart. With five restarts the waits add up to 8 to 15 s.
    """

    budget: int = 10
    first_wait: float = 0.25
    longest_wait: float = 30.0
    longest_retry_after: float = 300.0
    connect_wait: float = 0.0
    restarts: int = 5
    restart_wait: float = 1.0


class RetryBudget:
    """The retry state of one transfer. `random` returns a float in [0, 1)."""

    def __init__(self, policy: RetryPolicy, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random
        self._fruitless = 0
        self._restarts = 0
        self._connects = 0

    def next_wait(self, error: UnspoolError, *, progressed: bool) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

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
        if left < _SHORTEST_CONNECT_WAIT:
            return None
        self._connects += 1
        wait = min(_LONGEST_CONNECT_WAIT, self._policy.first_wait * 2.0 ** min(self._connects - 1, 32))
        return min(wait * (1 + self._random()) / 2, left)

    def next_restart(self) -> float | None:
        """Return the seconds to wait before starting again from zero, or None to give up."""
        if self._restarts >= self._policy.restarts:
            return None
        self._restarts += 1
        if self._restarts == 1:
            return 0.0
        bound = min(self._policy.longest_wait, self._policy.restart_wait * 2.0 ** min(self._restarts - 2, 32))
        return bound * (1 + self._random()) / 2  # at least half: the program that writes the file needs time
