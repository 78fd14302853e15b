"""The options that `get` and `put` have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from unspool.cli.numbers import Number
from unspool.cli.sizes import Size
from unspool.options import TransferOptions

F = TypeVar("F", bound=Callable[..., Any])

MOST_JOBS = 64
"""Most streams that a user may request. By default a server allows 100 per address."""


def jobs_option(text: str) -> Callable[[F], F]:
    """Return what adds `--jobs` to a command, with this help."""
    return click.option("--jobs", "-j", type=click.IntRange(1, MOST_JOBS), default=None, help=text)


def idle_timeout_option(work: F) -> F:
    """Add `--idle-timeout`."""
    return click.option(
        "--idle-timeout",
        type=Number(0, min_open=True),
        default=TransferOptions().idle_timeout,
        show_default=True,
        help="Seconds without any message after which an attempt counts as stalled.",
    )(work)


def limit_rate_option(work: F) -> F:
    """Add `--limit-rate`."""
    text = "Most bytes per second, in all (default: no limit)."
    return click.option("--limit-rate", type=Size(1), default=None, help=text)(work)


def json_option(work: F) -> F:
    """Add `--json`."""
    text = "Print the result as one JSON object (of several files: one a line), and no progress."
    return click.option("--json", is_flag=True, help=text)(work)


def dialect_option(work: F) -> F:
    """Add `--dialect`."""
    return click.option(
        "--dialect",
        type=click.Choice(["unspool", "demo"]),
        default="unspool",
        help="The server's protocol: unspool.v1, or the tutorial's demo.Files, which cannot be verified.",
    )(work)
