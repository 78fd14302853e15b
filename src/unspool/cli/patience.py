"""The options `--retry-budget` and `--wait` of every command that contacts a server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

import click

from unspool.core.retry import RetryPolicy

_DEFAULTS = RetryPolicy()


def patience_options(work: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
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
        type=click.FloatRange(0),
        default=_DEFAULTS.connect_wait,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for a server that is not there yet.",
    )
    @functools.wraps(work)
    async def body(*, retry_budget: int, wait: float, **arguments: Any) -> None:
        await work(retry=RetryPolicy(budget=retry_budget, connect_wait=wait), **arguments)

    return body
