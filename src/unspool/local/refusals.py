"""What the operating system refuses, as an error of ours with the way out."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unspool.errors import LocalFileError, UnspoolError


@contextmanager
def mapped(path: Path, *but: type[OSError]) -> Iterator[None]:
    """Turn the operating system's errors about `path` into ours, but for some."""
    try:
        yield
    except UnspoolError:
        raise
    except but:
        raise
    except OSError as error:
        raise local_error(error, path) from error


def local_error(error: OSError, path: Path) -> LocalFileError:
    """Return what the operating system's error about `path` is to us, with the way out."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            hint = "the disk is full; what arrived is kept: make room and get it again"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            hint = "not allowed to write there"
        case errno.ENOENT | errno.ENOTDIR:
            gone = "it was removed meanwhile, or no file can be made there"
            hint = gone if path.parent.is_dir() else "there is no such directory"
        case errno.ENAMETOOLONG:
            hint = "the name is longer than the file system allows"
        case _:
            hint = (error.strerror or str(error)).lower()
    refused = LocalFileError(f"{path}: {hint}")
    refused.errno = error.errno
    return refused
