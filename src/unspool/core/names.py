"""Which names are valid. All code that takes a name from outside calls `check_name`.

A name is a relative key: UTF-8, with parts separated by `/`. Anything that a file system, a shell or another operating system
could interpret differently (`..`, a leading `/`, a backslash, NUL) is invalid. These rules concern only the text of a name; the
store makes sure that symbolic links do not lead outside.
"""

from __future__ import annotations

from unspool.core.abridged import ONE_LINE, abridged
from unspool.errors import InvalidNameError

MAX_NAME_BYTES = 4096
"""Longest name in UTF-8 bytes: PATH_MAX on Linux. S3 and GCS allow 1024."""

_NOT_PARTS = frozenset({"", ".", ".."})


def check_name(name: str) -> tuple[str, ...]:
    """Check a name and return its parts.

    Raises:
        InvalidNameError: the name is not a string; is empty, absolute, too long or not UTF-8; contains a backslash or NUL; or
            has a part that is empty, `.` or `..`.
    """
    if not isinstance(name, str):
        raise InvalidNameError(f"{name!r} is not a string: a file is named by one")
    parts = tuple(name.split("/"))
    # A fast check first: very many names are checked, and nearly all are valid.
    if not name.isascii() or len(name) > MAX_NAME_BYTES or "\0" in name or "\\" in name or not _NOT_PARTS.isdisjoint(parts):
        _check_slowly(name, parts)
    return parts


def surely_a_name(name: str, last: str) -> bool:
    """Whether `check_name` is certain to accept a name, whose last part is given and whose other parts are checked.

    This is a fast path: it runs for every entry of a listing, and nearly always returns True.
    """
    return (
        last.isascii() and "\\" not in last and "\0" not in last and last not in _NOT_PARTS and len(name) * 4 <= MAX_NAME_BYTES
    )


def _check_slowly(name: str, parts: tuple[str, ...]) -> None:
    """Raise InvalidNameError, with a message that says what is wrong, if the name is invalid."""
    if not name:
        raise InvalidNameError("the file name is empty: name a file relative to what is served", name=name)
    shown = repr(abridged(name, ONE_LINE))
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidNameError(f"{shown} is not UTF-8", name=name) from None
    if length > MAX_NAME_BYTES:
        raise InvalidNameError(f"{shown} is {length} bytes long: a name has at most {MAX_NAME_BYTES}", name=name)
    if "\0" in name:
        raise InvalidNameError(f"{shown} contains NUL", name=name)
    if "\\" in name:
        raise InvalidNameError(f"{shown} contains a backslash: parts are separated by '/'", name=name)
    if name.startswith("/"):
        raise InvalidNameError(f"{shown} is absolute: names are relative to what is served", name=name)
    for part in parts:
        if part in _NOT_PARTS:
            raise InvalidNameError(f"{shown} has a part that is {part!r}: name the file directly", name=name)


def is_hidden(name: str) -> bool:
    """Whether a part of a name begins with a dot: the file is a dotfile, or it is in a hidden directory."""
    return name.startswith(".") or "/." in name


def check_prefix(prefix: str) -> tuple[str, ...]:
    """Check a listing's prefix and return its parts. The empty prefix lists everything; one trailing `/` is allowed.

    Raises:
        InvalidNameError: as for `check_name`.
    """
    if not isinstance(prefix, str):
        return check_name(prefix)
    return check_name(prefix.removesuffix("/")) if prefix else ()
