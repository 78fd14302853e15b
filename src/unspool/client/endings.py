"""Which errors end the work on many files: those that the server would report for every other one as well."""

from __future__ import annotations

from unspool.errors import (
    NoSpaceError,
    OverloadedError,
    StalledError,
    StreamAgeError,
    UnauthenticatedError,
    UnreachableError,
    UnspoolError,
    UnsupportedError,
)

ENDS_SPANS: tuple[type[UnspoolError], ...] = (
    UnreachableError,
    StalledError,
    OverloadedError,
    StreamAgeError,
    UnauthenticatedError,
)
"""Those that end the reading of many spans. A server without batches is asked for each span by itself."""

ENDS_ALL = (*ENDS_SPANS, UnsupportedError)
"""Those that end the work on many files."""

ENDS_UPLOADS = (*ENDS_ALL, NoSpaceError)
"""Those that end the upload of many files."""
