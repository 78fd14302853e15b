"""unspool verify."""

from __future__ import annotations

import json as jsons
from typing import TYPE_CHECKING

import click

from unspool.cli.command import command
from unspool.cli.completion import complete_paths
from unspool.cli.filtering import FilteringCommand, check_filters, filter_options
from unspool.cli.jsonresults import describe_file
from unspool.cli.mixedservers import mixed_servers
from unspool.cli.output import printable
from unspool.cli.retryoptions import heartbeat_option, retry_options
from unspool.cli.security import security_options

if TYPE_CHECKING:
    from unspool.core.filters import Filter
    from unspool.core.retry import RetryPolicy
    from unspool.options import Security


@click.command(cls=FilteringCommand)
@click.argument("url")
@click.argument("file", type=click.Path(), shell_complete=complete_paths)
@click.option("--recursive", "-r", is_flag=True, help="All files below URL, with those below the directory FILE.")
@filter_options
@click.option("--sha256", is_flag=True, help="Compare the SHA-256, too. The server reads the whole file, once per revision.")
@click.option("--verbose", "-v", is_flag=True, help="With -r: name what the server leaves out.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors: the exit code says it.")
@click.option("--json", is_flag=True, help="Print the result as one JSON object, and no progress.")
@command
@security_options
@heartbeat_option
@retry_options
async def verify(
    *,
    url: str,
    file: str,
    recursive: bool,
    filters: list[Filter],
    sha256: bool,
    verbose: bool,
    quiet: bool,
    json: bool,
    retry: RetryPolicy,
    heartbeat_limit: float | None,
    security: Security,
) -> None:
    """Compare the local FILE with the file at URL, by size and checksum of the whole.

    With --recursive: compare each file below URL with its copy below the directory FILE. Every copy is read. Files that only
    the directory has are ignored.
    """
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.core.address import parse_address  # noqa: PLC0415
    from unspool.options import TransferOptions  # noqa: PLC0415

    check_filters(filters, recursive=recursive)
    address = parse_address(url)
    with mixed_servers(quiet=quiet) as mixed:
        async with Client(
            address.target, options=TransferOptions(retry=retry, heartbeat_limit=heartbeat_limit), observers=[mixed], **security
        ) as client:
            if recursive:
                from unspool.cli.verifytree import verify_tree  # noqa: PLC0415

                await verify_tree(client, address, file, filters, sha256=sha256, verbose=verbose, quiet=quiet, json=json)
                return
            info = await client.verify(address.name, file, sha256=sha256)
    if json:
        click.echo(jsons.dumps(describe_file(info) | {"path": file}))
    elif not quiet:
        checksums = ["" if info.crc32c is None else f", crc32c {info.crc32c:08x}"]
        checksums += [] if info.sha256 is None else [f", sha256 {info.sha256.hex()}"]
        click.echo(printable(f"{file}: is {address.name} at revision {info.revision}{''.join(checksums)}"))
