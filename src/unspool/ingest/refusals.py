"""Maps errors of the file system, and of `local/`, to what a client may be told: about the name, and without paths."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from unspool.errors import (
    AlreadyExistsError,
    DataLossError,
    DestinationExistsError,
    InvalidNameError,
    LocalFileError,
    NoSpaceError,
    NotAFileError,
    PermissionDeniedError,
    ServerError,
    TooLargeError,
    UnspoolError,
)
from unspool.ingest.staging import UnusableError
from unspool.local.entries import is_no_name
from unspool.stores.oserrors import store_error

log = logging.getLogger("unspool.ingest")

_MEANINGS: dict[int, tuple[type[UnspoolError], str]] = {
    errno.ENOSPC: (NoSpaceError, "the server's disk is full: what was received is kept"),
    errno.EDQUOT: (NoSpaceError, "the server's quota is used up: what was received is kept"),
    errno.EFBIG: (TooLargeError, "is larger than the server's file system allows"),
    errno.ENOENT: (ServerError, "what the server needs to receive it was removed meanwhile"),
    errno.EACCES: (PermissionDeniedError, "the server has no permission to write there"),
    errno.EPERM: (PermissionDeniedError, "the server has no permission to write there"),
    errno.EROFS: (PermissionDeniedError, "the server's file system is read-only"),
    errno.ENOTDIR: (NotAFileError, "a part of the name is not a directory; a symbolic link is not followed"),
    errno.ELOOP: (NotAFileError, "a part of the name is not a directory; a symbolic link is not followed"),
    errno.EISDIR: (NotAFileError, "is a directory"),
    errno.ENAMETOOLONG: (InvalidNameError, "a part of the name is longer than the file system allows"),
    errno.EIO: (DataLossError, "the server's file system failed to write it"),
}


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn an error of the operating system, or of `local/`, into one about the file `name`."""
    try:
        yield
    except (UnspoolError, OSError) as error:
        refusal = refusal_of(error, name)
        if refusal is error:
            raise
        raise refusal from error


def refusal_of(error: UnspoolError | OSError, name: str) -> UnspoolError:
    """Return what a client is told for an error of the operating system, or of `local/`, about the file `name`."""
    if isinstance(error, DestinationExistsError):
        return AlreadyExistsError(f"{name}: exists already", name=name)
    if isinstance(error, UnusableError):  # no ServerError, because no retry helps
        said = "the server cannot use its directory for uploads: its log says why"
        return PermissionDeniedError(f"{name}: {said}", name=name)
    if isinstance(error, LocalFileError):
        cause = error.__cause__
        return _system_refusal(cause, name) if isinstance(cause, OSError) else _gone(error, name)
    return error if isinstance(error, UnspoolError) else _system_refusal(error, name)


def _system_refusal(error: OSError, name: str) -> UnspoolError:
    if is_no_name(error):
        return InvalidNameError(f"{name}: the server's file system does not take this name", name=name)
    kind, said = _MEANINGS.get(error.errno or 0, (None, ""))
    if kind is not None:
        return kind(f"{name}: {said}", name=name)
    log.warning("receiving %r failed: %s", name, error)
    return store_error(error, name)


def _gone(error: LocalFileError, name: str) -> ServerError:
    log.warning("receiving %r failed: %s", name, error.message)
    return ServerError(f"{name}: what was received of it was removed meanwhile, or replaced: send it again", name=name)
