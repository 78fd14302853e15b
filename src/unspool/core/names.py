"""What a file's name may be. Every room that takes a name from outside calls this one function.

A name is a relative key: UTF-8, parts separated by `/`. What a file system, a shell or another operating system could read
as something else (`..`, a leading `/`, a backslash, NUL) is not a name. Confinement against symbolic links is the store's
business; this rule is about the text alone.
"""

from __future__ import annotations

from unspool.errors import InvalidNameError

MAX_NAME_BYTES = 4096
"""Longest name, in UTF-8 bytes: PATH_MAX of Linux; S3 and GCS allow 1024."""

_NOT_PARTS = frozenset({"", ".", ".."})


def check_name(name: str) -> tuple[str, ...]:
    """Check a name and return its parts.

    Raises:
        InvalidNameError: it is empty, absolute, too long, not UTF-8, or has a part that is empty, `.`, `..`, or contains a
            backslash or NUL. Or it is not a string.
    """
    if not isinstance(name, str):
        raise InvalidNameError(f"{name!r} is not a string: a file is named by one")
    parts = tuple(name.split("/"))
    # Nearly all names are good, and very many are checked.
    if not name.isascii() or len(name) > MAX_NAME_BYTES or "\0" in name or "\\" in name or not _NOT_PARTS.isdisjoint(parts):
        _object_to(name, parts)
    return parts


def _object_to(name: str, parts: tuple[str, ...]) -> None:
    """Raise InvalidNameError for what is wrong with a name, if anything is."""
    if not name:
        raise InvalidNameError("the file name is empty: name a file relative to what is served", name=name)
    shown = repr(name if len(name) <= 80 else name[:77] + "...")  # noqa: PLR2004 - what fits on a line
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
    """Whether a part of a name begins with a dot: a dotfile, or a file in a directory that is one."""
    return name.startswith(".") or "/." in name


def check_prefix(prefix: str) -> tuple[str, ...]:
    """Check a listing's prefix and return its parts: empty for everything; one trailing `/` is allowed.

    Raises:
        InvalidNameError: as `check_name`.
    """
    if not isinstance(prefix, str):
        return check_name(prefix)
    return check_name(prefix.removesuffix("/")) if prefix else ()
