"""Maps errors of the operating system to unspool's errors, with advice in the message."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unspool.core.oserrors import local_file_error, reason_of
from unspool.errors import LocalFileError, UnspoolError
from unspool.local.entries import is_no_name

FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""Errors that every other file would get as well."""


@contextmanager
def mapped(path: Path, *but: type[OSError]) -> Iterator[None]:
    """Map an OSError about `path` to a LocalFileError. Errors of the classes in `but` are not mapped."""
    try:
        yield
    except UnspoolError:
        raise
    except but:
        raise
    except OSError as error:
        raise local_error(error, path) from error


def local_error(error: OSError, path: Path) -> LocalFileError:
    """Return the LocalFileError for an operating-system error about `path`, with advice in the message."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            hint = "the disk is full; what arrived is kept: make room and get it again"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            hint = "not allowed to write there"
        case errno.ENOENT | errno.ENOTDIR:
            gone = "it was removed meanwhile, or no file can be made there"
            hint = gone if path.parent.is_dir() else "there is no such directory"
        case _ if is_no_name(error):
            hint = "the file system does not take this name"
        case errno.ENAMETOOLONG:
            hint = "the name is longer than the file system allows"
        case _:
            hint = reason_of(error)
    return local_file_error(f"{path}: {hint}", error)


def ends_everything(error: LocalFileError) -> bool:
    """Whether every other file would get this error as well."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in FATAL


def unreadable(path: str | Path, error: OSError) -> LocalFileError:
    """Return the LocalFileError for a file or a directory that cannot be read."""
    return local_file_error(f"{path}: cannot be read: {reason_of(error)}", error)


def without_size(path: str | Path) -> LocalFileError:
    """Return the LocalFileError for a file that has bytes though its size is 0, as those of /proc."""
    return LocalFileError(f"{path}: has bytes, but its size is 0, as in /proc: upload a copy of it, or its bytes as a stream")
