"""unspool token."""

from __future__ import annotations

import json as jsons
import time

import click

from unspool.cli.command import command
from unspool.cli.completion import complete_paths
from unspool.cli.durations import Duration
from unspool.cli.output import printable

tokens_option = click.option(
    "--tokens", required=True, metavar="FILE", shell_complete=complete_paths, help="The file that lists the server's tokens."
)


@click.group()
def token() -> None:
    """Make, list and revoke the tokens by which a server knows its callers."""


@token.command()
@click.argument("name")
@tokens_option
@click.option("--expires", type=Duration(), default=None, help="When it ends, as 90d, 12h or 30m from now (default: never).")
@command
async def new(*, name: str, tokens: str, expires: int | None) -> None:
    """Print a new token for NAME, once, and add its SHA-256 to the file.

    Only the token goes to standard output. Whoever has it is NAME to the server.
    """
    import secrets  # noqa: PLC0415

    from unspool.access.tokenfile import add_lines  # noqa: PLC0415
    from unspool.core.tokens import SECRET_BYTES, ListedToken, check_principal, digest_of, write_time, write_token  # noqa: PLC0415

    now = int(time.time())
    made = write_token(secrets.token_bytes(SECRET_BYTES))
    listed = ListedToken(check_principal(name), digest_of(made), now, None if expires is None else now + expires)
    add_lines(tokens, lambda _: [listed.line()])
    click.echo(made)
    ends = "never expires" if listed.expires is None else f"expires {write_time(listed.expires)}"
    click.echo(f"unspool: token {listed.id} of {name} {ends}; keep it safe: it is not shown again", err=True)


@token.command(name="list")
@tokens_option
@click.option("--json", is_flag=True, help="One JSON object a line.")
@command
async def list_(*, tokens: str, json: bool) -> None:
    """List the tokens of the file: id, name, state, when each was made and when it expires. None can be used to log in."""
    from unspool.access.tokenfile import read_tokens  # noqa: PLC0415
    from unspool.core.tokens import write_time  # noqa: PLC0415

    now = time.time()
    for one in read_tokens(tokens):
        state, created, expires = one.state(now), write_time(one.created), write_time(one.expires)
        if json:
            shown = {"id": one.id, "name": one.name, "state": state, "created": created}
            ends = {"expires": None if one.expires is None else expires}
            click.echo(jsons.dumps(shown | ends | {"revoked": None if one.revoked is None else write_time(one.revoked)}))
        else:
            click.echo(printable(f"{one.id}  {state:7}  {created}  {expires:20}  {one.name}"))


@token.command()
@click.argument("which")
@tokens_option
@command
async def revoke(*, which: str, tokens: str) -> None:
    """Revoke the token with the id WHICH, or all tokens of the name WHICH.

    Running servers notice within two seconds, refuse it from then on, and end the streams that were begun with it.
    """
    from unspool.access.tokenfile import add_lines, read_tokens  # noqa: PLC0415
    from unspool.core.tokens import Tokens  # noqa: PLC0415

    now = int(time.time())
    revoked: list[str] = []

    def lines(found: Tokens) -> list[str]:
        gone = found.named(which)
        revoked.extend(f"{one.id} of {one.name}" for one in gone)
        return [one.revocation(now) for one in gone]

    read_tokens(tokens)  # otherwise a mistyped file name would create a file
    add_lines(tokens, lines)
    for one in revoked:
        click.echo(printable(f"unspool: token {one} is revoked"), err=True)
