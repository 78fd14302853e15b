"""unspool rm."""

from __future__ import annotations

import json as jsons
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from unspool.cli.advice import with_flags
from unspool.cli.command import command
from unspool.cli.output import in_short, printable
from unspool.cli.retryoptions import heartbeat_option, retry_options
from unspool.cli.security import security_options
from unspool.cli.transferoptions import jobs_option
from unspool.core.address import Address, parse_address
from unspool.core.names import check_name

if TYPE_CHECKING:
    from unspool.client.client import Client
    from unspool.core.retry import RetryPolicy
    from unspool.options import Security


class RmCommand(click.Command):
    """The command `rm`. It checks its URLs, and sets `url` if there is exactly one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        rest = super().parse_args(ctx, args)
        if ctx.resilient_parsing:
            return rest
        given = ctx.params
        recursive, urls = given["recursive"], given["urls"]
        try:
            if given["if_revision"] is not None and (recursive or len(urls) > 1):
                raise click.UsageError("--if-revision is for one file.")
            if given["jobs"] is not None and not recursive:
                raise click.UsageError("--jobs is for a tree (add --recursive).")
        except click.UsageError as error:
            error.ctx = ctx  # so that the message names the command
            raise
        given["url"] = urls[0] if len(urls) == 1 else None
        return rest


@click.command(cls=RmCommand)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--recursive", "-r", is_flag=True, help="All files below URL, each as it was listed.")
@click.option("--if-revision", metavar="REVISION", default=None, help="Only if the server has the file at this revision.")
@jobs_option("With -r: files at the same time (default: 8).")
@click.option("--dry-run", "-n", is_flag=True, help="Print what would be deleted, and its size; delete nothing.")
@click.option("--verbose", "-v", is_flag=True, help="With -r: name what is left out.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@click.option("--json", is_flag=True, help="Print the result as one JSON object (of several URLs: one a line).")
@command
@security_options
@heartbeat_option
@retry_options
async def rm(
    *,
    urls: Sequence[str],
    url: str | None,  # noqa: ARG001 - errors name it
    recursive: bool,
    if_revision: str | None,
    jobs: int | None,
    dry_run: bool,
    verbose: bool,
    quiet: bool,
    json: bool,
    retry: RetryPolicy,
    heartbeat_limit: float | None,
    security: Security,
) -> None:
    """Delete the file at each URL from the server.

    With --recursive: all files below URL (HOST:PORT/PREFIX), each at the revision at which it was listed; a file that changes
    meanwhile stays. Directories stay, empty. There is no question and no undo: --dry-run shows what would be deleted.
    """
    from unspool.cli.failures import error_of_some  # noqa: PLC0415 - it loads the results of trees
    from unspool.cli.jsonresults import describe_error  # noqa: PLC0415
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.errors import UnspoolError  # noqa: PLC0415
    from unspool.options import TransferOptions  # noqa: PLC0415

    options = TransferOptions(retry=retry, heartbeat_limit=heartbeat_limit, jobs=jobs)
    addresses = [_address(one, recursive=recursive) for one in urls]
    plan = None
    if dry_run:
        from unspool.cli.dryrun import Plan  # noqa: PLC0415

        plan = Plan(quiet=quiet, json=json, verbose=verbose, verb="delete", place="")
    failed: list[UnspoolError] = []
    for address in addresses:
        async with Client(address.target, options=options, **security) as client:
            try:
                if plan is not None:
                    from unspool.cli.dryrun import plan_deletion  # noqa: PLC0415

                    await plan_deletion(client, address, if_revision, plan, recursive=recursive)
                elif recursive:
                    from unspool.cli.rmtree import rm_tree  # noqa: PLC0415

                    await rm_tree(client, address, verbose=verbose, quiet=quiet, json=json)
                else:
                    await _rm(client, address, if_revision, quiet=quiet, json=json, several=len(urls) > 1)
            except UnspoolError as error:
                if len(addresses) == 1:
                    raise
                if plan is not None:
                    plan.fail(str(address), error)
                    continue
                failed.append(error)
                click.echo(in_short(f"unspool: {with_flags(error.message)}"), err=True)
                if json:
                    click.echo(jsons.dumps({"url": str(address)} | describe_error(error)))
    if failed:
        raise error_of_some(failed, len(addresses), "deleted")
    if plan is not None:
        plan.end()


def _address(url: str, *, recursive: bool) -> Address:
    """Parse a URL. Raises click.UsageError for a tree that is the whole server."""
    address = parse_address(url)
    if not recursive:
        check_name(address.name)
    elif not address.name:
        raise click.UsageError(f"{url} is all that the server has: name what is to be deleted of it.")
    return address


async def _rm(client: Client, address: Address, revision: str | None, *, quiet: bool, json: bool, several: bool) -> None:
    info = await client.delete(address.name, if_revision=revision)
    if json:
        told = {"size": None, "revision": None} if info is None else {"size": info.size, "revision": info.revision}
        click.echo(jsons.dumps(({"url": str(address)} if several else {}) | {"name": address.name} | told))
    elif not quiet:
        from unspool.cli.units import say_bytes  # noqa: PLC0415

        how = "the answer to an earlier attempt was lost" if info is None else say_bytes(info.size)
        click.echo(printable(f"{address}: deleted ({how})"), err=True)
