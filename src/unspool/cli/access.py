"""unspool access."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import click

from unspool.cli.command import command
from unspool.cli.completion import complete_paths
from unspool.cli.output import printable
from unspool.core.access import RIGHTS
from unspool.errors import PermissionDeniedError

if TYPE_CHECKING:
    from unspool.core.access import Right

_rules_option = click.option(
    "--rules", required=True, metavar="FILE", shell_complete=complete_paths, help="The file with the server's rules."
)

_NOBODY = "@anyone"


@click.group()
def access() -> None:
    """Check the rules that say who may do what, and explain what they decide."""


@access.command()
@_rules_option
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
@command
async def check(*, rules: str, quiet: bool) -> None:
    """Check a file of rules, as a server would read it. An error names the line."""
    from unspool.access.rulesfile import read_rules  # noqa: PLC0415
    from unspool.core.counted import counted  # noqa: PLC0415

    found = read_rules(rules)
    if not quiet:
        click.echo(printable(f"{rules}: {counted(len(found), 'rule')}, and no error"))


@access.command()
@click.argument("who")
@click.argument("what", type=click.Choice(RIGHTS), metavar="WHAT")
@click.argument("name")
@_rules_option
@command
async def explain(*, who: str, what: str, name: str, rules: str) -> None:
    """Say whether WHO may do WHAT (list, read, write, delete or watch) with NAME, and which line decides. Exit code 4 if not.

    WHO is a caller as the server's log names it, or @anyone for one that shows nothing.
    """
    from unspool.access.rulesfile import read_rules  # noqa: PLC0415
    from unspool.core.access import Principal  # noqa: PLC0415
    from unspool.core.names import check_prefix  # noqa: PLC0415

    check_prefix(name)
    found = read_rules(rules)
    caller = None if who == _NOBODY else Principal((who,))
    right = cast("Right", what)
    click.echo(printable(found.explain(caller, right, name)))
    if not found(caller, right, name).allowed:
        sys.exit(PermissionDeniedError.exit_code)
