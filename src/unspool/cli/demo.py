"""unspool demo."""

from __future__ import annotations

import click

from unspool.cli.command import command
from unspool.cli.sizes import Size
from unspool.options import MIB


@click.command()
@click.option("--size", type=Size(64 * MIB), default="512M", show_default=True, help="Of the big file.")
@command
async def demo(*, size: int) -> None:
    """Serve a directory, get a big file, kill the client half-way with SIGKILL, get it again: shown with real processes."""
    from unspool.cli.demonstration import show  # noqa: PLC0415

    show(size // MIB)
