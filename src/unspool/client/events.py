"""The events of a transfer or a tree, and the observers that are notified of them.

The last field of every event is the id of its transfer. The server's log has the same id. It also tells apart the events of
transfers that run at the same time. Events of a whole tree have the id of the tree's listing.
"""

from __future__ import annotations

from dataclasses import field
from typing import Protocol, TypeAlias

from unspool.core.value import value
from unspool.errors import UnspoolError


@value
class TransferBegan:
    """A transfer begins.

    Attributes:
        call: the client's call, or a part of it: `get`, `put`, `open`, `stat`, `list`, `verify`, `get_tree`, `batch`, ...
        name: the file or the prefix. Empty for a batch.
    """

    call: str
    name: str
    transfer: str


@value
class AttemptBegan:
    """Attempt number `attempt` begins, at `server`: its log has the number too. Notified in the task that makes the attempt."""

    attempt: int
    server: str
    transfer: str


@value
class TransferEnded:
    """A transfer ended.

    Attributes:
        call, name: as in `TransferBegan`.
        outcome: `OK`, `CANCELLED` (by the caller), or the reason of the error.
        message: the error's message, or "".
        error: the error, if it is one of unspool's.
        attempts: the number of attempts.
        bytes_received: verified bytes received; bytes received twice count twice.
        bytes_sent: bytes of files sent; bytes sent twice count twice.
        seconds: the duration, including waits.
        without: replicas that were asked and did not have the revision that another one has.
    """

    call: str
    name: str
    outcome: str
    message: str
    error: UnspoolError | None
    attempts: int
    bytes_received: int
    bytes_sent: int = field(default=0, kw_only=True)
    seconds: float
    transfer: str
    without: tuple[str, ...] = field(default=(), kw_only=True)


@value
class Rechecked:
    """Part of what an earlier run left was read again: `good` bytes are correct so far, `left` segments remain.

    Of an upload it is the part of the local file that the server says it has, or that it may have.
    """

    good: int
    left: int
    transfer: str


@value
class Started:
    """The size of the file is known. `resumed_from` bytes are there from an earlier run; `size` is None if nobody says it."""

    name: str
    size: int | None
    resumed_from: int
    transfer: str


@value
class Advanced:
    """More verified bytes arrived, or more bytes were sent: `good` in total."""

    good: int
    transfer: str


@value
class Retrying:
    """Attempt number `attempt` ended with `error`; the next begins in `wait` seconds."""

    error: UnspoolError
    attempt: int
    wait: float
    transfer: str


@value
class Restarting:
    """Because of `error`, the transfer discards its bytes and begins again from zero after `wait` seconds."""

    error: UnspoolError
    wait: float
    transfer: str


@value
class Repairing:
    """The checksum of the whole file was wrong; `bad` bytes are damaged and are fetched, or sent, again."""

    bad: int
    transfer: str


@value
class TreeAdvanced:
    """More of a tree was fetched, uploaded or listed.

    Attributes:
        files: files that are complete at their final names, plus files that failed.
        good: verified bytes that are here; of an upload, bytes that were sent, or that the server has.
        kept: bytes of `good` that were there before this run. This run has fetched, or sent, `good - kept`.
        listed_files, listed_bytes: files and bytes in the listing so far; of an upload, those found in the directory.
        listed_all: whether the listing is complete, so that these are the tree's totals. Files may still be being fetched.
    """

    files: int
    good: int
    kept: int
    listed_files: int
    listed_bytes: int
    listed_all: bool
    transfer: str


@value
class FileFailed:
    """One file of a tree failed. The other files go on."""

    name: str
    error: UnspoolError
    transfer: str


Event: TypeAlias = (
    TransferBegan
    | AttemptBegan
    | TransferEnded
    | Rechecked
    | Started
    | Advanced
    | Retrying
    | Restarting
    | Repairing
    | TreeAdvanced
    | FileFailed
)


class Observer(Protocol):
    """Is notified of events, on the event loop. It should be quick and must not raise."""

    def notify(self, event: Event) -> None:
        """Handle an event."""
        ...


class Observers:
    """Notifies several observers in order.

    Args:
        observers: the observers.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        for observer in self._observers:
            observer.notify(event)
