"""A bar on a terminal, and lines above it.

Rule 1: it appears when the work has taken a second. What is over before needs none, and what draws it takes 50 ms to load.
Rule 2: it is drawn five times a second, from what was told last. Telling it costs next to nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from unspool.cli.drawnbar import DrawnBar

DELAY = 1.0
"""Seconds before a bar appears: for so long nobody minds to see nothing (Nielsen, "Usability Engineering", 1993). Cargo waits
for half as long, git for twice as long."""


class Bar:
    """What a bar is told.

    Args:
        name: what stands before it; printable.
        counts_files: whether `files` is shown.

    Attributes:
        completed: bytes that are here.
        files: what is said of files.
        total: bytes there will be, or None.
        beginnings: how often `begin` was called.
    """

    def __init__(self, name: str, *, counts_files: bool) -> None:
        self.name = name
        self.counts_files = counts_files
        self.completed = 0
        self.total: int | None = None
        self.files = ""
        self.beginnings = 0
        self._lock = threading.Lock()
        self._over = False
        self._drawn: DrawnBar | None = None
        self._timer = threading.Timer(DELAY, self._appear)
        self._timer.start()

    def begin(self, total: int | None, completed: int) -> None:
        """Begin anew: what is completed by now counts for the bar, not for the rate."""
        self.total, self.completed = total, completed
        self.beginnings += 1

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        with self._lock:
            if self._drawn is None:
                click.echo(line, err=True)
            else:
                self._drawn.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        """Remove the bar."""
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._drawn is not None:
                self._drawn.stop()

    def _appear(self) -> None:
        from unspool.cli.drawnbar import DrawnBar  # noqa: PLC0415 - only needed now

        with self._lock:
            if not self._over:
                self._drawn = DrawnBar(self)
                self._drawn.start()


@contextmanager
def bar(name: str, *, counts_files: bool = False) -> Iterator[Bar]:
    """Show a bar while inside, once it is time."""
    shown = Bar(name, counts_files=counts_files)
    try:
        yield shown
    finally:
        shown.end()
