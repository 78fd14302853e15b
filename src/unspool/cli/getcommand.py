"""How the command line of `get` is read: its words, its filters, and what those write who are used to other programs."""

from __future__ import annotations

import click

from unspool.cli.filtering import FilteringCommand, check_filters
from unspool.cli.targets import split_words

_TO_A_FILE = "the destination is the second argument: unspool get URL FILE"
_TO_THE_NAME = "without a destination a file gets the last part of its name, here: unspool get URL"
_GOES_ON = "a download that was interrupted goes on by itself: unspool get URL"

HABITS = {
    "-o": _TO_A_FILE,
    "--output": _TO_A_FILE,
    "--out": _TO_A_FILE,
    "--output-document": _TO_A_FILE,
    "-O": f"{_TO_THE_NAME}; to name a file write: unspool get URL FILE",
    "--remote-name": _TO_THE_NAME,
    "-P": "the directory is the last argument: unspool get URL... DIRECTORY",
    "--directory-prefix": "the directory is the last argument: unspool get URL... DIRECTORY",
    "-C": _GOES_ON,
    "-c": _GOES_ON,
    "--continue": _GOES_ON,
    "--continue-at": _GOES_ON,
}
"""Options of curl, wget and aria2, and what to write here instead."""


class GetCommand(FilteringCommand):
    """The command `get`, whose body is given `urls` and `dest` for its words, and `url` if there is but one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in HABITS:
                raise click.UsageError(f"There is no {error.option_name}: {HABITS[error.option_name]}.", ctx) from None
            raise
        if ctx.resilient_parsing:
            return rest
        listed = ctx.params["listed"] is not None
        try:
            urls, dest = split_words(ctx.params.pop("words"), listed=listed)
            _check_tree(ctx, several=listed or len(urls) > 1)
        except click.UsageError as error:
            error.ctx = ctx  # which shows the usage
            raise
        ctx.params |= {"urls": urls, "dest": dest, "url": urls[0] if len(urls) == 1 and not listed else None}
        return rest


def _check_tree(ctx: click.Context, *, several: bool) -> None:
    """Refuse what makes no sense with a tree, or without one. Raises click.UsageError."""
    given = ctx.params
    check_filters(given["filters"], recursive=given["recursive"])
    if given["recursive"] and several:
        raise click.UsageError("--recursive takes one URL: run it once for each tree.")
    if given["no_record"] and given["record"] is not None:
        raise click.UsageError("--record and --no-record exclude each other.")
    if (given["no_record"] or given["record"] is not None) and not given["recursive"]:
        raise click.UsageError("only a tree has a record: add --recursive.")
