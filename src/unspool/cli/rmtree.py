"""`unspool rm -r`: the deletion of a tree, and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unspool.cli.failures import check_tree
from unspool.cli.treeoutput import echo_tree
from unspool.cli.treeprogress import tree_progress
from unspool.cli.units import say_bytes
from unspool.core.counted import counted

if TYPE_CHECKING:
    from unspool.client.client import Client
    from unspool.client.writeresults import DeleteTreeResult
    from unspool.core.address import Address


async def rm_tree(client: Client, address: Address, *, verbose: bool, quiet: bool, json: bool) -> None:
    """Delete all files below a URL. Raises IncompleteTreeError if some failed; each has had its line."""
    with tree_progress(str(address), quiet=True) as observer:  # a failure is a line; there are no bytes to show
        result = await client.delete_tree(address.name, observers=[observer])
    echo_tree(result, _say(result, str(address)), verbose=verbose, quiet=quiet, json=json)
    check_tree(result, address, "deleted")


def _say(result: DeleteTreeResult, url: str) -> str:
    failed = f", {result.failed} failed" if result.failed else ""
    files = f"{counted(result.files, 'file')}, {say_bytes(result.size)}"
    return f"{url}: {files} in {result.seconds:.1f} s: {result.deleted} deleted{failed}"
