"""unspool verify."""

from __future__ import annotations

import click

from unspool.cli.command import command, printable
from unspool.cli.patience import patience_options
from unspool.core.retry import RetryPolicy


@click.command()
@click.argument("url")
@click.argument("file", type=click.Path())
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors: the exit code says it.")
@click.option("--sha256", is_flag=True, help="Compare the SHA-256, too. The server reads the whole file, once per revision.")
@command
@patience_options
async def verify(*, url: str, file: str, quiet: bool, sha256: bool, retry: RetryPolicy) -> None:
    """Compare the local FILE with the file at URL, by size and checksum of the whole."""
    from unspool.client.client import Client  # noqa: PLC0415
    from unspool.core.address import parse_address  # noqa: PLC0415
    from unspool.options import TransferOptions  # noqa: PLC0415

    address = parse_address(url)
    async with Client(address.target, options=TransferOptions(retry=retry)) as client:
        info = await client.verify(address.name, file, sha256=sha256)
    if not quiet:
        checksums = ["" if info.crc32c is None else f", crc32c {info.crc32c:08x}"]
        checksums += [] if info.sha256 is None else [f", sha256 {info.sha256.hex()}"]
        click.echo(printable(f"{file}: is {address.name} at revision {info.revision}{''.join(checksums)}"))
