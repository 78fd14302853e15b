"""Limits the number of entries in one message, and counts them before the message is parsed."""

from __future__ import annotations

from unspool.errors import ProtocolError

MOST_ENTRIES = 10_000
"""Files, prefixes and omissions in one message of a listing, or pieces in one of a batch: twice as many as a server sends."""

_UNCOUNTED = 600 * 1024
"""Bytes up to which a message is parsed without counting its entries first. At worst it has 300,000 empty entries, for which
the parser needs 25 MiB. A message of a batch of small files is shorter; counting would cost a microsecond for each file."""

_MORE = 0x80
"""The bit of a varint's byte that says that another byte follows."""


def check_entries(data: bytes) -> None:
    """Raise ProtocolError if a message has very many entries, before it is parsed."""
    if len(data) > _UNCOUNTED and has_more_fields(data, 2 * MOST_ENTRIES):
        check_number(2 * MOST_ENTRIES + 1)


def check_number(entries: int) -> None:
    """Raise ProtocolError if a message has more entries than a client accepts."""
    if entries > MOST_ENTRIES:
        raise ProtocolError(f"the server sent {entries} entries or more at once: at most {MOST_ENTRIES} are taken")


def has_more_fields(data: bytes, most: int) -> bool:
    """Whether a message has more than `most` fields, including those within groups.

    The fields are counted without parsing them: two million empty entries are 4 MiB, or 4 KiB compressed, but hundreds of MiB
    as objects. A truncated or malformed message is not an error here; the parser reports it.
    """
    at = 0
    for _ in range(most):
        if at >= len(data):
            return False
        tag, at = read_any_varint(data, at)
        match tag & 7:
            case 0:
                _, at = read_any_varint(data, at)
            case 1:
                at += 8
            case 2:
                length, at = read_any_varint(data, at)
                at += length
            case 5:
                at += 4
            case _:  # a group begins or ends: its fields follow
                pass
    return at < len(data)


def read_any_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at`, with superfluous bytes or without, and its end; if it has none, the end of the message."""
    if at < len(data) and (byte := data[at]) < _MORE:
        return byte, at + 1  # a fast path: nearly all are tags
    value = shift = 0
    for byte in data[at : at + 10]:
        value |= (byte & ~_MORE) << shift
        at += 1
        if byte < _MORE:
            return value, at
        shift += 7
    return 0, len(data)
