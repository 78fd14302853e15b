"""Parses the command line of `put`: its files, its URL, and what each file is called at the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from unspool.cli.filtering import FilteringCommand, check_filters
from unspool.core.address import SCHEME, Address, is_server, is_url, parse_address
from unspool.core.names import check_name

STANDARD_INPUT = "-"

_GOES_ON = "put always goes on with an interrupted upload: unspool put FILE URL"
_FILE_FIRST = "the file is the first argument: unspool put FILE URL"

_HABITS = {
    "-T": _FILE_FIRST,
    "--upload-file": _FILE_FIRST,
    "-C": _GOES_ON,
    "-c": _GOES_ON,
    "--continue-at": _GOES_ON,
    "-a": "put -r keeps times and executable bits anyway: unspool put -r DIRECTORY URL",
    "--archive": "put -r keeps times and executable bits anyway: unspool put -r DIRECTORY URL",
    "--delete": "put -r deletes nothing at the server; unspool rm URL... does",
}
"""Options of curl and rsync, and what to write instead."""


class PutCommand(FilteringCommand):
    """The command `put`. It replaces `words` by `sources` and `url`."""

    habits = _HABITS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        rest = super().parse_args(ctx, args)
        if ctx.resilient_parsing:
            return rest
        words = list(ctx.params.pop("words"))
        try:
            if len(words) < 2:  # noqa: PLR2004 - a file and a URL
                raise click.UsageError(f"Missing argument '{'URL' if words else 'FILE'}': unspool put FILE... URL.")
            url = words.pop()
            if not is_url(url) and not is_server(url.removesuffix("/")):
                raise click.UsageError(
                    f"{url!r} is not a URL, which comes last and has a port or a scheme, as in {SCHEME}{url or 'HOST/NAME'}."
                )
            _check(ctx.params, words)
        except click.UsageError as error:
            error.ctx = ctx  # so that the message names the command
            raise
        ctx.params |= {"sources": words, "url": url}
        return rest


def _check(given: dict[str, object], sources: list[str]) -> None:
    """Refuse options that exclude each other, or do not fit `--recursive`. Raises click.UsageError."""
    recursive = bool(given["recursive"])
    check_filters(given["filters"], recursive=recursive)  # type: ignore[arg-type]  # FilteringCommand made it
    if given["if_absent"] and given["if_revision"] is not None:
        raise click.UsageError("--if-absent and --if-revision exclude each other.")
    if given["if_revision"] is not None and (recursive or len(sources) > 1):
        raise click.UsageError("--if-revision is for one file.")
    if recursive and len(sources) > 1:
        raise click.UsageError("--recursive takes one directory: run it once for each.")
    if recursive and STANDARD_INPUT in sources:
        raise click.UsageError("--recursive takes a directory, and standard input is none.")
    if given["jobs"] is not None and not recursive:
        raise click.UsageError("--jobs is for a tree (add --recursive); several files are uploaded one after another.")
    if given["checksum"] and not recursive:
        raise click.UsageError("--checksum is for a tree (add --recursive); a single file is always compared.")
    if len(sources) > 1 and STANDARD_INPUT in sources:
        raise click.UsageError("standard input is uploaded alone: unspool put - URL.")


@dataclass(frozen=True, slots=True)
class Source:
    """A local file, and where it is uploaded to. `path` is `-` for standard input."""

    path: str
    address: Address


def placed(sources: list[str], url: str) -> list[Source]:
    """Return the files with their addresses. A URL that names a server, or ends in `/`, is a directory.

    Raises:
        click.UsageError: several files need a directory, or two of them would get the same name.
        InvalidRequestError: the URL, or a name, is invalid.
    """
    address = parse_address(url)
    if address.name and not address.name.endswith("/"):
        if len(sources) > 1:
            raise click.UsageError(f"several files need a directory: write {address}/")
        check_name(address.name)
        return [Source(sources[0], address)]
    found: dict[str, Source] = {}
    for path in sources:
        base = Path(path).name
        if path == STANDARD_INPUT or not base or base == "..":
            what = "standard input" if path == STANDARD_INPUT else repr(path)
            raise click.UsageError(f"{what} has no name: write {address}NAME.")
        name = address.name + base
        check_name(name)
        if name in found:
            raise click.UsageError(f"{found[name].path} and {path} would both be {found[name].address}.")
        found[name] = Source(path, Address(address.target, name))
    return list(found.values())
