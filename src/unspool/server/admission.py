"""The limit on requests per second, counted for each principal, or for the host if there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from unspool.core.limits import Paces
from unspool.errors import OverloadedError
from unspool.options import LimitOptions
from unspool.server.entry import Call


class Admission:
    """Counts the requests of each peer, for all methods together.

    Args:
        limits: the number of requests per second.
    """

    def __init__(self, limits: LimitOptions) -> None:
        self._most = limits.requests
        self._requests = Paces(limits.requests, burst=limits.requests)

    @contextmanager
    def admitted(self, call: Call) -> Iterator[None]:
        """Count a call. Raises OverloadedError if its peer exceeds the limit."""
        pace = self._requests.of(call.caller.peer)
        now = time.monotonic()
        if wait := pace.wait_for(1, now):
            said = f"more than {self._most:g} requests a second from one peer"
            raise OverloadedError(said, retry_after=wait).at("requests")
        pace.take(1, now)
        yield
