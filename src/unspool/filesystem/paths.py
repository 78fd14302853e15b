"""Paths, `HOST:PORT/NAME`, and what fsspec is told of what is there."""

from __future__ import annotations

from typing import Any

from unspool.core.model import FileInfo
from unspool.errors import InvalidRequestError, NotAFileError


def server_of(path: str) -> tuple[str, str]:
    """Return the server of a path, and the name on it, which may be empty."""
    host, _, name = path.partition("/")
    if not host:
        raise InvalidRequestError(f"{path!r} names no server: write unspool://HOST:PORT/NAME")
    return host, name


def file_of(path: str) -> tuple[str, str]:
    """Return the server of a path, and the name on it."""
    host, name = server_of(path)
    if not name:
        raise NotAFileError(f"{host}: this is a server, and no file is named", name=path)
    return host, name


def described(path: str, info: FileInfo) -> dict[str, Any]:
    """Return what fsspec is told of a file. `mtime` (seconds since 1970) and `crc32c` are there if they are known."""
    details: dict[str, Any] = {
        "name": path,
        "size": info.size,
        "type": "file",
        "revision": info.revision,
        "content_type": info.attributes.content_type,
    }
    if info.attributes.modified_ns is not None:
        details["mtime"] = info.attributes.modified_ns / 1e9
    if info.crc32c is not None:
        details["crc32c"] = info.crc32c
    return details


def directory(path: str) -> dict[str, Any]:
    """Return what fsspec is told of a directory."""
    return {"name": path, "size": 0, "type": "directory"}
