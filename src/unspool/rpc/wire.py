"""Encodes the types of the model as protobuf messages, and decodes them.

Rule 1: all messages but the most frequent use the generated code.
Rule 2: the most frequent message, a block, does not, because protobuf copies a `bytes` field when it serialises and again when
        it parses. Serialised fields may be concatenated, so the small fields are written by hand around the data (one copy),
        and a message that is only a block is read in place (no copy). The generated parser handles every message that does not
        look exactly as this module would write it. So both give the same result for every message, hostile ones included
        (tested). Headers and summaries are written by hand too, because every small file of a batch has them.
"""

from __future__ import annotations

from unspool import errors
from unspool.core.abridged import abridged
from unspool.core.counted import counted
from unspool.core.model import (
    Attributes,
    Block,
    Bytes,
    FileInfo,
    Frame,
    Header,
    ListRequest,
    Omission,
    Page,
    ReadRequest,
    Summary,
)
from unspool.core.names import MAX_NAME_BYTES
from unspool.rpc.entrylimits import check_entries, check_number
from unspool.rpc.messages import decode_time, fill_time, filled, parsed
from unspool.v1 import file_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["FileService"].full_name

_MORE = 0x80
"""The bit of a varint's byte that says that another byte follows."""

PLAIN_BLOCK = 0x12
"""The first byte of a message that is only a block: the tag of ReadFileResponse.block."""

_ONE_BYTE = [bytes([value]) for value in range(_MORE)]

LONGEST_REVISION = 1024
"""Characters, as in an S3 version id. A client keeps the revision of every file of a listing, so the length is limited."""

SHA256_BYTES = 32

_LONGEST_CONTENT_TYPE = 255
"""Characters: two names of 127 and a slash (RFC 6838, section 4.2)."""

_LONGEST_REASON = 64
"""Characters of the reason of an omission: several times as long as ours."""


def encode_info(info: FileInfo) -> pb.FileInfo:
    """Return the message for a file's description."""
    message = pb.FileInfo()
    fill_info(message, info)
    return message


def fill_info(message: pb.FileInfo, info: FileInfo) -> None:
    """Describe a file in a message that is empty.

    Messages of many descriptions make each in its place, with this. Measured: 1 us for each, which is a third of what it takes
    to make it with arguments and to copy it to its place.
    """
    attributes = info.attributes
    message.name = info.name
    message.size = info.size
    message.revision = info.revision
    message.content_type = attributes.content_type
    if attributes.modified_ns is not None:
        fill_time(message.modified, attributes.modified_ns)
    if info.crc32c is not None:
        message.crc32c = info.crc32c
    if attributes.executable is not None:
        message.executable = attributes.executable
    if info.sha256 is not None:
        message.sha256 = info.sha256


def decode_info(message: pb.FileInfo) -> FileInfo:
    """Return the file's description in a message. Raises ProtocolError if a text in it is too long."""
    name, revision, content_type = message.name, message.revision, message.content_type  # each access makes a new string
    if len(name) > MAX_NAME_BYTES or len(revision) > LONGEST_REVISION or len(content_type) > _LONGEST_CONTENT_TYPE:
        raise errors.ProtocolError(
            f"{abridged(name)}: the server describes it with a name of {len(name)} characters, a revision of "
            f"{len(revision)} and a media type of {len(content_type)}: "
            f"at most {MAX_NAME_BYTES}, {LONGEST_REVISION} and {_LONGEST_CONTENT_TYPE} are taken"
        )
    has = message.HasField
    sha256 = message.sha256 if has("sha256") else None
    if sha256 is not None and len(sha256) != SHA256_BYTES:
        raise errors.ProtocolError(
            f"{abridged(name)}: the server gives a SHA-256 of {counted(len(sha256), 'byte')}: it has {SHA256_BYTES}", name=name
        )
    attributes = Attributes(
        decode_time(message.modified) if has("modified") else None,
        content_type,
        message.executable if has("executable") else None,
    )
    return FileInfo(name, message.size, revision, attributes, message.crc32c if has("crc32c") else None, sha256)


def encode_stat_request(name: str) -> bytes:
    """Serialise a StatFileRequest."""
    return filled(pb.StatFileRequest, name=name).SerializeToString()


