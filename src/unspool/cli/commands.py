"""The group of all commands."""

from __future__ import annotations

import click

from unspool._version import __version__
from unspool.cli.exits import EXIT_CODES
from unspool.cli.program import Program

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


@click.group(cls=Program, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="unspool")
def main() -> None:
    """Stream files over gRPC, resumable and verified.

    Files are named HOST:PORT/NAME, unspool://HOST:PORT/NAME, or unix:PATH:/NAME. Run an interrupted `get` or `put` again and
    it goes on from the last good byte; the file appears at its final name when it is whole and verified, or not at all.
    """
