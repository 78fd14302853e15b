"""The options `--retry-budget`, `--wait` and `--heartbeat-limit` of every command that contacts a server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from unspool.cli.numbers import Number
from unspool.core.retry import RetryPolicy

_DEFAULTS = RetryPolicy()

F = TypeVar("F", bound=Callable[..., Any])


def heartbeat_option(work: F) -> F:
    """Add `--heartbeat-limit` to a command that reads."""
    return click.option(
        "--heartbeat-limit",
        type=Number(0, min_open=True),
        default=None,
        metavar="SECONDS",
        help="How long a server may say only that it is alive (default: as long as it likes).",
    )(work)


def retry_options(work: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Add the options to a command, which gets them as `retry`, a RetryPolicy."""

    @click.option(
        "--retry-budget",
        type=click.IntRange(0),
        default=_DEFAULTS.budget,
        show_default=True,
        help="Give up after this many attempts in a row without a new byte; 0 never retries.",
    )
    @click.option(
        "--wait",
        type=Number(0),
        default=_DEFAULTS.connect_wait,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for a server that is not there yet.",
    )
    @functools.wraps(work)
    async def body(*, retry_budget: int, wait: float, **arguments: Any) -> None:
        await work(retry=RetryPolicy(budget=retry_budget, connect_wait=wait), **arguments)

    return body
