"""Finds the bytes of a transfer that were sent more than once, and the reads that resumed another one.

Rule 1: reads of one transfer and one file are compared with each other, in the order in which their ends become known.
Rule 2: a read resumes another one that ended early if it began after that end, at the byte where the other ended or among the
        bytes that the other sent. Streams of one download that take over each other's ranges run at the same time, so they do
        not count as resumed.
Rule 3: memory is bounded. What is forgotten is not counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from unspool.core.value import value

_NOTICED = 0.1
"""Seconds within which a server notices that a stream has ended. The next stream may begin before that."""


@value
class Read:
    """A read that ended.

    Attributes:
        transfer: identifies the transfer and the file.
        start, stop: the bytes that were sent.
        broken: whether the read ended early.
        began, ended: in seconds of a clock that all processes of the server share.
    """

    transfer: str
    start: int
    stop: int
    broken: bool
    began: float
    ended: float

    def resumes(self, other: Read) -> bool:
        """Whether this read resumes `other`."""
        return other.broken and other.start <= self.start <= other.stop and other.ended <= self.began + _NOTICED


class Ledger:
    """Remembers the last reads of the last transfers.

    Args:
        transfers: how many transfers it remembers.
        reads: how many reads of each.
    """

    def __init__(self, transfers: int = 10_000, reads: int = 64) -> None:
        self._most_transfers = transfers
        self._most_reads = reads
        self._known: OrderedDict[str, list[Read]] = OrderedDict()

    def add(self, read: Read) -> tuple[int, int]:
        """Add a read. Return how many of its bytes other reads had sent, and in how many pairs of reads one resumes the other.

        A read that resumes several counts once.
        """
        known = self._known.setdefault(read.transfer, [])
        self._known.move_to_end(read.transfer)
        if len(self._known) > self._most_transfers:
            self._known.popitem(last=False)
        again = _shared(read, known)
        resumes = int(any(read.resumes(other) for other in known)) + sum(other.resumes(read) for other in known)
        known.append(read)
        if len(known) > self._most_reads:
            del known[0]
        return again, resumes


def _shared(read: Read, others: Iterable[Read]) -> int:
    """Return how many bytes of a read are also bytes of at least one of the others."""
    shared, position = 0, read.start
    for other in sorted(others, key=lambda one: one.start):
        start, stop = max(other.start, position), min(other.stop, read.stop)
        if start < stop:
            shared += stop - start
            position = stop
    return shared