def decode_stat_request(data: bytes) -> str:
    """Parse a StatFileRequest. Raises InvalidRequestError if it is not one."""
    return parsed(pb.StatFileRequest(), data, errors.InvalidRequestError).name


def encode_stat_response(info: FileInfo) -> bytes:
    """Serialise a StatFileResponse."""
    return pb.StatFileResponse(info=encode_info(info)).SerializeToString()


def decode_stat_response(data: bytes) -> FileInfo:
    """Parse a StatFileResponse. Raises ProtocolError if it is not one."""
    return decode_info(parsed(pb.StatFileResponse(), data, errors.ProtocolError).info)


def encode_list_request(request: ListRequest) -> bytes:
    """Serialise a ListFilesRequest."""
    return filled(
        pb.ListFilesRequest, prefix=request.prefix, recursive=request.recursive, page_size=request.page_size
    ).SerializeToString()


def decode_list_request(data: bytes) -> ListRequest:
    """Parse a ListFilesRequest. Raises InvalidRequestError if it is not one."""
    message = parsed(pb.ListFilesRequest(), data, errors.InvalidRequestError)
    return ListRequest(message.prefix, message.recursive, message.page_size if message.page_size > 0 else None)


def encode_page(page: Page) -> bytes:
    """Serialise a ListFilesResponse."""
    message = pb.ListFilesResponse(
        prefixes=page.prefixes,
        omitted=[pb.Omission(reason=one.reason, name=one.name, count=one.count) for one in page.omitted],
    )
    for info in page.files:
        fill_info(message.files.add(), info)
    return message.SerializeToString()


def decode_page(data: bytes) -> Page:
    """Parse a ListFilesResponse. Raises ProtocolError if it is not one, or larger than a client takes."""
    check_entries(data)
    message = parsed(pb.ListFilesResponse(), data, errors.ProtocolError)
    check_number(len(message.files) + len(message.prefixes) + len(message.omitted))
    if any(len(prefix) > MAX_NAME_BYTES for prefix in message.prefixes):
        raise errors.ProtocolError(f"the server lists a prefix that is longer than {MAX_NAME_BYTES} bytes")
    return Page(tuple(map(decode_info, message.files)), tuple(message.prefixes), tuple(map(_decode_omission, message.omitted)))


def _decode_omission(message: pb.Omission) -> Omission:
    name, reason = message.name, message.reason
    if len(name) > MAX_NAME_BYTES or len(reason) > _LONGEST_REASON:
        raise errors.ProtocolError(
            f"{abridged(name)}: the server leaves it out by a name of {len(name)} characters and for a reason of "
            f"{len(reason)}: at most {MAX_NAME_BYTES} and {_LONGEST_REASON} are taken"
        )
    return Omission(reason, name, max(message.count, 1))


def encode_read_request(request: ReadRequest) -> bytes:
    """Serialise a ReadFileRequest."""
    return filled(
        pb.ReadFileRequest,
        name=request.name,
        start=request.start or None,
        length=request.length,
        revision=request.revision,
        block_size=request.block_size,
        transfer_id=request.transfer_id,
        attempt=request.attempt,
        sha256=request.sha256,
    ).SerializeToString()


def decode_read_request(data: bytes) -> ReadRequest:
    """Parse a ReadFileRequest. Raises InvalidRequestError if it is not one, InvalidRangeError for negative numbers."""
    message = parsed(pb.ReadFileRequest(), data, errors.InvalidRequestError)
    length = message.length if message.HasField("length") else None
    if message.start < 0 or (length is not None and length < 0):
        raise errors.InvalidRangeError(
            f"{message.name}: start {message.start} and length {length} must not be negative", name=message.name
        )
    return ReadRequest(
        name=message.name,
        start=message.start,
        length=length,
        revision=message.revision or None,
        block_size=message.block_size if message.block_size > 0 else None,
        transfer_id=message.transfer_id,
        attempt=message.attempt,
        sha256=message.sha256,
    )


def encode_frame(frame: Frame) -> bytes:
    """Serialise a ReadFileResponse. The bytes are those of the generated code, but the data is copied once less."""
    return b"".join(frame_parts(frame))


