"""JSON that checks itself: one line with a kind, a version and a checksum, and one line of JSON.

The first line is `KIND VERSION CRC`: CRC is the CRC32C of everything after that line, in eight hex digits. The JSON has sorted
keys and no white space. A flipped bit, a truncation, another kind or an unknown version makes all of it unreadable.
"""

from __future__ import annotations

import json
from typing import Any

from unspool.core.checksum import crc32c


def seal(kind: str, version: int, fields: dict[str, Any]) -> bytes:
    """Return the fields as bytes."""
    body = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return f"{kind} {version} {crc32c(body):08x}\n".encode() + body + b"\n"


def unseal(kind: str, version: int, data: bytes) -> dict[str, Any] | None:
    """Return the fields in `data`; None if it is damaged, of another kind or version, or not an object."""
    head, _, body = data.partition(b"\n")
    body = body.removesuffix(b"\n")
    if head != f"{kind} {version} {crc32c(body):08x}".encode():
        return None
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):  # the checksum is right: another program wrote it
        return None
    return fields if isinstance(fields, dict) else None
