"""The files of a batch that the caller may not read: answered in their place, without the store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace

from unspool.core.model import BatchRequest, Piece
from unspool.errors import UnspoolError

_MOST_ERRORS = 256
"""Most refused files in one message: an error takes up to 2 KiB, so they add half a MiB at most."""


async def with_refused(
    wanted: BatchRequest,
    refused: Mapping[int, UnspoolError],
    answer: Callable[[BatchRequest], AsyncGenerator[tuple[Piece, ...], None]],
) -> AsyncGenerator[tuple[Piece, ...], None]:
    """Yield the pieces that answer a batch, those of refused files among them. All are in the order of the request.

    Args:
        wanted: the request.
        refused: the errors of the files that are refused, by their index.
        answer: answers the batch of the other files.
    """
    if not refused:
        async with aclosing(answer(wanted)) as messages:
            async for message in messages:
                yield message
                del message
        return
    allowed = [index for index in range(len(wanted.files)) if index not in refused]
    errors = [Piece(index, error=refused[index]) for index in sorted(refused)]
    if allowed:
        rest = replace(wanted, files=tuple([wanted.files[index] for index in allowed]))
        async with aclosing(answer(rest)) as messages:
            async for message in messages:
                pieces: list[Piece] = []
                added = 0
                for piece in message:
                    index = allowed[piece.index]
                    while errors and errors[0].index < index:
                        pieces.append(errors.pop(0))
                        added += 1
                        if added == _MOST_ERRORS:
                            yield tuple(pieces)
                            pieces, added = [], 0
                    pieces.append(replace(piece, index=index))
                del message, piece
                yield tuple(pieces)
                del pieces
    for first in range(0, len(errors), _MOST_ERRORS):
        yield tuple(errors[first : first + _MOST_ERRORS])
