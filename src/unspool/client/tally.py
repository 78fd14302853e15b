"""The counts of a tree: its progress and its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from unspool.client.events import Advanced, Event, FileFailed, Observer, Rechecked, Started, TreeAdvanced
from unspool.core.model import Omission
from unspool.core.omissions import Omissions
from unspool.core.whole import Verified
from unspool.errors import UnspoolError
from unspool.local.outcome import Failure, Outcome, ReceivedFile

if TYPE_CHECKING:
    from unspool.client.results import Result
    from unspool.client.treeresults import TreeResult

_MOST_FAILURES = 1000
"""Failures and omitted names that a result keeps. The observer is notified of all failures."""


class TreeCounts:
    """What the counts of a tree have in common, whether it is downloaded or uploaded.

    Args:
        observer: notified of progress and failures.
        transfer_id: of the listing.

    Attributes:
        listed: files listed.
        under_way: bytes that have arrived of each large file being transferred.
        resumed: the part of these bytes that an earlier run left.
    """

    def __init__(self, observer: Observer, transfer_id: str) -> None:
        self._observer = observer
        self._transfer_id = transfer_id
        self.under_way: dict[str, int] = {}
        self.resumed: dict[str, int] = {}
        self._begin()

    def _begin(self) -> None:
        self.listed = self._listed_bytes = 0
        self._listed_all = False
        self._moved = 0  # files that this call has transferred
        self._kept = self._failed = self._left_out = 0
        self._good = 0  # bytes that have arrived
        self._kept_bytes = 0  # bytes of `_good` that were not transferred
        self._failures: list[Failure] = []
        self._omissions = Omissions(_MOST_FAILURES)

    def forget(self, name: str) -> None:
        """Stop counting a large file as being transferred."""
        self.under_way.pop(name, None)
        self.resumed.pop(name, None)

    def complete(self) -> None:
        """Mark the listing as complete, and notify the observer."""
        self._listed_all = True
        self.notify()

    def omit(self, omitted: Iterable[Omission]) -> None:
        """Add names that are left out."""
        for omission in omitted:
            self._omissions.add(omission)

    def fail(self, name: str, error: UnspoolError) -> None:
        """Add a file that failed."""
        self._failed += 1
        _forget_where(error)
        if len(self._failures) < _MOST_FAILURES:
            self._failures.append(Failure(name, error))
        self._observer.notify(FileFailed(name, error, self._transfer_id))

    def notify(self) -> None:
        """Notify the observer of the progress."""
        self._observer.notify(
            TreeAdvanced(
                files=self._moved + self._kept + self._failed + self._left_out,
                good=self._good + sum(self.under_way.values()),
                kept=self._kept_bytes + sum(self.resumed.values()),
                listed_files=self.listed,
                listed_bytes=self._listed_bytes,
                listed_all=self._listed_all,
                transfer=self._transfer_id,
            )
        )


class TreeTally(TreeCounts):
    """The counts of a tree that is downloaded.

    Attributes:
        bytes_received: verified bytes received.
        by_server: the same, of each server.
        without: replicas that did not have a file at the revision that another one listed.
    """

    def __init__(self, observer: Observer, transfer_id: str) -> None:
        super().__init__(observer, transfer_id)
        self.bytes_received = 0
        self.by_server: dict[str, int] = {}
        self.without: set[str] = set()
        self._verified: Verified = "file"
        self._fetched_before = 0

    def _begin(self) -> None:
        super()._begin()
        self._directories = 0

    @property
    def fetched(self) -> int:
        """Files fetched in this round."""
        return self._moved

    def again(self) -> None:
        """Begin another round. Files fetched in this round will count as kept in the next."""
        self._fetched_before += self._moved
        self._begin()

    def add(self, outcome: Outcome) -> None:
        """Add the outcome of some files."""
        self.listed += outcome.listed
        self._listed_bytes += outcome.listed_bytes
        self._kept += outcome.kept
        self._moved += outcome.fetched
        self._good += outcome.kept_bytes + outcome.fetched_bytes
        self._kept_bytes += outcome.kept_bytes
        self._left_out += outcome.left_out
        self._directories += outcome.directories
        for failure in outcome.failures:
            self.fail(failure.name, failure.error)
        self.notify()

    def add_arrived(self, arrived: Iterable[ReceivedFile]) -> None:
        """Record how small files were verified."""
        if not all(one.confirmed for one in arrived):
            self._verified = "blocks"

    def add_received(self, size: int, by_server: Mapping[str, int], without: Iterable[str]) -> None:
        """Add the verified bytes of a transfer."""
        self.bytes_received += size
        for server, sent in by_server.items():
            self.by_server[server] = self.by_server.get(server, 0) + sent
        self.without.update(without)

    def add_download(self, result: Result) -> None:
        """Add a finished download."""
        if result.resumed_from == result.size and not result.bytes_received and not result.restarts:
            self._kept += 1
        else:
            self._moved += 1
            if result.verified != "file":
                self._verified = "blocks"
        self._good += result.size
        self._kept_bytes += result.resumed_from
        self.add_received(result.bytes_received, result.servers, result.without)
        self.forget(result.name)
        self.notify()

    def result(self, prefix: str, path: str, seconds: float) -> TreeResult:
        """Return the result of the tree."""
        from unspool.client.treeresults import TreeResult  # noqa: PLC0415 - loads in 2 ms, while the listing is on its way

        before = min(self._fetched_before, self._kept)
        return TreeResult(
            prefix=prefix,
            path=path,
            files=self.listed,
            size=self._listed_bytes,
            fetched=self._moved + before,
            kept=self._kept - before,
            failed=self._failed,
            directories=self._directories,
            left_out=self._left_out,
            omitted=self._omissions.as_tuple(),
            failures=tuple(self._failures),
            verified=self._verified,
            bytes_received=self.bytes_received,
            seconds=seconds,
            servers=dict(self.by_server),
            without=tuple(sorted(self.without)),
        )


class Relay:
    """Turns the progress of one transfer into progress of the tree, and passes its other events on."""

    def __init__(self, name: str, tally: TreeCounts, observer: Observer) -> None:
        self._name = name
        self._tally = tally
        self._observer = observer

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        match event:
            case Started(_, _, resumed_from):
                self._tally.resumed[self._name] = self._tally.under_way[self._name] = resumed_from
                self._tally.notify()
            case Advanced(good):
                self._tally.under_way[self._name] = good
                self._tally.notify()
            case Rechecked():
                pass
            case _:
                self._observer.notify(event)


def _forget_where(error: BaseException | None) -> None:
    """Drop the tracebacks of an error: their frames would keep a page of the listing in memory for each failed file."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
