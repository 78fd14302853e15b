"""unspool stat."""

from __future__ import annotations

import json as jsons

import click

from unspool.cli.command import command
from unspool.cli.jsonresults import describe_file
from unspool.cli.output import printable
from unspool.cli.retryoptions import heartbeat_option, retry_options
from unspool.cli.security import security_options
from unspool.core.retry import RetryPolicy
from unspool.options import Security


@click.command()
@click.argument("url")
@click.option("--json", is_flag=True, help="Print one JSON object.")
@click.option("--sha256", is_flag=True, help="Ask for the SHA-256, too. The server reads the whole file, once per revision.")
@command
@security_options
@heartbeat_option
@retry_options
async def stat(
    *, url: str, json: bool, sha256: bool, retry: RetryPolicy, heartbeat_limit: float | None, security: Security
) -> None:
    """Say what the file at URL is now: size, revision, modification time, checksum if the server knows it."""
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.core.address import parse_address  # noqa: PLC0415
    from unspool.options import TransferOptions  # noqa: PLC0415

    address = parse_address(url)
    async with Client(
        address.target, options=TransferOptions(retry=retry, heartbeat_limit=heartbeat_limit), **security
    ) as client:
        info = await client.stat(address.name, sha256=sha256)
    description = describe_file(info)
    if json:
        click.echo(jsons.dumps(description))
    else:
        for key, value in description.items():
            click.echo(f"{key:13} {printable(_shown(key, value))}")


def _shown(key: str, value: object) -> str:
    if value in (None, ""):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:08x}" if key == "crc32c" else str(value)
