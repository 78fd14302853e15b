"""The option `--log-format` of `get` and `put`: a log of the transfer on standard error, in place of the progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

if TYPE_CHECKING:
    from unspool.client.events import Observer

F = TypeVar("F", bound=Callable[..., Any])


def log_option(body: F) -> F:
    """Add `--log-format`."""
    return click.option(
        "--log-format",
        type=click.Choice(["human", "json"]),
        default=None,
        help="Log every attempt to standard error instead of the progress.",
    )(body)


def begin_log(log_format: Literal["human", "json"] | None) -> tuple[Observer, ...]:
    """Set up the log, if there is to be one; return its observer."""
    if log_format is None:
        return ()
    from unspool.cli.logs import set_up_log  # noqa: PLC0415 - seldom wanted
    from unspool.watch.clientlog import ClientLog  # noqa: PLC0415

    set_up_log(log_format, quiet=False)
    return (ClientLog(),)
