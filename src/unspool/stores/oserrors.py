"""Maps OSError to the errors of `unspool.errors`."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from unspool.errors import (
    DataLossError,
    InvalidNameError,
    NotAFileError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ServerError,
    UnspoolError,
)

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENAMETOOLONG)
"""The name no longer exists, or a link is broken."""

_FULL_RETRY = 1.0
"""Seconds a client is asked to wait when no descriptor is free. Streams end and close their files all the time."""

REFUSED = (errno.EACCES, errno.EPERM)

_EXHAUSTED = (errno.EMFILE, errno.ENFILE)

_MEANINGS: dict[int, tuple[type[UnspoolError], str]] = {
    errno.ENOENT: (NotFoundError, "no such file"),
    errno.ENOTDIR: (NotFoundError, "no such file"),
    errno.ELOOP: (NotFoundError, "no such file"),
    errno.EACCES: (PermissionDeniedError, "permission denied"),
    errno.EPERM: (PermissionDeniedError, "permission denied"),
    errno.ENXIO: (NotAFileError, "is not a regular file"),
    errno.ENODEV: (NotAFileError, "is not a regular file"),
    errno.EIO: (DataLossError, "the file system failed to read it"),
}


@contextmanager
def mapped(name: str) -> Iterator[None]:
    """Turn an OSError about `name` into an error of `unspool.errors`."""
    try:
        yield
    except UnspoolError:
        raise
    except OSError as error:
        raise store_error(error, name) from error


def store_error(error: OSError, name: str) -> UnspoolError:
    """Return the error that stands for an OSError about `name`."""
    if error.errno == errno.ENAMETOOLONG:
        return InvalidNameError(f"{name[:40]!r}...: a part is longer than the file system allows", name=name)
    if error.errno in _EXHAUSTED:
        full = f"{name}: the server has too many files open: try again"
        return OverloadedError(full, name=name, retry_after=_FULL_RETRY).at("descriptors")
    kind, said = _MEANINGS.get(error.errno or 0, (ServerError, error.strerror))
    return kind(f"{name}: {said}", name=name)
