"""The file of tokens: lines are added by `unspool token`, and read by servers (`unspool.core.tokens` has the format)."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from unspool.access.files import read_file
from unspool.core.tokens import Tokens, parse_tokens
from unspool.errors import LocalFileError, UnspoolError

_ONLY_OURS = 0o600
"""The mode of a new file. It has no secrets that could be used, but it lists who there is."""


def read_tokens(path: str | os.PathLike[str]) -> Tokens:
    """Return the tokens of a file.

    Raises:
        LocalFileError: it cannot be read.
        InvalidRequestError: a line of it makes no sense; the message names the line.
    """
    return parse_tokens(read_file(path), str(path))


def add_lines(path: str | os.PathLike[str], make: Callable[[Tokens], list[str]]) -> None:
    """Add lines to a file of tokens, all or none, and wait until they are on the disk. A missing file is created.

    Args:
        path: the file.
        make: returns the lines, given the tokens in the file. Nobody else adds a line between.

    Raises:
        LocalFileError: the file cannot be read or written.
        InvalidRequestError: the file makes no sense as it is, or `make` refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _ONLY_OURS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            text = read_file(path)
            lines = make(parse_tokens(text, str(path)))
            _append(descriptor, ("\n" if text and not text.endswith("\n") else "") + "".join(f"{line}\n" for line in lines))
        finally:
            os.close(descriptor)
    except UnspoolError:
        raise
    except OSError as error:
        raise LocalFileError(f"{path}: {(error.strerror or str(error)).lower()}", name=str(Path(path))) from error


def _append(descriptor: int, text: str) -> None:
    """Append a text with one write, and take back what a full disk cut off."""
    data = text.encode()
    before = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise
