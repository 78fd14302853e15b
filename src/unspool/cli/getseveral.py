"""`unspool get` of several files: the downloads, the output, and the exit code."""

from __future__ import annotations

import dataclasses
import json as jsons
from collections.abc import Callable, Sequence

import click

from unspool.cli.failures import error_of_some
from unspool.cli.jsonresults import describe_error
from unspool.cli.output import printable
from unspool.cli.targets import Target
from unspool.cli.treeprogress import tree_progress
from unspool.cli.units import say_tree
from unspool.client.client import Client
from unspool.client.getmany import get_many
from unspool.client.results import Result
from unspool.core.address import Address
from unspool.core.counted import counted
from unspool.errors import UnspoolError
from unspool.options import TransferOptions


async def get_several(
    targets: Sequence[Target],
    directory: str,
    connect: Callable[[str], Client],
    options: TransferOptions,
    *,
    quiet: bool,
    json: bool,
) -> None:
    """Download files into a directory.

    Args:
        targets: the files.
        directory: their directory, for the last line of output.
        connect: creates a client for a server.
        options: of each download.
        quiet: print nothing but errors.
        json: print an object for each file when it ends, and no progress.

    Raises:
        IncompleteTreeError: some files failed, or all failed with different exit codes.
        UnspoolError: all files failed with the same exit code. The error is of the class of the first failure.
    """
    failed: list[UnspoolError] = []

    def ended(address: Address, outcome: Result | UnspoolError) -> None:
        if isinstance(outcome, UnspoolError):
            failed.append(outcome)
        if json:
            click.echo(jsons.dumps({"url": str(address)} | _describe(outcome)))

    with tree_progress(counted(len(targets), "file"), quiet=quiet or json) as observer:
        files = [(target.address, target.path) for target in targets]
        result = await get_many(files, connect, options, observer, ended)
    if not quiet and not json:
        click.echo(printable(say_tree(dataclasses.replace(result, path=directory))), err=True)
    if failed:
        raise error_of_some(failed, len(targets), "here")


def _describe(outcome: Result | UnspoolError) -> dict[str, object]:
    return describe_error(outcome) if isinstance(outcome, UnspoolError) else dataclasses.asdict(outcome)
