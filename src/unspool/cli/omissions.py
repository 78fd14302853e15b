"""The names that a listing omits, printed for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click

from unspool.cli.output import in_short
from unspool.core.model import Omission
from unspool.core.omissions import Omissions

_WORDS = {
    "LINK_OUTSIDE": ("link that leads outside", "links that lead outside"),
    "LINK_NOWHERE": ("link that leads nowhere", "links that lead nowhere"),
    "LINK_TO_DIRECTORY": ("link to a directory", "links to directories"),
    "SPECIAL": ("special file", "special files"),
    "NAME": ("name that cannot be asked for", "names that cannot be asked for"),
    "RESERVED": ("file of unspool's own", "files of unspool's own"),
    "REFUSED": ("directory that the server may not read", "directories that the server may not read"),
    "HIDDEN": ("dotfile, which the server does not take", "dotfiles, which the server does not take"),
    "OTHER": ("for another reason", "for other reasons"),
}


def say_counts(counts: Mapping[str, int], *, hint: bool) -> str:
    """Return the line with the number of names left out, and the reasons."""
    total = sum(counts.values())
    reasons = ", ".join(_counted(count, reason) for reason, count in counts.items())
    how = " (-v names them)" if hint else ""
    return f"{total} {'name was' if total == 1 else 'names were'} left out: {reasons}{how}"


def echo_omissions(omitted: Iterable[Omission], *, verbose: bool) -> None:
    """Print to standard error the number of names left out, and with `verbose` each name."""
    omissions = Omissions(0)
    for omission in omitted:
        omissions.add(omission)
        if verbose:
            echo_omission(omission)
    echo_counts(omissions, verbose=verbose)


def echo_omission(omission: Omission) -> None:
    """Print to standard error a name that was left out, if it is known."""
    if omission.name:
        click.echo(in_short(f"left out: {omission.name} ({_WORDS.get(omission.reason, _WORDS['OTHER'])[0]})"), err=True)


def echo_counts(omissions: Omissions, *, verbose: bool) -> None:
    """Print to standard error the number of names left out, unless it is zero."""
    if omissions:
        click.echo(say_counts(omissions.counts, hint=not verbose), err=True)


def _counted(count: int, reason: str) -> str:
    return f"{count} {_WORDS[reason][count != 1]}"
