"""`unspool put -r`: the upload of a tree, and its output."""

from __future__ import annotations

import dataclasses
import json as jsons
from collections.abc import Callable, Coroutine
from typing import Any

import click

from unspool.cli.command import printable
from unspool.cli.omissions import describe_omission, echo_omissions
from unspool.cli.treeprogress import describe_failure, tree_progress
from unspool.cli.units import say_put_tree
from unspool.client.results import PutTreeResult
from unspool.core.address import Address
from unspool.core.counted import counted
from unspool.errors import IncompleteTreeError


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
    with tree_progress(str(address), quiet=quiet or json) as observer:
        result = await upload(directory, address.name.removesuffix("/"), observers=[observer])
    if json:
        failures = [describe_failure(failure) for failure in result.failures]
        # Not asdict, which would copy the errors deeply.
        fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        omitted = [describe_omission(omission) for omission in result.omitted]
        click.echo(jsons.dumps(fields | {"failures": failures, "omitted": omitted}))
    elif not quiet:
        click.echo(printable(say_put_tree(result, str(address))), err=True)
        echo_omissions(result.omitted, verbose=verbose)
    if result.failed:
        raise IncompleteTreeError(f"{address}: {result.failed} of {counted(result.files, 'file')} failed; the others are there")
