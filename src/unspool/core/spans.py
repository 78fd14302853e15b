"""Which spans of a file are fetched together.

Rule 1: spans that overlap, touch or are near each other are read with one request; the bytes between them are thrown away.
Rule 2: what is fetched with one request has a limit, so that the rest is fetched beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

GAP = 64_000
"""Most bytes between two spans that are fetched and thrown away to save a request (the same as in fsspec.parquet)."""

LONGEST = 32 << 20
"""Bytes after which a request is not extended by another span (pyarrow's range_size_limit)."""


@dataclass(slots=True)
class MergedSpan:
    """The bytes from `start` up to, not including, `stop`, fetched with one request.

    Attributes:
        members: which of the spans it has, as their indexes.
    """

    start: int
    stop: int
    members: list[int] = field(default_factory=list)


def merge_spans(spans: Sequence[tuple[int, int]], gap: int = GAP, longest: int = LONGEST) -> list[MergedSpan]:
    """Return what to fetch for these spans, in the order of the file. Spans without bytes are left out."""
    merged: list[MergedSpan] = []
    for start, stop, index in sorted((start, stop, index) for index, (start, stop) in enumerate(spans) if start < stop):
        last = merged[-1] if merged else None
        if last is None or start > last.stop + gap or (stop > last.stop and stop - last.start > longest):
            last = MergedSpan(start, stop)
            merged.append(last)
        last.stop = max(last.stop, stop)
        last.members.append(index)
    return merged


def resolve(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    """Return a span as Python's slices mean it: negative numbers count from the end of the file, None is its start or end."""
    first, last, _ = slice(start, end).indices(size)
    return first, max(first, last)
