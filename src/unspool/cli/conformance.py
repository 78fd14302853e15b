"""unspool conformance."""

from __future__ import annotations

import json as jsons
from dataclasses import asdict

import click

from unspool.cli.command import command, printable


@click.command()
@click.argument("server")
@click.option("--name", default=None, help="The file to read, of at least two bytes; otherwise one is picked from the listing.")
@click.option("--json", is_flag=True, help="One JSON object a line.")
@command
async def conformance(*, server: str, name: str | None, json: bool) -> None:
    """Check that SERVER (HOST:PORT), anybody's implementation, keeps to the protocol, point by point.

    Exit code 0 if every point holds, 6 if one does not.
    """
    from unspool.core.address import parse_server  # noqa: PLC0415
    from unspool.errors import ProtocolError  # noqa: PLC0415
    from unspool.testing.conformance import check  # noqa: PLC0415

    failed = total = 0
    async for finding in check(parse_server(server), name):
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
