"""How a download looks while it runs: a bar on a terminal, a plain line now and then elsewhere. To standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from unspool.cli.command import printable
from unspool.cli.units import say_bytes, say_share
from unspool.events import Advanced, Event, Observer, Rechecked, Repairing, Restarting, Retrying, Silent, Started

LINE_INTERVAL = 10.0
"""Seconds between plain lines: a log should stay readable."""


@contextmanager
def progress(name: str, *, quiet: bool, now: Callable[[], float] = time.monotonic) -> Iterator[Observer]:
    """Show the progress of one download while inside; yields what is to be told about it."""
    if quiet:
        yield Silent()
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
        case Retrying(error, _, wait):
            return f"retrying in {wait:.1f} s: {error.message}"
        case Restarting(error):
            return f"beginning again from zero: {error.message}"
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
            click.echo(printable(f"{self._name}: {line}"), err=True)


@contextmanager
def _bar(name: str) -> Iterator[Observer]:
    from rich.console import Console  # noqa: PLC0415 - only needed on a terminal
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=5) as bar:
        task = bar.add_task(printable(name), total=None)

        class Bar:
            def notify(self, event: Event) -> None:
                match event:
                    case Started(_, size, resumed_from):
                        # What is here already counts for the bar, not for the rate.
                        bar.reset(task, total=size, completed=resumed_from)
                    case Advanced(good) | Rechecked(good, _):
                        bar.update(task, completed=good)
                    case _:
                        pass
                if (line := say(event)) is not None:
                    bar.console.print(printable(f"{name}: {line}"), markup=False, highlight=False, soft_wrap=True)

        yield Bar()
