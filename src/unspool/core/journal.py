"""The journal: a small file beside a part file. It says which file the part file belongs to, and which of its bytes are good.

Rule 1: the journal checks itself. A flipped bit, a truncation or an unknown version reads as "no journal", and the download
        starts over.
Rule 2: the journal lags the data and never leads it: it claims only bytes that were verified and written to the file system.
Rule 3: the journal's claims are checked again. A resumed download reads the good part and compares the segments' CRC32C.

Format, version 1: as `unspool.core.sealedjson`, of the kind `unspool-journal`.
"""

from __future__ import annotations

from dataclasses import field

from unspool.core.address import SECURE_SCHEME
from unspool.core.model import LARGEST_FILE
from unspool.core.sealedjson import seal, unseal
from unspool.core.segments import Segment
from unspool.core.value import value

_KIND = "unspool-journal"
_VERSION = 1


@value
class Journal:
    """What a part file holds.

    Attributes:
        name: name of the file on the server.
        source: the server's address and dialect. If there is a revision, the download may go on with any server that has it,
            but over TLS only with what came over TLS.
        revision: revision of the bytes; None if the dialect has no revisions.
        size: size of the whole file; None if the dialect does not send it.
        segment_size: bytes per segment.
        segments: the good part of each segment, by segment number.
    """

    name: str
    source: str
    revision: str | None
    size: int | None
    segment_size: int
    segments: dict[int, Segment] = field(default_factory=dict)

    def is_about(self, name: str, source: str) -> bool:
        """Whether a download of `name` from `source` may resume from it. The server checks the revision.

        A download over TLS does not use what came in clear: it could have been changed on the way, and CRC32C finds accidents
        only.
        """
        if SECURE_SCHEME in source and SECURE_SCHEME not in self.source:
            return False
        return self.name == name and (self.revision is not None or self.source == source)

    def encode(self) -> bytes:
        """Return the journal as bytes."""
        return seal(
            _KIND,
            _VERSION,
            {
                "name": self.name,
                "revision": self.revision,
                "segment_size": self.segment_size,
                "segments": [[number, s.length, s.crc32c] for number, s in sorted(self.segments.items())],
                "size": self.size,
                "source": self.source,
            },
        )


def decode(data: bytes) -> Journal | None:
    """Return the journal in `data`, or None if it is damaged or has an unknown version."""
    fields = unseal(_KIND, _VERSION, data)
    if fields is None:
        return None
    try:
        journal = Journal(
            name=fields["name"],
            source=fields["source"],
            revision=fields["revision"],
            size=fields["size"],
            segment_size=fields["segment_size"],
            segments={number: Segment(length, checksum) for number, length, checksum in fields["segments"]},
        )
        # Accept only the exact bytes that this version would write: JSON has other spellings, and damage could hide in them.
        return journal if _makes_sense(journal) and journal.encode() == data else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _makes_sense(journal: Journal) -> bool:
    """Whether the fields have the right types and plausible values. A correct checksum does not guarantee that."""
    texts = [journal.name, journal.source, "" if journal.revision is None else journal.revision]
    size = LARGEST_FILE if journal.size is None else journal.size
    numbers = [size, journal.segment_size]
    for number, segment in journal.segments.items():
        numbers += (number, segment.length, segment.crc32c)
    if not all(type(text) is str for text in texts) or not all(type(number) is int and number >= 0 for number in numbers):
        return False
    return (
        journal.segment_size > 0
        and size <= LARGEST_FILE
        and all(
            0 < segment.length <= journal.segment_size
            and number * journal.segment_size + segment.length <= size
            and segment.crc32c < 1 << 32
            for number, segment in journal.segments.items()
        )
    )