def frame_parts(frame: Frame) -> tuple[Bytes, ...]:
    """Return the parts that `encode_frame` joins. A caller that adds more parts joins all at once, and copies the data once."""
    block = frame.block
    if block is None:
        return (_encode_head(frame.header), _encode_tail(frame.summary))
    small = b""
    if block.offset:
        small = b"\x08" + varint(block.offset)
    if block.crc32c:
        small += b"\x15" + block.crc32c.to_bytes(4, "little")
    size = len(block.data)
    if size:
        small += b"\x1a" + varint(size)
    start = b"\x12" + varint(len(small) + size) + small
    if frame.header is None and frame.summary is None:
        return (start, block.data)
    return (_encode_head(frame.header), start, block.data, _encode_tail(frame.summary))


def decode_frame(data: bytes) -> Frame:
    """Parse a ReadFileResponse. Raises ProtocolError if it is not one.

    The data of a block may refer to `data` in place.
    """
    block = read_plain_block(data)
    if block is not None:
        return Frame(block=block)
    return frame_of(parsed(pb.ReadFileResponse(), data, errors.ProtocolError))


def frame_of(message: pb.ReadFileResponse | pb.FilePiece) -> Frame:
    """Return the frame that a message carries."""
    header = block = summary = None
    # Each access to a field that is a message makes a new object, so access it once.
    if message.HasField("header"):
        opens = message.header
        header = Header(decode_info(opens.info), opens.start, opens.length)
    if message.HasField("block"):
        run = message.block
        block = Block(run.offset, run.data, run.crc32c)
    if message.HasField("summary"):
        closes = message.summary
        summary = Summary(closes.end, closes.at_end, closes.crc32c if closes.HasField("crc32c") else None)
    return Frame(header, block, summary)


_last_info: tuple[FileInfo | None, bytes] = (None, b"")
"""The last description in a header, and its bytes: spans of one file follow each other, and encoding it again takes 7 us."""


def _encode_head(header: Header | None) -> bytes:
    if header is None:
        return b""
    assert header.info is not None
    assert header.length is not None
    global _last_info  # noqa: PLW0603 - a cache
    info, encoded = _last_info
    if info is not header.info:
        encoded = encode_info(header.info).SerializeToString()
        _last_info = header.info, encoded
    fields = b"\x0a" + varint(len(encoded)) + encoded
    if header.start:
        fields += b"\x10" + varint(header.start)
    if header.length:
        fields += b"\x18" + varint(header.length)
    return b"\x0a" + varint(len(fields)) + fields


def _encode_tail(summary: Summary | None) -> bytes:
    if summary is None:
        return b""
    fields = b"\x08" + varint(summary.end) if summary.end else b""
    if summary.at_end:
        fields += b"\x10\x01"
    if summary.crc32c is not None:
        fields += b"\x1d" + summary.crc32c.to_bytes(4, "little")
    return b"\x1a" + varint(len(fields)) + fields


def read_plain_block(data: bytes) -> Block | None:
    """Read a message that is only a block, encoded as `encode_frame` does; return None for any other message."""
    if not data or data[0] != PLAIN_BLOCK:
        return None
    length, at = _read_varint(data, 1)
    if length != len(data) - at:
        return None
    offset = checksum = 0
    if data[at : at + 1] == b"\x08":
        offset, at = _read_varint(data, at + 1)
        if not 0 < offset < 1 << 63:
            return None
    if data[at : at + 1] == b"\x15":
        checksum = int.from_bytes(data[at + 1 : at + 5], "little")
        at += 5
    if data[at : at + 1] != b"\x1a":
        return None
    length, at = _read_varint(data, at + 1)
    if length != len(data) - at:
        return None
    return Block(offset, memoryview(data)[at:], checksum)


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it: seven bits in each byte, the lowest first."""
    if 0 <= value < _MORE:
        return _ONE_BYTE[value]
    value &= (1 << 64) - 1  # a negative int64 is written as its two's complement
    out = bytearray()
    while value >= _MORE:
        out.append(value & 0xFF | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and its end; (-1, at) if it has more than nine bytes, or more bytes than it needs."""
    value = shift = 0
    for byte in data[at : at + 9]:
        value |= (byte & ~_MORE) << shift
        at += 1
        if byte < _MORE:
            return (value, at) if byte or not shift else (-1, at)
        shift += 7
    return -1, at
