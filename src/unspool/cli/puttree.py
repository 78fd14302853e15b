"""`unspool put -r`: the upload of a tree, and its output."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from unspool.cli.failures import check_tree
from unspool.cli.treeoutput import echo_tree
from unspool.cli.treeprogress import tree_progress
from unspool.cli.units import say_put_tree
from unspool.client.writeresults import PutTreeResult
from unspool.core.address import Address


async def put_tree(
    upload: Callable[..., Coroutine[Any, Any, PutTreeResult]],
    directory: str,
    address: Address,
    *,
    verbose: bool,
    quiet: bool,
    json: bool,
) -> None:
    """Upload a tree.

    Args:
        upload: `Client.put_tree`, with what else it takes.
        directory: the local directory.
        address: where its files go.
        verbose: name what is left out.
        quiet: print nothing but errors.
        json: print the result as one object, and no progress.

    Raises:
        IncompleteTreeError: some files failed.
    """
    with tree_progress(str(address), quiet=quiet or json, sending=True) as observer:
        result = await upload(directory, address.name.removesuffix("/"), observers=[observer])
    echo_tree(result, say_put_tree(result, str(address)), verbose=verbose, quiet=quiet, json=json)
    check_tree(result, address, "there")
