"""What is printed of the result of a tree, whichever command worked on it."""

from __future__ import annotations

import json as jsons
from typing import TYPE_CHECKING

import click

from unspool.cli.jsonresults import describe_tree
from unspool.cli.omissions import echo_omissions
from unspool.cli.output import printable

if TYPE_CHECKING:
    from unspool.client.treeresults import TreeResult, TreeVerification
    from unspool.client.writeresults import DeleteTreeResult, PutTreeResult


def echo_tree(
    result: TreeResult | PutTreeResult | DeleteTreeResult | TreeVerification,
    said: str,
    *,
    verbose: bool,
    quiet: bool,
    json: bool,
    err: bool = True,
) -> None:
    """Print the result of a tree.

    Args:
        result: the result.
        said: the same, for people.
        verbose: name what is left out.
        quiet: print nothing.
        json: print one object instead.
        err: whether what is for people goes to standard error.
    """
    if json:
        click.echo(jsons.dumps(describe_tree(result)))
    elif not quiet:
        click.echo(printable(said), err=err)
        echo_omissions(result.omitted, verbose=verbose)
