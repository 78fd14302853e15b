"""The syntax of faults, of which the scripts of the fault server consist.

A fault is `KIND[:ARGUMENT]@WHERE`. WHERE is `start` (before the header), a number (after that many bytes of the stream's
data; a negative one counts from the end of it), `end` (after the last byte, before the summary) or `status` (after the
summary, before the status). Kinds:

    cut                the connection is reset (TCP RST): bytes in flight may be lost
    close              the connection is closed (FIN), without a frame of HTTP/2
    reset:CODE         the stream is reset (RST_STREAM), e.g. CANCEL, INTERNAL_ERROR, REFUSED_STREAM, NO_ERROR
    goaway             a GOAWAY frame is sent, then the connection is closed
    tear               half of the next message, then the connection is closed
    http:CODE          the answer is that of an HTTP proxy, e.g. 502 (only at `start`)
    end                the stream ends early, with status OK
    status:CODE[,retry=SECONDS]   the stream ends with that status, and with RetryInfo if given
    stall              nothing more is sent, and the connection stays open
    garbage            a message that is not protobuf
    flip, flipsum      one bit of the block that begins there, or of its checksum, is wrong
    offset             the offset of that block is one byte too large
    short, long        that block has one byte fewer, or one more, and the checksum of these bytes
    duplicate, swap    that block is sent twice, or after the one that follows it
    ignore             the client's start and `unless_revision` are ignored: the file is sent from byte 0 (only at `start`)
    revision           the header names another revision (only at `start`)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SYNTAX = re.compile(
    r"(?P<kind>[a-z]+)(:(?P<argument>[A-Z0-9_]+)(,retry=(?P<retry>[0-9.]+))?)?@(?P<where>start|end|status|-?[0-9]+)"
)

BEFORE_ANYTHING = ("http", "ignore", "revision")
ON_BLOCKS = ("flip", "flipsum", "offset", "short", "long", "duplicate", "swap")
_KINDS = (
    *BEFORE_ANYTHING,
    *ON_BLOCKS,
    "cut",
    "close",
    "reset",
    "goaway",
    "tear",
    "end",
    "status",
    "stall",
    "garbage",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, parsed; see the module's docstring for the syntax."""

    text: str
    kind: str
    argument: str
    retry: float | None
    where: int | str

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Parse a fault. Raises ValueError if it does not have the syntax of the module's docstring."""
        match = _SYNTAX.fullmatch(text)
        if match is None or match["kind"] not in _KINDS:
            raise ValueError(f"not a fault: {text!r}")
        where: int | str = match["where"] if match["where"].isalpha() else int(match["where"])
        if match["kind"] in BEFORE_ANYTHING and where != "start":
            raise ValueError(f"{text!r}: {match['kind']} happens only at start")
        if match["kind"] in ON_BLOCKS and isinstance(where, str):
            raise ValueError(f"{text!r}: {match['kind']} happens to a block: say at which byte")
        return cls(text, match["kind"], match["argument"] or "", float(match["retry"]) if match["retry"] else None, where)
