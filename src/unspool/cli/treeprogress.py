"""How a tree looks while it is fetched: as one download does, with files counted too. A file that failed is a line at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from unspool.cli.bar import bar
from unspool.cli.command import in_short, printable
from unspool.cli.progress import LINE_INTERVAL, say
from unspool.cli.units import say_bytes
from unspool.client.events import Event, FileFailed, Observer, TreeAdvanced


@contextmanager
def tree_progress(name: str, *, quiet: bool, now: Callable[[], float] = time.monotonic) -> Iterator[Observer]:
    """Show the progress of a tree while inside; yields what is to be told about it. Failures are shown even if `quiet`."""
    if quiet:
        yield _Failures()
    elif sys.stderr.isatty():
        with _bar(name) as observer:
            yield observer
    else:
        yield _Lines(name, now)


def _say_failure(event: FileFailed) -> str:
    """Return the line about a file that failed; nearly every message names it itself."""
    message = event.error.message
    return in_short(f"unspool: {message}" if event.name in message else f"unspool: {event.name}: {message}")


def _say_files(event: TreeAdvanced) -> str:
    return f"{event.files}/{event.listed_files}{'' if event.listed_all else '+'} files"


class _Failures:
    """Nothing but what failed."""

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        if isinstance(event, FileFailed):
            click.echo(_say_failure(event), err=True)


class _Lines(_Failures):
    """Plain lines: what is worth telling at once, how far it is now and then."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self._name = name
        self._now = now
        self._next = now() + LINE_INTERVAL

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        super().notify(event)
        line = say(event)
        if isinstance(event, TreeAdvanced) and self._now() >= self._next:
            line = f"{_say_files(event)}, {say_bytes(event.good)} here"
        if line is not None:
            self._next = self._now() + LINE_INTERVAL
            click.echo(in_short(f"{self._name}: {line}"), err=True)


@contextmanager
def _bar(name: str) -> Iterator[Observer]:
    with bar(printable(name), counts_files=True) as shown:

        class OnBar:
            def notify(self, event: Event) -> None:
                match event:
                    case TreeAdvanced(_, good, _, listed_bytes, listed_all):
                        # Until the listing is over, nobody knows how much of the whole this is.
                        shown.completed, shown.total = good, listed_bytes if listed_all else None
                        shown.files = _say_files(event)
                    case FileFailed():
                        shown.say(_say_failure(event))
                    case _ if (line := say(event)) is not None:
                        shown.say(in_short(f"{name}: {line}"))

        yield OnBar()
