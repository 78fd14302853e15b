"""The warning about servers that do not have the same revisions, by every command that reads from several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from unspool.cli.output import printable

if TYPE_CHECKING:
    from unspool.client.events import Event


class Mixed:
    """An observer that notes which servers did not have a revision that another one has."""

    def __init__(self) -> None:
        self._name = ""
        self._servers: set[str] = set()

    def notify(self, event: Event) -> None:
        """Take an event."""
        from unspool.client.events import TransferEnded  # noqa: PLC0415 - whoever has events has imported it

        if isinstance(event, TransferEnded) and event.without:
            self._name = self._name or event.name
            self._servers.update(event.without)

    def warning(self) -> str:
        """Return the line; "" if all agreed, as far as they were asked."""
        if not self._servers:
            return ""
        return (
            f"unspool: warning: {self._name}: not the same revision at {', '.join(sorted(self._servers))}, which is ahead "
            "of the others or behind them; copies of a directory agree with serve --revision content"
        )


@contextmanager
def mixed_servers(*, quiet: bool = False) -> Iterator[Mixed]:
    """Give an observer for the clients of a command, and print the warning when the command ends, however it does."""
    mixed = Mixed()
    try:
        yield mixed
    finally:
        if not quiet and (said := mixed.warning()):
            click.echo(printable(said), err=True)
