"""The span of a file that a request asks for, and the error for a store that stops before its end."""

from __future__ import annotations

from unspool.core.model import FileInfo, ReadRequest, Span
from unspool.errors import DataLossError, StartPastEndError


def stopped_short_error(info: FileInfo, position: int, stop: int) -> DataLossError:
    """Return the error for a store that returned fewer bytes than it said it holds."""
    return DataLossError(f"{info.name}: the store stopped at byte {position}, before {stop}", name=info.name, offset=position)


def span_of(wanted: ReadRequest, info: FileInfo) -> Span:
    """Return the span of the file that a request asks for, cut at the file's end.

    Raises:
        StartPastEndError: the request begins beyond the end of the file; at the end is fine.
    """
    if wanted.start > info.size:
        raise StartPastEndError(
            f"{info.name}: asked for the bytes from {wanted.start}, but the file ends at {info.size}",
            name=info.name,
            offset=wanted.start,
        )
    length = info.size - wanted.start if wanted.length is None else wanted.length
    return Span(wanted.start, min(wanted.start + length, info.size))
