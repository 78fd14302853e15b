"""How faults are spelled: the scripts of the fault server.

A fault is `KIND[:ARGUMENT]@WHERE`. WHERE is `start` (before the header), a number (after that many bytes of the stream's
data; a negative one counts from the end of it), `end` (after the last byte, before the summary) or `status` (after the
summary, before the status). Kinds:

    cut                the connection is reset (TCP RST): what is on its way may be lost
    close              the connection is closed (FIN), without a word of HTTP/2
    reset:CODE         the stream is reset (RST_STREAM), e.g. CANCEL, INTERNAL_ERROR, REFUSED_STREAM, NO_ERROR
    goaway             the connection says GOAWAY, then is closed
    tear               half of the next message, then the connection is closed
    http:CODE          the answer is that of an HTTP proxy, e.g. 502 (only at `start`)
    end                the stream ends early, with status OK
    status:CODE[,retry=SECONDS]   the stream ends with that status, and RetryInfo if said
    stall              nothing more is sent, nothing is closed
    garbage            a message that is not protobuf
    flip, flipsum      one bit of the block that begins there, or of its checksum, is wrong
    offset             that block says it begins one byte later than it does
    short, long        that block has a byte fewer, or one too many, with the checksum of what it has
    duplicate, swap    that block comes twice, or after the one that follows it
    ignore             the client's start is ignored, and the revision it has: everything is sent from byte 0 (only at `start`)
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
    """One fault, parsed; see the module's docstring for its spelling."""

    text: str
    kind: str
    argument: str
    retry: float | None
    where: int | str

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Parse a fault. Raises ValueError if it is not spelled as the module's docstring says."""
        match = _SYNTAX.fullmatch(text)
        if match is None or match["kind"] not in _KINDS:
            raise ValueError(f"not a fault: {text!r}")
        where: int | str = match["where"] if match["where"].isalpha() else int(match["where"])
        if match["kind"] in BEFORE_ANYTHING and where != "start":
            raise ValueError(f"{text!r}: {match['kind']} happens only at start")
        if match["kind"] in ON_BLOCKS and isinstance(where, str):
            raise ValueError(f"{text!r}: {match['kind']} happens to a block: say at which byte")
        return cls(text, match["kind"], match["argument"] or "", float(match["retry"]) if match["retry"] else None, where)
