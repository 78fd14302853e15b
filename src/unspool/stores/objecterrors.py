"""Maps obstore's errors to those of `unspool.errors`.

Rule 1: no text of obstore's reaches a message: it has URLs, which may carry credentials (Azure's SAS), and pages of XML. Only
        the HTTP status and the error code are taken from it.
Rule 2: what a store denies or fails concerns the server's account there, and the message says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from unspool import errors
from unspool.core.extras import extra
from unspool.stores.httpstatus import NO_BUCKET, denied, status_error

with extra("objects"):
    from obstore.exceptions import (
        BaseError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")


class NoBucketError(errors.NotFoundError):
    """There is no such bucket. The answer to a HEAD does not say so: then it is a file that is not there."""


@contextmanager
def mapped(name: str, *but: type[Exception]) -> Iterator[None]:
    """Turn an error of obstore about `name` into one of `unspool.errors`.

    Errors of the classes in `but` are not mapped, unless it is the bucket that is not there.
    """
    try:
        yield
    except errors.UnspoolError:
        raise
    except (FileNotFoundError, ValueError, BaseError) as error:
        if isinstance(error, but) and _code_of(str(error)) not in NO_BUCKET:
            raise
        raise store_error(error, name) from None  # the cause would show its URL in a traceback


def store_error(error: Exception, name: str) -> errors.UnspoolError:
    """Return the error that stands for an error of obstore about `name`."""
    text = str(error)
    code = _code_of(text)
    if code in NO_BUCKET:
        return NoBucketError(f"{name}: there is no such bucket", name=name)
    if isinstance(error, FileNotFoundError):
        return errors.NotFoundError(f"{name}: no such file", name=name)
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return denied(name)
    if isinstance(error, ValueError):
        return errors.InvalidNameError(f"{name[:80]!r} cannot be the key of an object", name=name)
    # obstore resumes a broken body by itself; if the object was replaced meanwhile, the error has no class of its own.
    if isinstance(error, PreconditionError) or "precondition" in text.lower():
        return changed(name)
    return _failure(name, text, code)


def _code_of(text: str) -> str:
    """Return the store's code of an error; "" if there is none."""
    found = _CODE.search(text)
    return found[1] if found else ""


def _failure(name: str, text: str, code: str) -> errors.UnspoolError:
    if "non-partial response" in text:
        said = "the object store ignores ranges: it sent the whole object instead of a part; such a store cannot be served"
        return errors.DataLossError(f"{name}: {said}", name=name)
    found = _STATUS.search(text)
    status = int(found[1]) if found else None
    if status is None and "error sending request" in text.lower():
        return errors.ServerError(f"{name}: the object store cannot be reached", name=name)
    # Also what is denied, if it is a listing: its errors have no classes of their own.
    return status_error(name, status, code)


def changed(name: str) -> errors.FileChangedError:
    """Return the error for an object that was replaced or removed while it was read."""
    return errors.FileChangedError(f"{name}: the object was replaced while it was read", name=name)


def other_bytes(name: str, offset: int) -> errors.DataLossError:
    """Return the error for an answer that has not the bytes asked for."""
    said = "the object store answered with other bytes than those asked for"
    return errors.DataLossError(f"{name}: {said}", name=name, offset=offset)
