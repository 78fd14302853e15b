"""What happens in a transfer, or in a tree of them, told to observers.

Every event ends with the id of the transfer it belongs to: what the server's log calls it, and what tells apart events of
transfers that run at the same time. A tree's own events have the id of its listing.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from unspool.core.value import value
from unspool.errors import UnspoolError


@value
class Rechecked:
    """Part of what an earlier run left was read again; `good` bytes agreed so far, `left` segments are to be read."""

    good: int
    left: int
    transfer: str


@value
class Started:
    """The server described the file. `resumed_from` bytes are here already; `size` is None if the dialect does not tell."""

    name: str
    size: int | None
    resumed_from: int
    transfer: str


@value
class Advanced:
    """More verified bytes are here: `good` in all."""

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
    """What is here is of no use any more, because of `error`: the download begins again from zero, after `wait` seconds."""

    error: UnspoolError
    wait: float
    transfer: str


@value
class Repairing:
    """The whole file was not what the server says; `bad` bytes turned out to be damaged here and are fetched again."""

    bad: int
    transfer: str


@value
class TreeAdvanced:
    """More of a tree is here, or more of it is known.

    Attributes:
        files: files that are here, whole and under their names, or that cannot be had.
        good: verified bytes that are here.
        kept: those of `good` that an earlier run left here. `good - kept` is what this run has fetched.
        listed_files, listed_bytes: what the listing has named so far. These are the tree's totals once `listed_all` is true,
            which is told as soon as the listing is complete, while files are still being fetched.
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
    """One file of a tree is not here, and will not be; the others are not concerned."""

    name: str
    error: UnspoolError
    transfer: str


Event: TypeAlias = Rechecked | Started | Advanced | Retrying | Restarting | Repairing | TreeAdvanced | FileFailed


class Observer(Protocol):
    """Is told what happens, on the event loop; it should be quick and must not raise."""

    def notify(self, event: Event) -> None:
        """Take note of an event."""
        ...


class Observers:
    """Several observers as one, told in their order.

    Args:
        observers: those.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        for observer in self._observers:
            observer.notify(event)
