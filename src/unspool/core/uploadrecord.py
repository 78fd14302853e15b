"""What is recorded of an upload into an object store, as an object of its own beside the parts that the store keeps.

Rule 1: the record checks itself, as the journal of a download does: what is damaged, or of an unknown version, reads as "none".
Rule 2: a part is listed only after the store has it. Its entity tag is listed too: a part that was replaced since, perhaps by
        another server, is not the one that is meant.

Format, version 1: as `unspool.core.sealedjson`, of the kind `unspool-upload`, or `unspool-committed` once it is committed.
"""

from __future__ import annotations

from dataclasses import field

from unspool.core.model import Attributes, FileInfo
from unspool.core.sealedjson import seal, unseal
from unspool.core.segments import Segment
from unspool.core.value import value

_OPEN = "unspool-upload"
_COMMITTED = "unspool-committed"
_VERSION = 1


@value
class SentPart:
    """A part that the store has.

    Attributes:
        length: its bytes.
        crc32c: their CRC32C.
        tag: its entity tag, as the store wrote it.
    """

    length: int
    crc32c: int
    tag: str


@value
class UploadRecord:
    """What there is of an upload.

    Attributes:
        name: name that the file gets.
        size: of the file, as it was announced; None if it was not.
        part_size: bytes per part.
        mark: what the metadata of the finished object will say, so that it is known for this upload's.
        holder: differs in each opening.
        multipart: the store's name for the upload of parts; "" as long as no part was sent.
        parts: those that the store has, by number.
    """

    name: str
    size: int | None
    part_size: int
    mark: str
    holder: str = ""
    multipart: str = ""
    parts: dict[int, SentPart] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the record as bytes."""
        return seal(
            _OPEN,
            _VERSION,
            {
                "holder": self.holder,
                "mark": self.mark,
                "multipart": self.multipart,
                "name": self.name,
                "part_size": self.part_size,
                "parts": [[number, p.length, p.crc32c, p.tag] for number, p in sorted(self.parts.items())],
                "size": self.size,
            },
        )

    def segments(self) -> dict[int, Segment]:
        """Return the parts as the segments of a table."""
        return {number: Segment(part.length, part.crc32c) for number, part in self.parts.items()}


def decode(data: bytes) -> UploadRecord | None:
    """Return the record in `data`; None if it is damaged or of an unknown version."""
    fields = unseal(_OPEN, _VERSION, data)
    if fields is None:
        return None
    try:
        parts = {number: SentPart(*part) for number, *part in fields.pop("parts")}
        return UploadRecord(**fields, parts=parts)
    except (KeyError, TypeError, ValueError):
        return None


def encode_committed(info: FileInfo) -> bytes:
    """Return the record of a committed upload."""
    attributes = info.attributes
    return seal(
        _COMMITTED,
        _VERSION,
        {
            "crc32c": info.crc32c,
            "executable": attributes.executable,
            "content_type": attributes.content_type,
            "modified_ns": attributes.modified_ns,
            "name": info.name,
            "revision": info.revision,
            "size": info.size,
        },
    )


def decode_committed(data: bytes) -> FileInfo | None:
    """Return the file of a committed upload; None if its record is damaged or of an unknown version."""
    fields = unseal(_COMMITTED, _VERSION, data)
    if fields is None:
        return None
    try:
        attributes = Attributes(fields["modified_ns"], fields["content_type"], fields["executable"])
        return FileInfo(fields["name"], fields["size"], fields["revision"], attributes, fields["crc32c"])
    except KeyError:
        return None
