"""The operating system's errors, as ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from unspool.errors import (
    DataLossError,
    InvalidNameError,
    NotAFileError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    UnspoolError,
)

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENAMETOOLONG)
"""There is nothing by that name any more, or a link leads nowhere."""

REFUSED = (errno.EACCES, errno.EPERM)


@contextmanager
def mapped(name: str) -> Iterator[None]:
    """Turn the operating system's errors about `name` into ours."""
    try:
        yield
    except OSError as error:
        raise ours(error, name) from error


def ours(error: OSError, name: str) -> UnspoolError:
    """Return what an error of the operating system about `name` is to us."""
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR | errno.ELOOP:
            return NotFoundError(f"{name}: no such file", name=name)
        case errno.EACCES | errno.EPERM:
            return PermissionDeniedError(f"{name}: permission denied", name=name)
        case errno.ENAMETOOLONG:
            return InvalidNameError(f"{name[:40]!r}...: a part is longer than the file system allows", name=name)
        case errno.ENXIO | errno.ENODEV:
            return NotAFileError(f"{name}: is not a regular file", name=name)
        case errno.EIO:
            return DataLossError(f"{name}: the file system failed to read it", name=name)
        case _:
            return ServerError(f"{name}: {error.strerror}", name=name)
