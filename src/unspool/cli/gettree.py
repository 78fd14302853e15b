"""`unspool get -r`: the download of a tree, and its output."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from unspool.cli.failures import check_tree
from unspool.cli.treeoutput import echo_tree
from unspool.cli.treeprogress import tree_progress
from unspool.cli.units import say_tree

if TYPE_CHECKING:
    from unspool.client.treeresults import TreeResult
    from unspool.core.address import Address


def directory_for(prefix: str, dest: str | None) -> str:
    """Return the local directory for the files below a prefix. Raises click.UsageError if it cannot be told."""
    directory = dest or prefix.removesuffix("/").rpartition("/")[2]
    if directory == "-":
        raise click.UsageError("a tree cannot go to standard output: name a directory.")
    if not directory:
        raise click.UsageError("a whole server has no name to use for the directory: name the directory.")
    return directory


async def get_tree(
    fetch: Callable[..., Coroutine[Any, Any, TreeResult]],
    address: Address,
    directory: str,
    *,
    verbose: bool,
    quiet: bool,
    json: bool,
) -> None:
    """Download a tree.

    Args:
        fetch: `Client.get_tree`, with what else it takes.
        address: where its files are.
        directory: the local directory.
        verbose: name what is left out.
        quiet: print nothing but errors.
        json: print the result as one object, and no progress.

    Raises:
        IncompleteTreeError: some files failed.
    """
    with tree_progress(str(address), quiet=quiet or json) as observer:
        result = await fetch(address.name, directory, observers=[observer])
    echo_tree(result, say_tree(result), verbose=verbose, quiet=quiet, json=json)
    check_tree(result, address, "here")
