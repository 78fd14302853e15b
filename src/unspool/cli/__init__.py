"""The command line. No other room reads the environment or prints.

Commands import heavy modules only when they run, so that `--help` and `--version` are quick.
"""

from __future__ import annotations

import click

from unspool._version import __version__
from unspool.cli.access import access
from unspool.cli.cat import cat
from unspool.cli.completion import completion
from unspool.cli.conformance import conformance
from unspool.cli.demo import demo
from unspool.cli.exits import EXIT_CODES
from unspool.cli.get import get
from unspool.cli.ls import ls
from unspool.cli.program import Program
from unspool.cli.put import put
from unspool.cli.serve import serve
from unspool.cli.stat import stat
from unspool.cli.token import token
from unspool.cli.top import top
from unspool.cli.verify import verify

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


@click.group(cls=Program, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="unspool")
def main() -> None:
    """Stream files over gRPC, resumable and verified.

    Files are named HOST:PORT/NAME, unspool://HOST:PORT/NAME, or unix:PATH:/NAME. Run an interrupted `get` or `put` again and
    it goes on from the last good byte; the file appears at its final name when it is whole and verified, or not at all.
    """


for _command in (serve, get, put, ls, stat, cat, verify, token, access, top, conformance, demo, completion):
    main.add_command(_command)
