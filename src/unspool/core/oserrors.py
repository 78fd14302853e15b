"""Errors of the operating system, in words and as an error of ours."""

from __future__ import annotations

from unspool.errors import LocalFileError


def reason_of(error: OSError) -> str:
    """Return what the operating system says, for the end of a message: `permission denied`."""
    return (error.strerror or str(error)).lower()


def local_file_error(message: str, error: OSError, *, name: str | None = None, offset: int | None = None) -> LocalFileError:
    """Return the error for what the local file system refused, with its `errno`. See `UnspoolError` for the arguments."""
    refused = LocalFileError(message, name=name, offset=offset)
    refused.errno = error.errno
    return refused
