"""A progress bar on a terminal, and lines above it.

Rule 1: the bar appears after one second. Shorter work shows no bar.
Rule 2: a thread draws the bar five times a second from the latest amounts. Setting the amounts costs almost nothing.
Rule 3: the bar is drawn only while the process is in the foreground.

barline.py makes the text of the bar, meter.py its rate.
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
"""Seconds before a bar appears. People do not miss feedback for this long (Nielsen, "Usability Engineering", 1993). Cargo waits
half as long, git twice as long."""

_INTERVAL = 0.2
"""Seconds between two drawings. Figures that change faster are not readable."""


class Bar:
    """A progress bar. One thread updates it, another draws it.

    Args:
        name: shown before the bar; printable.
        terminal: where the bar is drawn.
        now: a clock, in seconds.

    Attributes:
        amounts: the progress. Setting it is cheap.
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
        """Restart the rate at these amounts: the bytes so far do not count towards it."""
        with self._lock:
            self.amounts = amounts
            self._meter.begin(self._now(), amounts)

    def broke(self, trouble: str, wait: float) -> None:
        """Show, until more bytes arrive, that an attempt failed and that the next one begins in `wait` seconds."""
        with self._lock:
            self._meter.note(self._now(), self.amounts)  # first, so that bytes from before the failure do not hide it
            self._meter.broke(trouble, self._now() + wait)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        with self._lock:
            self._terminal.print(line)
            self._draw()

    def draw(self) -> None:
        """Draw the bar with the latest amounts, if it is time for a bar."""
        with self._lock:
            self._draw()

    def _draw(self) -> None:
        now = self._now()
        self._meter.note(now, self.amounts)
        if now >= self._appears and not self._over.is_set():
            pace = self._meter.rate(now), self._meter.status(now)
            self._terminal.draw(bar_line(self._name, self._meter.amounts, *pace, self._terminal.columns))

    def draw_until_the_end(self) -> None:
        """Draw at intervals until `end` is called."""
        while not self._over.wait(_INTERVAL):
            self.draw()

    def end(self) -> None:
        """Erase the bar for good."""
        with self._lock:
            self._over.set()
            self._terminal.erase()


@contextmanager
def bar(name: str, terminal: Terminal) -> Iterator[Bar]:
    """Show a bar inside the `with`, once it is time."""
    shown = Bar(name, terminal)
    threading.Thread(target=shown.draw_until_the_end, daemon=True).start()
    try:
        yield shown
    finally:
        shown.end()
