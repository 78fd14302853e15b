"""Guesses the media type of a file from the ending of its name."""

from __future__ import annotations

import mimetypes
from functools import lru_cache

_TYPE_OF_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
"""The media types of compressed files: `a.tar.gz` is gzip data, only its content is a tar file."""


def content_type_of(name: str) -> str:
    """Return the media type of a file by its name; "" if its ending is unknown."""
    base = name[name.rfind("/") + 1 :]
    dot = base.rfind(".")
    return _type_of_ending(base[dot:]) if dot > 0 else ""


@lru_cache(maxsize=1024)
def _type_of_ending(ending: str) -> str:
    content_type, packed = mimetypes.guess_type(f"file{ending}")
    return _TYPE_OF_PACKED.get(packed, "") if packed else content_type or ""
