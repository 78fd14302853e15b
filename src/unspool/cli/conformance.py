"""unspool conformance."""

from __future__ import annotations

import json as jsons
from dataclasses import asdict

import click

from unspool.cli.command import command
from unspool.cli.output import printable
from unspool.cli.retryoptions import retry_options
from unspool.cli.security import security_options
from unspool.core.retry import RetryPolicy
from unspool.options import Security


@click.command()
@click.argument("server")
@click.option("--name", default=None, help="The file to read, of at least two bytes; otherwise one is picked from the listing.")
@click.option("--write", metavar="PREFIX", default=None, help="Check writing, too, with files below PREFIX, which are removed.")
@click.option("--json", is_flag=True, help="One JSON object a line.")
@command
@security_options
@retry_options
async def conformance(
    *, server: str, name: str | None, write: str | None, json: bool, retry: RetryPolicy, security: Security
) -> None:
    """Check, point by point, that SERVER (HOST:PORT), any implementation, follows the protocol.

    Reading is checked, and with --write also uploads and deletions: the server must take files, and the caller may write
    and delete below PREFIX. Exit code 0 if every point holds, 6 if one does not.
    """
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.core.address import parse_server, servers_of  # noqa: PLC0415
    from unspool.core.names import check_prefix  # noqa: PLC0415
    from unspool.errors import ProtocolError, TransferError, UnauthenticatedError, UnspoolError  # noqa: PLC0415
    from unspool.options import TransferOptions  # noqa: PLC0415
    from unspool.testing.conformance import check  # noqa: PLC0415

    if write:
        check_prefix(write)
    target = parse_server(server)
    if len(servers_of(target)) > 1:
        raise click.UsageError(f"{server} names several servers: check one after the other.")
    async with Client(target, options=TransferOptions(retry=retry), **security) as client:
        try:
            await client.stat(name or "any")
        except (TransferError, UnauthenticatedError):
            raise  # no server to check
        except UnspoolError:
            pass  # the server answered: any answer will do
    failed = total = 0
    async for finding in check(target, name, write=write, **security):
        total += 1
        failed += finding.outcome == "fail"
        if json:
            click.echo(jsons.dumps(asdict(finding)))
        else:
            detail = f"\n      {finding.detail}" if finding.detail else ""
            click.echo(
                printable(f"{finding.outcome}  {finding.point}: {finding.promise}") + (detail and "\n" + printable(detail[1:]))
            )
    if failed:
        raise ProtocolError(f"{server}: {failed} of {total} points do not hold")
    if not json:
        click.echo(f"all {total} points hold")
