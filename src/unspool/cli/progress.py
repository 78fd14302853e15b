"""How a download looks while it runs: a bar on a terminal, a plain line now and then elsewhere. To standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from unspool.cli.bar import bar
from unspool.cli.command import in_short, printable
from unspool.cli.units import say_bytes, say_share
from unspool.client.events import Advanced, Event, Observer, Observers, Rechecked, Repairing, Restarting, Retrying, Started

LINE_INTERVAL = 10.0
"""Seconds between plain lines: a log should stay readable."""


@contextmanager
def progress(name: str, *, quiet: bool, now: Callable[[], float] = time.monotonic) -> Iterator[Observer]:
    """Show the progress of one download while inside; yields what is to be told about it."""
    if quiet:
        yield Observers()
    elif sys.stderr.isatty():
        with _bar(name) as observer:
            yield observer
    else:
        yield _Lines(name, now)


def say(event: Event) -> str | None:
    """Return what is worth a line of its own."""
    match event:
        case Started(_, size, resumed_from) if resumed_from:
            return f"resumed at {say_share(resumed_from, size)}"
        case Retrying(error, _, wait, _):
            return f"retrying in {wait:.1f} s: {error.message}"
        case Restarting(error, wait, _):
            return f"beginning again from zero{f' in {wait:.1f} s' if wait else ''}: {error.message}"
        case Repairing(bad):
            return f"{say_bytes(bad)} were damaged here, fetching them again"
        case _:
            return None


class _Lines:
    """Plain lines: what is worth telling at once, how far it is now and then."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self._name = name
        self._now = now
        self._size: int | None = None
        self._next = now() + LINE_INTERVAL

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        if isinstance(event, Started):
            self._size = event.size
        line = say(event)
        if line is None and isinstance(event, Advanced | Rechecked) and self._now() >= self._next:
            verb = "checked again" if isinstance(event, Rechecked) else "here"
            line = f"{say_bytes(event.good)} {verb}" + (f" ({say_share(event.good, self._size)})" if self._size else "")
        if line is not None:
            self._next = self._now() + LINE_INTERVAL
            click.echo(in_short(f"{self._name}: {line}"), err=True)


@contextmanager
def _bar(name: str) -> Iterator[Observer]:
    with bar(printable(name)) as shown:

        class OnBar:
            def notify(self, event: Event) -> None:
                match event:
                    case Advanced(good) | Rechecked(good, _):
                        shown.completed = good
                        return
                    case Started(_, size, resumed_from):
                        shown.begin(size, resumed_from)
                if (line := say(event)) is not None:
                    shown.say(in_short(f"{name}: {line}"))

        yield OnBar()
