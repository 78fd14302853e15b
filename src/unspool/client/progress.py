"""Progress as two numbers: an observer that calls a plain function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from unspool.client.events import Advanced, Event, Observer, Started, TreeAdvanced

Progress: TypeAlias = Callable[[int, int | None], object]
"""Called with the bytes that are here and the total, which is None until it is known.

It is called on the event loop for every block, so it should be quick. The first number falls when a download begins again from
zero. An exception that it raises ends the transfer and reaches the caller.
"""


class ProgressObserver:
    """An observer that calls a progress function.

    Args:
        progress: see `Progress`.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._size: int | None = None

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        match event:
            case Started(_, size, resumed_from, _):
                self._size = size
                self._progress(resumed_from, size)
            case Advanced(good, _):
                self._progress(good, self._size)
            case TreeAdvanced(good=good, listed_bytes=listed_bytes, listed_all=listed_all):
                self._progress(good, listed_bytes if listed_all else None)


def observers_of(observers: Sequence[Observer], progress: Progress | None) -> tuple[Observer, ...]:
    """Return the observers of one call, with one for `progress`."""
    return (*observers, ProgressObserver(progress)) if progress is not None else tuple(observers)
