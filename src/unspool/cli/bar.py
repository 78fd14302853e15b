"""A bar on a terminal, and lines above it.

Rule 1: it appears when the work has taken a second. What is over before needs none.
Rule 2: it is drawn five times a second, from what was told last. Telling it costs next to nothing.
Rule 3: it is drawn in the foreground only.

What it looks like is said in barline.py, which rate it shows in meter.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from unspool.cli.barline import bar_line
from unspool.cli.meter import Amounts, Meter
from unspool.cli.terminal import Terminal

DELAY = 1.0
"""Seconds before a bar appears: for so long nobody minds to see nothing (Nielsen, "Usability Engineering", 1993). Cargo waits
for half as long, git for twice as long."""

_INTERVAL = 0.2
"""Seconds between two drawings: figures that change faster cannot be read."""


class Bar:
    """What a bar is told, and how it is drawn. Told by one thread, drawn by another.

    Args:
        name: what stands before it; printable.
        terminal: is drawn on.
        now: a clock, in seconds.

    Attributes:
        amounts: how far it is. Set this as often as you like.
    """

    def __init__(self, name: str, terminal: Terminal, now: Callable[[], float] = time.monotonic) -> None:
        self.amounts = Amounts()
        self._name = terminal.encodable(name)
        self._terminal = terminal
        self._now = now
        self._appears = now() + DELAY
        self._meter = Meter(now())
        self._lock = threading.Lock()
        self._over = threading.Event()

    def begin(self, amounts: Amounts) -> None:
        """Begin anew: what is here by now says nothing about the rate."""
        with self._lock:
            self.amounts = amounts
            self._meter.begin(self._now(), amounts)

    def broke(self, trouble: str, wait: float) -> None:
        """Show that an attempt failed and that the next one begins in `wait` seconds, until something arrives."""
        with self._lock:
            self._meter.note(self._now(), self.amounts)  # what arrived before it failed is not what ends the trouble
            self._meter.broke(trouble, self._now() + wait)

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        with self._lock:
            self._terminal.print(line)
            self._draw()

    def draw(self) -> None:
        """Draw what was told last, once it is time for a bar."""
        with self._lock:
            self._draw()

    def _draw(self) -> None:
        now = self._now()
        self._meter.note(now, self.amounts)
        if now >= self._appears and not self._over.is_set():
            pace = self._meter.rate(now), self._meter.status(now)
            self._terminal.draw(bar_line(self._name, self._meter.amounts, *pace, self._terminal.columns))

    def draw_until_the_end(self) -> None:
        """Draw again and again, until `end` is called."""
        while not self._over.wait(_INTERVAL):
            self.draw()

    def end(self) -> None:
        """Erase the bar. It is not drawn again."""
        with self._lock:
            self._over.set()
            self._terminal.erase()


@contextmanager
def bar(name: str, terminal: Terminal) -> Iterator[Bar]:
    """Show a bar while inside, once it is time."""
    shown = Bar(name, terminal)
    threading.Thread(target=shown.draw_until_the_end, daemon=True).start()
    try:
        yield shown
    finally:
        shown.end()
