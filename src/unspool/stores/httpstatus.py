"""Maps the HTTP status and the error code with which an object store answers, whichever library made the request."""

from __future__ import annotations

from unspool.errors import OverloadedError, PermissionDeniedError, ServerError, UnspoolError

_RETRY = 1.0
"""Seconds that a client is asked to wait when the object store throttles the server."""

_REFUSED = (401, 403)

_THROTTLED = (429, 503)
"""Too many requests; S3's SlowDown is a 503."""

NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
"""The codes of S3 and of Azure for a bucket that is not there."""


def status_error(name: str, status: int | None, code: str) -> UnspoolError:
    """Return the error for a request about `name` that an object store refused, or failed to answer.

    Args:
        name: name of the file.
        status: the HTTP status; None if it is not known.
        code: the error code; "" if it is not known.
    """
    if status in _THROTTLED:
        said = "the object store asks for fewer requests: try again"
        return OverloadedError(f"{name}: {said}", name=name, retry_after=_RETRY)
    if status in _REFUSED:
        return denied(name)
    if code in NO_BUCKET:
        return no_bucket(name)
    details = " ".join([*([f"HTTP {status}"] if status else []), *([code] if code else [])])
    return ServerError(f"{name}: the object store failed{f' ({details})' if details else ''}", name=name)


def no_bucket(name: str | None) -> ServerError:
    """Return the error for a request of a server whose bucket was removed, or has not been made.

    It is no NotFoundError: whoever uploads a file would believe that the file is missing.
    """
    said = "the server's bucket is not there: whoever runs the server must make it again, or serve another"
    return ServerError(said if name is None else f"{name}: {said}", name=name)


def denied(name: str) -> PermissionDeniedError:
    """Return the error for a request that the server's account at the object store may not make."""
    said = "the object store denies access to it; check the server's credentials there"
    return PermissionDeniedError(f"{name}: {said}", name=name)
