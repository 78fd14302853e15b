"""The data types of writing: uploads, the messages of their streams, batches of small files, and deletions.

Offsets, sizes and lengths are in bytes. These types do not depend on how they are sent or stored. Reading has `core/model.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from unspool.core.model import Attributes, Block, Bytes, FileInfo, Span
from unspool.core.value import value
from unspool.errors import UnspoolError

UPLOAD_ID_BYTES = 16
"""128 random bits: nobody guesses the id of another's upload, and two clients never choose the same."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be at the name of a new file, when its upload is opened and when it is committed.

    Attributes:
        absent: there must be no file.
        revision: there must be a file at this revision. None, with `absent` false: anything may be there.
    """

    absent: bool = False
    revision: str | None = None


ANYTHING = Condition()
IF_ABSENT = Condition(absent=True)


@dataclass(frozen=True, slots=True)
class UploadIdentity:
    """What names an upload at the server: the same three are the same upload.

    Attributes:
        upload_id: 16 bytes, chosen by the client.
        name: name that the file gets.
        owner: the name of the principal; "" if callers are not identified.
    """

    upload_id: bytes
    name: str
    owner: str = ""


@value
class GoodSpan:
    """A run of bytes of an upload that the server has, and their CRC32C."""

    span: Span
    crc32c: int


@value
class UploadOpen:
    """Begins an upload, or continues one.

    Attributes:
        upload_id: 16 random bytes, chosen by the client.
        name: name that the file gets.
        condition: what must be at the name.
        size, crc32c, sha256: of the whole file, as far as the client knows them.
        attributes: what the file gets.
        discard: spans that the server is to forget, because they differ from the client's file.
        transfer_id, attempt: for logs only.
    """

    upload_id: bytes
    name: str
    condition: Condition = ANYTHING
    size: int | None = None
    crc32c: int | None = None
    sha256: bytes | None = None
    attributes: Attributes = field(default_factory=Attributes)
    discard: tuple[Span, ...] = ()
    transfer_id: str = ""
    attempt: int = 0


@value
class UploadCommit:
    """Ends an upload: the size and the CRC32C of the whole file."""

    size: int
    crc32c: int


@value
class UploadRequest:
    """One message to the server. It may carry all three parts, processed in this order. Without any it is a heartbeat."""

    open: UploadOpen | None = None
    block: Block | None = None
    commit: UploadCommit | None = None


@value
class UploadOpened:
    """What the server has of an upload.

    Attributes:
        good: ascending, disjoint, adjacent ones merged.
        block_size: largest block that the server takes.
        expires_after: seconds without a byte after which the upload is removed; None if not specified.
    """

    good: tuple[GoodSpan, ...]
    block_size: int
    expires_after: float | None = None


@value
class UploadProgress:
    """How many bytes the server has received, and how many of them would survive a power cut."""

    received: int
    durable: int


@value
class UploadCommitted:
    """The file has its name."""

    info: FileInfo


@value
class UploadRefused:
    """The upload cannot go on in this stream.

    Attributes:
        error: why.
        good: what the server has; with a FileMismatchError one for each segment.
    """

    error: UnspoolError
    good: tuple[GoodSpan, ...] = ()


UploadAnswer: TypeAlias = UploadOpened | UploadProgress | UploadCommitted | UploadRefused | None
"""One message from the server. None is a heartbeat."""


class End(Enum):
    """What comes after the last answer of a two-way stream."""

    OF_STREAM = "end of stream"


UploadState: TypeAlias = UploadOpened | UploadCommitted | None
"""What StatUpload says. None: the server does not know the upload."""


@value
class NewFile:
    """A whole small file that is to be written.

    Attributes:
        name: name that the file gets.
        data: all its bytes.
        crc32c: of `data`.
        condition: what must be at the name.
        attributes: what the file gets.
    """

    name: str
    data: Bytes
    crc32c: int
    condition: Condition = ANYTHING
    attributes: Attributes = field(default_factory=Attributes)


WrittenFile: TypeAlias = FileInfo | UnspoolError
"""The answer for one small file: its description at the server, or why it was not written."""


@value
class DeleteRequest:
    """Asks for a file to be deleted.

    Attributes:
        name: name of the file.
        revision: the file is deleted only if it is at this revision. None: whatever file is there.
        transfer_id, attempt: for logs only.
    """

    name: str
    revision: str | None = None
    transfer_id: str = ""
    attempt: int = 0
