"""unspool ls."""

from __future__ import annotations

import json as jsons
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from unspool.cli.command import command, printable
from unspool.cli.filtering import FilteringCommand, check_filters, filter_options
from unspool.cli.patience import patience_options
from unspool.core.model import FileInfo
from unspool.core.retry import RetryPolicy

if TYPE_CHECKING:
    from unspool.core.filters import Filter

_NS = 1_000_000_000


@click.command(cls=FilteringCommand)
@click.argument("url")
@click.option("--long", "-l", "long_", is_flag=True, help="Size and modification time too.")
@click.option("--recursive", "-r", is_flag=True, help="All files below, and empty directories, not just one level.")
@filter_options
@click.option("--json", is_flag=True, help="One JSON object a line.")
@command
@patience_options
async def ls(*, url: str, long_: bool, recursive: bool, filters: list[Filter], json: bool, retry: RetryPolicy) -> None:
    """List the files below URL (HOST:PORT or HOST:PORT/PREFIX), as they arrive and in no promised order."""
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.core.address import parse_address  # noqa: PLC0415
    from unspool.core.filters import Filters  # noqa: PLC0415
    from unspool.core.tree import below  # noqa: PLC0415
    from unspool.options import TransferOptions  # noqa: PLC0415

    check_filters(filters, recursive=recursive)
    chosen = Filters(filters)
    address = parse_address(url)
    async with Client(address.target, options=TransferOptions(retry=retry)) as client:
        async for page in client.list(address.name, recursive=recursive):
            files = chosen.select(page.files, below(address.name))
            prefixes = () if chosen else page.prefixes
            if json:
                lines = [jsons.dumps({"prefix": prefix}) for prefix in prefixes]
                lines += [jsons.dumps(describe(info)) for info in files]
            elif long_:
                lines = [f"{'-':>15}  {'':20}  {printable(prefix)}" for prefix in prefixes]
                lines += map(_long_line, files)
            else:
                lines = [printable(name) for name in (*prefixes, *(info.name for info in files))]
            if lines:
                click.echo("\n".join(lines))


def _long_line(info: FileInfo) -> str:
    return f"{info.size:>15}  {say_time(info.attributes.modified_ns):20}  {printable(info.name)}"


def describe(info: FileInfo) -> dict[str, object]:
    """Return a file's description for JSON."""
    return {
        "name": info.name,
        "size": info.size,
        "revision": info.revision,
        "modified": say_time(info.attributes.modified_ns) or None,
        "content_type": info.attributes.content_type,
        "executable": info.attributes.executable,
        "crc32c": info.crc32c,
    }


def say_time(nanoseconds: int | None) -> str:
    """Return a time as ISO 8601 in UTC, or nothing if it is not known."""
    if nanoseconds is None:
        return ""
    try:
        return datetime.fromtimestamp(nanoseconds // _NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # a time no calendar has
        return "?"
