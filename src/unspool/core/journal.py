"""The journal: the small record beside a part file that says what of it is good, and of which file.

Rule 1: it checks itself. Any flipped bit, any truncation, any unknown version reads as "no journal": start over.
Rule 2: it lags the data and never leads it: it claims only bytes that were verified and handed to the file system.
Rule 3: even so it is not believed blindly: whoever resumes reads the good part again and compares the segments' CRC32C.

Format, version 1: one line `unspool-journal 1 CRC` (CRC32C of all that follows, eight hex digits), then one line of JSON with
sorted keys and no white space.
"""

from __future__ import annotations

import json
from dataclasses import field

from unspool.core.checksum import crc32c
from unspool.core.segments import Segment
from unspool.core.value import value

_MAGIC = "unspool-journal"
_VERSION = 1

_LARGEST_SIZE = (1 << 63) - 1
"""Of a file, in bytes, on any system and on the wire."""


@value
class Journal:
    """What a part file holds.

    Attributes:
        name: of the file on the server.
        source: where it came from (the server's address and dialect). It identifies the file only where there is no
            revision; otherwise any server that has the revision will do.
        revision: what the bytes belong to; None if the dialect has no revisions.
        size: of the whole file; None if the dialect does not tell.
        segment_size: bytes per segment.
        segments: segment number to its good part.
    """

    name: str
    source: str
    revision: str | None
    size: int | None
    segment_size: int
    segments: dict[int, Segment] = field(default_factory=dict)

    def is_about(self, name: str, source: str) -> bool:
        """Whether a download of `name` from `source` may build on it; the revision is for the server to decide."""
        return self.name == name and (self.revision is not None or self.source == source)

    def encode(self) -> bytes:
        """Return it as bytes."""
        body = json.dumps(
            {
                "name": self.name,
                "revision": self.revision,
                "segment_size": self.segment_size,
                "segments": [[number, s.length, s.crc32c] for number, s in sorted(self.segments.items())],
                "size": self.size,
                "source": self.source,
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
        return f"{_MAGIC} {_VERSION} {crc32c(body):08x}\n".encode() + body + b"\n"


def decode(data: bytes) -> Journal | None:
    """Return the journal that `data` holds, or None if it holds no undamaged journal of a known version."""
    head, _, body = data.partition(b"\n")
    body = body.removesuffix(b"\n")
    if head != f"{_MAGIC} {_VERSION} {crc32c(body):08x}".encode():
        return None
    try:
        fields = json.loads(body)
        journal = Journal(
            name=fields["name"],
            source=fields["source"],
            revision=fields["revision"],
            size=fields["size"],
            segment_size=fields["segment_size"],
            segments={number: Segment(length, checksum) for number, length, checksum in fields["segments"]},
        )
        # Only what this version would write itself is believed: it leaves no second spelling for damage to hide in.
        return journal if _makes_sense(journal) and journal.encode() == data else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _makes_sense(journal: Journal) -> bool:
    """Whether the fields are of their kind, and could be true, whoever wrote them."""
    texts = [journal.name, journal.source, "" if journal.revision is None else journal.revision]
    size = _LARGEST_SIZE if journal.size is None else journal.size
    numbers = [size, journal.segment_size]
    for number, segment in journal.segments.items():
        numbers += (number, segment.length, segment.crc32c)
    if not all(type(text) is str for text in texts) or not all(type(number) is int and number >= 0 for number in numbers):
        return False
    return (
        journal.segment_size > 0
        and size <= _LARGEST_SIZE
        and all(
            0 < segment.length <= journal.segment_size
            and number * journal.segment_size + segment.length <= size
            and segment.crc32c < 1 << 32
            for number, segment in journal.segments.items()
        )
    )
