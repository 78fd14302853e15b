"""Shows the progress of a download on standard error: a bar on a terminal, otherwise plain lines at intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from unspool.cli.advice import with_flags
from unspool.cli.output import in_short, printable
from unspool.cli.terminal import Terminal, terminal
from unspool.cli.units import say_bytes, say_share
from unspool.client.events import Advanced, Event, Observer, Observers, Rechecked, Repairing, Restarting, Retrying, Started
from unspool.errors import FileChangedError, OverloadedError, StalledError, UnreachableError, UnspoolError

LINE_INTERVAL = 10.0
"""Seconds between plain lines, so that a log stays readable."""


@contextmanager
def progress(name: str, *, quiet: bool, sending: bool = False, now: Callable[[], float] = time.monotonic) -> Iterator[Observer]:
    """Show the progress of one download, or upload, inside the `with`. Yields its observer."""
    if quiet:
        yield Observers()
    elif (drawable := terminal()) is not None:
        with _bar(name, drawable, sending=sending) as observer:
            yield observer
    else:
        yield _Lines(name, now, sending=sending)


def say(event: Event, *, sending: bool = False) -> str | None:
    """Return the line for an event; None if the event has no line. `sending` is whether it is an upload."""
    if sending and (said := _say_sending(event)) is not None:
        return said
    match event:
        case Started(_, size, resumed_from) if resumed_from and resumed_from != size:
            return f"resumed at {say_share(resumed_from, size)}"
        case Retrying(error, _, wait, _):
            how = f"retrying in {wait:.1f} s" if wait else "going on at another server"
            return f"{how}: {with_flags(error.message)}"
        case Restarting(error, wait, _):
            return f"beginning again from zero{f' in {wait:.1f} s' if wait else ''}: {with_flags(error.message)}"
        case Repairing(bad):
            return f"{say_bytes(bad)} were damaged here, fetching them again"
        case _:
            return None


def _say_sending(event: Event) -> str | None:
    """Return the line for an event that means something else in an upload."""
    match event:
        case Restarting(error):
            return f"what the server has is not used: {with_flags(error.message)}"
        case Repairing(bad):
            return f"{say_bytes(bad)} were damaged at the server, sending them again"
        case _:
            return None


class _Lines:
    """Plain lines: important events at once, the progress at intervals."""

    def __init__(self, name: str, now: Callable[[], float], *, sending: bool) -> None:
        self._name = name
        self._sending = sending
        self._now = now
        self._size: int | None = None
        self._next = now() + LINE_INTERVAL

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        if isinstance(event, Started):
            self._size = event.size
        line = say(event, sending=self._sending)
        if line is None and isinstance(event, Advanced | Rechecked) and self._now() >= self._next:
            verb = "checked again" if isinstance(event, Rechecked) else "sent" if self._sending else "here"
            line = f"{say_bytes(event.good)} {verb}" + (f" ({say_share(event.good, self._size)})" if self._size else "")
        if line is not None:
            self._next = self._now() + LINE_INTERVAL
            click.echo(in_short(f"{self._name}: {line}"), err=True)


def say_trouble(error: UnspoolError) -> str:
    """Return one or two words about a failed attempt, for the bar. The line above the bar has the full message."""
    match error:
        case UnreachableError():
            return "server gone"
        case StalledError():
            return "no answer"
        case OverloadedError():
            return "server busy"
        case FileChangedError():
            return "file changed"
        case _:
            return ""


@contextmanager
def _bar(name: str, drawable: Terminal, *, sending: bool) -> Iterator[Observer]:
    from unspool.cli.bar import bar  # noqa: PLC0415 - not without a terminal
    from unspool.cli.meter import Amounts  # noqa: PLC0415 - as above

    with bar(printable(name), drawable) as shown:
        total: int | None = None
        resumed = 0

        class OnBar:
            def notify(self, event: Event) -> None:
                nonlocal total, resumed
                match event:
                    case Advanced(good):
                        shown.amounts = Amounts(good, resumed, total)
                        return
                    case Rechecked(good, _):
                        shown.amounts = Amounts(good, good, total, checking=True)
                        return
                    case Started(_, size, resumed_from):
                        total, resumed = size, resumed_from
                        shown.begin(Amounts(resumed, resumed, total))
                    case Retrying(error, _, wait, _) | Restarting(error, wait, _):
                        shown.broke(say_trouble(error), wait)
                if (line := say(event, sending=sending)) is not None:
                    shown.say(in_short(f"{name}: {line}"))

        yield OnBar()
