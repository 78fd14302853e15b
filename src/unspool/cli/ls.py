"""unspool ls."""

from __future__ import annotations

import json as jsons
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from unspool.cli.command import command
from unspool.cli.filtering import FilteringCommand, check_filters, filter_options
from unspool.cli.jsonresults import describe_file, describe_omission
from unspool.cli.omissions import echo_counts, echo_omission
from unspool.cli.output import printable
from unspool.cli.retryoptions import heartbeat_option, retry_options
from unspool.cli.security import security_options
from unspool.cli.units import say_bytes, say_time
from unspool.core.counted import counted
from unspool.core.model import FileInfo
from unspool.core.omissions import Omissions
from unspool.core.retry import RetryPolicy
from unspool.options import Security

if TYPE_CHECKING:
    from unspool.core.filters import Filter

MOST_SORTED = 10_000
"""Most entries collected for sorting: about 5 MiB, and more than a person reads on a terminal."""

_WIDTH = 15
"""Width of the column of sizes, enough for 999 TB in bytes."""


# -h is not help here: as in ls(1) and du(1), it means human-readable sizes.
@click.command(cls=FilteringCommand, context_settings={"help_option_names": ["--help"]})
@click.argument("url")
@click.option("--long", "-l", "long_", is_flag=True, help="Size and modification time too.")
@click.option("--human-readable", "-h", "human", is_flag=True, help="With -l: sizes with units, as 1.5 GiB.")
@click.option("--recursive", "-r", is_flag=True, help="All files below, and empty directories, not just one level.")
@filter_options
@click.option("--verbose", "-v", is_flag=True, help="Name what the server leaves out, on standard error.")
@click.option("--json", is_flag=True, help="One JSON object a line.")
@command
@security_options
@heartbeat_option
@retry_options
async def ls(
    *,
    url: str,
    long_: bool,
    human: bool,
    recursive: bool,
    filters: list[Filter],
    verbose: bool,
    json: bool,
    retry: RetryPolicy,
    heartbeat_limit: float | None,
    security: Security,
) -> None:
    """List the files below URL (HOST:PORT or HOST:PORT/PREFIX).

    On a terminal the list is sorted by name, up to 10,000 entries, and -l ends it with totals. Otherwise lines come as they
    arrive, in no promised order.
    """
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.core.address import parse_address  # noqa: PLC0415
    from unspool.core.filters import Filters  # noqa: PLC0415
    from unspool.core.tree import below  # noqa: PLC0415
    from unspool.options import TransferOptions  # noqa: PLC0415

    check_filters(filters, recursive=recursive)
    chosen = Filters(filters)
    address = parse_address(url)
    on_terminal = sys.stdout.isatty()
    lines: Lines = JsonLines() if json else TextLines(long=long_, human=human, sort=on_terminal)
    omissions = Omissions(0)
    async with Client(
        address.target, options=TransferOptions(retry=retry, heartbeat_limit=heartbeat_limit), **security
    ) as client:
        try:
            async for page in client.pages(address.name, recursive=recursive):
                lines.add(() if chosen else page.prefixes, chosen.select(page.files, below(address.name)))
                for omission in page.omitted:
                    omissions.add(omission)
                    if json:
                        click.echo(jsons.dumps({"omitted": describe_omission(omission)}))
                    if verbose:
                        echo_omission(omission)
        finally:
            lines.flush()  # also if the listing broke: print the entries that arrived
    lines.end()
    if not json:
        echo_counts(omissions, verbose=verbose)


class Lines:
    """Prints a listing."""

    def add(self, prefixes: Iterable[str], files: Iterable[FileInfo]) -> None:
        """Print the entries of a page, or keep them to print later."""
        raise NotImplementedError

    def flush(self) -> None:
        """Print the entries that were kept."""

    def end(self) -> None:
        """Print the end of a complete listing."""


class JsonLines(Lines):
    """One JSON object per line, as entries arrive."""

    def add(self, prefixes: Iterable[str], files: Iterable[FileInfo]) -> None:
        """See `Lines.add`."""
        _print([jsons.dumps({"prefix": prefix}) for prefix in prefixes] + [jsons.dumps(describe_file(info)) for info in files])


class TextLines(Lines):
    """One line per entry.

    Args:
        long: print sizes and times, too.
        human: print sizes with units.
        sort: collect and sort the entries, and with `long` print totals at the end. For terminals.
        most: the most entries to collect.
    """

    def __init__(self, *, long: bool, human: bool, sort: bool, most: int = MOST_SORTED) -> None:
        self._most = most
        self._long = long
        self._human = human
        self._totals = long and sort
        self._collected: list[tuple[str, FileInfo | None]] | None = [] if sort else None
        self._files = self._size = self._prefixes = 0

    def add(self, prefixes: Iterable[str], files: Iterable[FileInfo]) -> None:
        """See `Lines.add`."""
        entries: list[tuple[str, FileInfo | None]] = [(prefix, None) for prefix in prefixes]
        entries += [(info.name, info) for info in files]
        for _, info in entries:
            self._prefixes += info is None
            self._files += info is not None
            self._size += info.size if info is not None else 0
        if self._collected is None:
            self._print(entries)
            return
        self._collected += entries
        if len(self._collected) > self._most:
            self.flush()
            click.echo(f"unspool: more than {self._most} entries: those from here on are not sorted", err=True)

    def flush(self) -> None:
        """See `Lines.flush`."""
        if self._collected is not None:
            self._print(sorted(self._collected, key=lambda entry: entry[0]))
            self._collected = None

    def end(self) -> None:
        """See `Lines.end`."""
        if self._totals:
            prefixes = f"{counted(self._prefixes, 'prefix', 'prefixes')}, " if self._prefixes else ""
            click.echo(f"{prefixes}{counted(self._files, 'file')}, {say_bytes(self._size)}")

    def _print(self, entries: Iterable[tuple[str, FileInfo | None]]) -> None:
        _print([self._line(name, info) if self._long else printable(name) for name, info in entries])

    def _line(self, name: str, info: FileInfo | None) -> str:
        size = "-" if info is None else say_bytes(info.size) if self._human else str(info.size)
        modified = "" if info is None else say_time(info.attributes.modified_ns)
        return f"{size:>{_WIDTH}}  {modified:20}  {printable(name)}"


def _print(lines: list[str]) -> None:
    if lines:
        click.echo("\n".join(lines))
