"""Plain progress lines, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from unspool.client.events import Event, Observer


class Progress(Protocol):
    """The function that begins progress."""

    def __call__(self, *, now: Callable[[], float]) -> AbstractContextManager[Observer]:
        """Begin it, with this clock."""
        ...


class Lines:
    """The lines that events cause.

    Args:
        progress: turns events into lines.

    Attributes:
        now: the time of the clock, in seconds.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], progress: Progress) -> None:
        self.now = 0.0
        self._capsys = capsys
        self._context = progress(now=lambda: self.now)
        self._observer = self._context.__enter__()

    def after(self, event: Event, *, at: float) -> list[str]:
        """Return the lines that an event causes at a time."""
        self.now = at
        self._observer.notify(event)
        return self._capsys.readouterr().err.splitlines()
