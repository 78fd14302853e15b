"""Metadata that is sent along with the calls of a task, besides those of its connection: what a trace needs, for example.

It is kept for each task, as context variables are: tasks that are made later inherit it.
"""

from __future__ import annotations

from contextvars import ContextVar

from unspool.options import Metadata

_along: ContextVar[Metadata] = ContextVar("unspool_metadata", default=())


def sent_along() -> Metadata:
    """Return the metadata that calls of this task send."""
    return _along.get()


def send_along(metadata: Metadata) -> None:
    """Send this with the calls that this task makes from now on, in place of what was set before."""
    _along.set(metadata)
