"""Metadata that the calls of a task send besides that of the connection, for example the context of a trace.

It belongs to a task, as context variables do: tasks that are created later inherit it.
"""

from __future__ import annotations

from contextvars import ContextVar

from unspool.options import Metadata

_along: ContextVar[Metadata] = ContextVar("unspool_metadata", default=())


def task_metadata() -> Metadata:
    """Return the metadata that calls of this task send."""
    return _along.get()


def set_task_metadata(metadata: Metadata) -> None:
    """Set the metadata that calls of this task send from now on."""
    _along.set(metadata)
