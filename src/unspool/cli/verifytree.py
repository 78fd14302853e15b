"""`unspool verify -r`: prints what a directory lacks, and where it differs from the server's files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from unspool.cli.treeoutput import echo_tree
from unspool.cli.treeprogress import tree_progress
from unspool.cli.units import say_bytes
from unspool.core.counted import counted
from unspool.errors import VerificationError

if TYPE_CHECKING:
    from unspool.client.client import Client
    from unspool.client.treeresults import TreeVerification
    from unspool.core.address import Address
    from unspool.core.filters import Filter


async def verify_tree(
    client: Client,
    address: Address,
    directory: str,
    filters: list[Filter],
    *,
    sha256: bool,
    verbose: bool,
    quiet: bool,
    json: bool,
) -> None:
    """Compare a directory with the files below a URL. Exits with the code of VerificationError if any file differs."""
    with tree_progress(str(address), quiet=quiet or json) as observer:
        result = await client.verify_tree(address.name, directory, filters=filters, sha256=sha256, observers=[observer])
    echo_tree(result, _say(result, address), verbose=verbose, quiet=quiet, json=json, err=False)
    if result.failed:
        sys.exit(VerificationError.exit_code)  # each file has had its line, and the result its totals


def _say(result: TreeVerification, address: Address) -> str:
    files = counted(result.files, "file")
    how = f"{result.same} as on the server" + (f", {result.failed} not" if result.failed else "")
    if result.left_out:
        how += f", {result.left_out} left out (records of trees)"
    return f"{result.path}: {files}, {say_bytes(result.size)} below {address} in {result.seconds:.1f} s: {how}"
