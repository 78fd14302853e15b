"""unspool demo."""

from __future__ import annotations

import click

from unspool.cli.command import command


@click.command()
@click.option("--size", type=click.IntRange(64), default=512, show_default=True, help="MiB of the big file.")
@command
async def demo(*, size: int) -> None:
    """Serve a directory, get a big file, kill the client half-way with SIGKILL, get it again: shown with real processes."""
    from unspool.cli.mainjob import show  # noqa: PLC0415

    show(size)
