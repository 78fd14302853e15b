"""The counts of a tree that is uploaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from unspool.client.events import Observer
from unspool.client.tally import TreeCounts
from unspool.client.writeresults import PutTreeResult
from unspool.local.walk import FoundFile, Walked


class PutTally(TreeCounts):
    """The counts of a tree that is uploaded.

    Attributes:
        bytes_sent: bytes of files sent.
        by_server: the same, to each server.
    """

    def __init__(self, observer: Observer, transfer_id: str) -> None:
        super().__init__(observer, transfer_id)
        self.bytes_sent = 0
        self.by_server: Counter[str] = Counter()

    def find(self, found: Walked) -> None:
        """Count what was left out, and directories that cannot be read."""
        self.omit(found.omitted)
        for failure in found.failures:
            self.fail(failure.name, failure.error)

    def list(self, files: Sequence[FoundFile]) -> None:
        """Count files that are wanted."""
        self.listed += len(files)
        self._listed_bytes += sum(file.size for file in files)

    def keep(self, size: int) -> None:
        """Count a file that the server has already."""
        self._kept += 1
        self._good += size
        self._kept_bytes += size

    def sent(self, size: int) -> None:
        """Count a file that the server has from this run."""
        self._moved += 1
        self._good += size

    def add_sent(self, size: int, by_server: Mapping[str, int]) -> None:
        """Add the bytes that a transfer has sent."""
        self.bytes_sent += size
        self.by_server.update(by_server)

    def result(self, prefix: str, path: str, seconds: float) -> PutTreeResult:
        """Return the result."""
        return PutTreeResult(
            prefix=prefix,
            path=path,
            files=self.listed,
            size=self._listed_bytes,
            sent=self._moved,
            kept=self._kept,
            failed=self._failed,
            omitted=self._omissions.as_tuple(),
            failures=tuple(self._failures),
            bytes_sent=self.bytes_sent,
            seconds=seconds,
            servers=dict(self.by_server),
        )
