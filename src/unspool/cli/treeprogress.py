"""Shows the progress of a tree: like that of a download, but with a count of files and a line for each file that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from unspool.cli.advice import with_flags
from unspool.cli.output import in_short, printable
from unspool.cli.progress import LINE_INTERVAL, say, say_trouble
from unspool.cli.terminal import Terminal, terminal
from unspool.cli.units import say_amount, say_files
from unspool.client.events import Event, FileFailed, Observer, Retrying, TreeAdvanced


@contextmanager
def tree_progress(
    name: str, *, quiet: bool, sending: bool = False, now: Callable[[], float] = time.monotonic
) -> Iterator[Observer]:
    """Show the progress of a tree, which may be an upload, inside the `with`. Yields its observer.

    Failures are shown even if `quiet`.
    """
    if quiet:
        yield _Failures()
    elif (drawable := terminal()) is not None:
        with _bar(name, drawable, sending=sending) as observer:
            yield observer
    else:
        yield _Lines(name, now, sending=sending)


def _say_failure(event: FileFailed) -> str:
    """Return the line about a file that failed. It begins with the name unless the message contains it."""
    message = with_flags(event.error.message)
    return in_short(f"unspool: {message}" if event.name in message else f"unspool: {event.name}: {message}")


class _Failures:
    """Lines for failures only."""

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        if isinstance(event, FileFailed):
            click.echo(_say_failure(event), err=True)


class _Lines(_Failures):
    """Plain lines: important events at once, the progress at intervals."""

    def __init__(self, name: str, now: Callable[[], float], *, sending: bool) -> None:
        self._name = name
        self._sending = sending
        self._now = now
        self._next = now() + LINE_INTERVAL

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        super().notify(event)
        line = say(event, sending=self._sending)
        if isinstance(event, TreeAdvanced) and self._now() >= self._next:
            amount = say_amount(event.good, event.listed_bytes if event.listed_all else None)
            where = "there" if self._sending else "here"
            line = f"{say_files(event.files, event.listed_files, listed_all=event.listed_all)}, {amount} {where}"
        if line is not None:
            self._next = self._now() + LINE_INTERVAL
            click.echo(in_short(f"{self._name}: {line}"), err=True)


@contextmanager
def _bar(name: str, drawable: Terminal, *, sending: bool) -> Iterator[Observer]:
    from unspool.cli.bar import bar  # noqa: PLC0415 - not without a terminal
    from unspool.cli.meter import Amounts, Files  # noqa: PLC0415 - as above

    with bar(printable(name), drawable) as shown:

        class OnBar:
            def notify(self, event: Event) -> None:
                match event:
                    case TreeAdvanced(files, good, kept, listed_files, listed_bytes, listed_all):
                        # Until the listing is complete, the total is not known.
                        total = listed_bytes if listed_all else None
                        shown.amounts = Amounts(good, kept, total, Files(files, listed_files, listed_all))
                        return
                    case FileFailed():
                        shown.say(_say_failure(event))
                        return
                    case Retrying(error, _, wait, _):
                        shown.broke(say_trouble(error), wait)
                if (line := say(event, sending=sending)) is not None:
                    shown.say(in_short(f"{name}: {line}"))

        yield OnBar()
