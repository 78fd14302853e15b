"""The options --include and --exclude, whose order on the command line matters, and options of other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_KINDS = ("include", "exclude")


class FilteringCommand(click.Command):
    """A command with the parameter `filters`: its includes and excludes in the order of the command line.

    click returns the values of each option separately. Only its parser knows the order of the options.

    Attributes:
        habits: options that users of other programs may try, and what to write instead.
    """

    habits: ClassVar[Mapping[str, str]] = {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        given = list(args)
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in self.habits:
                raise click.UsageError(f"There is no {error.option_name}: {self.habits[error.option_name]}.", ctx) from None
            raise
        left = {kind: iter(ctx.params.pop(kind, None) or ()) for kind in _KINDS}
        _, _, order = self.make_parser(ctx).parse_args(given)
        kinds = [option.name for option in order if option.name in _KINDS]
        ctx.params["filters"] = [] if ctx.resilient_parsing else [(kind, next(left[kind])) for kind in kinds]
        return rest


def filter_options(body: F) -> F:
    """Add `--include` and `--exclude` to a `FilteringCommand`. Its body gets them as `filters`, see `unspool.core.filters`."""
    for kind, what in (("exclude", "Leave out"), ("include", "Take only")):
        body = click.option(
            f"--{kind}",
            metavar="GLOB",
            multiple=True,
            default=None,
            help=f"{what} files that match, below URL; of several --include and --exclude the first match decides.",
        )(body)
    return body


def check_filters(filters: Sequence[tuple[str, str]], *, recursive: bool) -> None:
    """Refuse filters without `--recursive`. Raises click.UsageError."""
    if filters and not recursive:
        raise click.UsageError(f"--{filters[0][0]} chooses among the files of a tree: add --recursive.")
