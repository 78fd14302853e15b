"""Decides which names new files may have."""

from __future__ import annotations

from unspool.core.names import check_name, is_hidden
from unspool.core.reserved import is_reserved
from unspool.errors import InvalidNameError


def check_new_name(name: str, *, hidden: bool) -> tuple[str, ...]:
    """Check the name of a new file, and return its parts. Raises InvalidNameError.

    Args:
        name: name of the file.
        hidden: whether hidden names are served.
    """
    parts = check_name(name)
    if any(map(is_reserved, parts)):
        raise InvalidNameError(f"{name}: unspool keeps something of its own under such names", name=name)
    if not hidden and is_hidden(name):
        raise InvalidNameError(f"{name}: would not be served: part of the name begins with a dot", name=name)
    return parts
