"""The operating system's errors, as ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from unspool.errors import DataLossError, InvalidNameError, NotAFileError, NotFoundError, PermissionDeniedError, ServerError

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENAMETOOLONG)
"""There is nothing by that name any more, or a link leads nowhere."""

REFUSED = (errno.EACCES, errno.EPERM)


@contextmanager
def mapped(name: str) -> Iterator[None]:
    """Turn the operating system's errors about `name` into ours."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOENT | errno.ENOTDIR | errno.ELOOP:
                raise NotFoundError(f"{name}: no such file", name=name) from error
            case errno.EACCES | errno.EPERM:
                raise PermissionDeniedError(f"{name}: permission denied", name=name) from error
            case errno.ENAMETOOLONG:
                raise InvalidNameError(f"{name[:40]!r}...: a part is longer than the file system allows", name=name) from error
            case errno.ENXIO | errno.ENODEV:
                raise NotAFileError(f"{name}: is not a regular file", name=name) from error
            case errno.EIO:
                raise DataLossError(f"{name}: the file system failed to read it", name=name) from error
            case _:
                raise ServerError(f"{name}: {error.strerror}", name=name) from error
