"""Checks of the paths that a caller passes."""

from __future__ import annotations

import asyncio
import os
from os import PathLike
from pathlib import Path

from unspool.core.abridged import abridged
from unspool.errors import InvalidRequestError, LocalFileError


def local_path(path: str | PathLike[str]) -> Path:
    """Return a path argument as a Path. Raises InvalidRequestError if it is not a path."""
    try:
        return Path(path)
    except TypeError as error:
        raise InvalidRequestError(f"{abridged(repr(path))} is not a path: give a string or a pathlib.Path") from error


async def file_path(destination: str | PathLike[str], name: str) -> Path:
    """Return where the file `name` goes: to the destination, or, if that is a directory, to the last part of the name in it.

    Raises:
        InvalidRequestError: the destination is not a path.
        LocalFileError: it ends in `/`, and there is no such directory.
    """
    path = local_path(destination)
    if await asyncio.to_thread(os.path.isdir, path):  # unlike Path.is_dir, this raises nothing
        return path / name.rpartition("/")[2]
    if str(destination).endswith("/"):
        raise LocalFileError(f"{destination}: no such directory; create it, or remove the / at the end", name=name)
    return path
