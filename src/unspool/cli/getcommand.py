"""Parses the command line of `get`: its words, its filters, and the options of a tree."""

from __future__ import annotations

import click

from unspool.cli.filtering import FilteringCommand, check_filters
from unspool.cli.targets import split_words

_TO_A_FILE = "the destination is the second argument: unspool get URL FILE"
_TO_THE_NAME = "without a destination a file gets the last part of its name, here: unspool get URL"
_GOES_ON = "get always resumes an interrupted download: unspool get URL"

_HABITS = {
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
    "--delete": "get -r deletes nothing; `unspool verify -r URL DIR` tells what differs from the server",
}
"""Options of curl, wget, aria2 and rsync, and what to write instead."""


class GetCommand(FilteringCommand):
    """The command `get`. It replaces `words` by `urls` and `dest`, and sets `url` if there is exactly one."""

    habits = _HABITS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        rest = super().parse_args(ctx, args)
        if ctx.resilient_parsing:
            return rest
        listed = ctx.params["listed"] is not None
        try:
            urls, dest = split_words(ctx.params.pop("words"), listed=listed)
            _check_tree(ctx, several=listed or len(urls) > 1)
        except click.UsageError as error:
            error.ctx = ctx  # so that the message names the command
            raise
        ctx.params |= {"urls": urls, "dest": dest, "url": urls[0] if len(urls) == 1 and not listed else None}
        return rest


def _check_tree(ctx: click.Context, *, several: bool) -> None:
    """Refuse options that do not fit `--recursive`, or need it. Raises click.UsageError."""
    given = ctx.params
    check_filters(given["filters"], recursive=given["recursive"])
    if given["recursive"] and several:
        raise click.UsageError("--recursive takes one URL: run it once for each tree.")
    if given["no_record"] and given["record"] is not None:
        raise click.UsageError("--record and --no-record exclude each other.")
    if (given["no_record"] or given["record"] is not None) and not given["recursive"]:
        raise click.UsageError("only a tree has a record: add --recursive.")
    if given["checksum"] and not given["recursive"]:
        raise click.UsageError("--checksum is for a tree (add --recursive); a single file is always compared.")
