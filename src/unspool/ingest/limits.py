"""How much uploads may take of a server: the checks of `IngestOptions`, with what the client is told."""

from __future__ import annotations

import sys

from unspool.core.counted import counted
from unspool.errors import NoSpaceError, TooLargeError
from unspool.options import IngestOptions

_AHEAD = 16 << 20
"""Bytes that an upload may grow before it is looked again what its owner has: a segment, or a part."""


def check_size(name: str, size: int | None, most: int | None) -> None:
    """Raise TooLargeError if a file is larger than what is taken."""
    if size is not None and most is not None and size > most:
        said = f"{name}: has {counted(size, 'byte')}, and this server takes files of at most {most}"
        raise TooLargeError(said, name=name)


def check_count(name: str, others: int, options: IngestOptions) -> None:
    """Raise NoSpaceError if an owner with so many other unfinished uploads may not have one more."""
    if others >= options.uploads:
        said = f"{name}: {counted(others, 'unfinished upload')} of yours are kept, and no more: finish or abandon some"
        raise NoSpaceError(said, name=name)


def check_share(name: str, size: int, used: int, options: IngestOptions) -> int:
    """Return up to which size an upload may grow before this is to be asked again.

    Args:
        name: name of the file.
        size: bytes that there are of the upload, or will be.
        used: bytes of the owner's other unfinished uploads.
        options: the limits.

    Raises:
        NoSpaceError: together these are too many for one owner.
    """
    if options.bytes is None:
        return sys.maxsize
    if used + size > options.bytes:
        said = f"{name}: your unfinished uploads may have {counted(options.bytes, 'byte')}, of which {used} are used"
        raise NoSpaceError(said, name=name)
    return min(size + _AHEAD, options.bytes - used)
