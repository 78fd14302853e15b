"""unspool cat."""

from __future__ import annotations

import click

from unspool.cli.command import command
from unspool.cli.mixedservers import mixed_servers
from unspool.cli.output import binary_output
from unspool.cli.retryoptions import heartbeat_option, retry_options
from unspool.cli.security import security_options
from unspool.cli.sizes import Size
from unspool.core.retry import RetryPolicy
from unspool.options import Security


@click.command()
@click.argument("url")
@click.option("--offset", type=Size(), default="0", help="First byte wanted.")
@click.option("--length", type=Size(), default=None, help="How many bytes; without it, to the end of the file.")
@command
@security_options
@heartbeat_option
@retry_options
async def cat(
    *, url: str, offset: int, length: int | None, retry: RetryPolicy, heartbeat_limit: float | None, security: Security
) -> None:
    """Write a span of the file at URL to standard output, every block verified."""
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.core.address import parse_address  # noqa: PLC0415
    from unspool.options import TransferOptions  # noqa: PLC0415

    address = parse_address(url)
    output = binary_output()
    options = TransferOptions(retry=retry, heartbeat_limit=heartbeat_limit)
    with mixed_servers() as mixed:
        async with (
            Client(address.target, options=options, observers=[mixed], **security) as client,
            client.open(address.name, start=offset, length=length) as reading,
        ):
            async for data in reading:
                output.write(data)
        output.flush()
