"""Between the model and the wire: messages to protobuf and back, errors to gRPC status and back.

Rule 1: what is not hot goes through the generated code.
Rule 2: the one hot message, a block, does not: protobuf copies a `bytes` field when it serialises and again when it parses.
        Since serialised fields may be concatenated, the small fields are written by hand around the data (one copy), and a
        message that is just a block is read in place (none). Whatever does not look exactly as this module would have written
        it is left to the generated parser, so both agree on every message, hostile ones included; the tests hold them to it.
Rule 3: both tables of errors are total: every error of ours has a status, every status one of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from unspool import errors
from unspool.core.model import Block, FileInfo, Frame, Header, ListRequest, Page, ReadRequest, Summary
from unspool.v1 import file_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["FileService"].full_name

DOMAIN = "unspool"
"""The domain of every ErrorInfo of ours (AIP-193)."""

DETAILS_KEY = "grpc-status-details-bin"
"""Where gRPC carries a google.rpc.Status."""

_NS = 1_000_000_000

_MORE = 0x80
"""The bit of a varint's byte that says another follows."""

_M = TypeVar("_M", bound=Message)

# Messages --------------------------------------------------------------------------------------------------------------


def encode_info(info: FileInfo) -> pb.FileInfo:
    """Turn a file's description into its message."""
    modified = None
    if info.modified_ns is not None:
        seconds, nanos = divmod(info.modified_ns, _NS)
        modified = Timestamp(seconds=seconds, nanos=nanos)
    return pb.FileInfo(
        name=info.name,
        size=info.size,
        revision=info.revision,
        modified=modified,
        content_type=info.content_type,
        crc32c=info.crc32c,
    )


def decode_info(message: pb.FileInfo) -> FileInfo:
    """Turn a message into a file's description."""
    return FileInfo(
        name=message.name,
        size=message.size,
        revision=message.revision,
        modified_ns=message.modified.seconds * _NS + message.modified.nanos if message.HasField("modified") else None,
        content_type=message.content_type,
        crc32c=message.crc32c if message.HasField("crc32c") else None,
    )


def encode_stat_request(name: str) -> bytes:
    """Serialise a StatFileRequest."""
    return _filled(pb.StatFileRequest, name=name).SerializeToString()


def decode_stat_request(data: bytes) -> str:
    """Parse a StatFileRequest. Raises InvalidRequestError if it is not one."""
    return _parsed(pb.StatFileRequest(), data, errors.InvalidRequestError).name


def encode_stat_response(info: FileInfo) -> bytes:
    """Serialise a StatFileResponse."""
    return pb.StatFileResponse(info=encode_info(info)).SerializeToString()


def decode_stat_response(data: bytes) -> FileInfo:
    """Parse a StatFileResponse. Raises ProtocolError if it is not one."""
    return decode_info(_parsed(pb.StatFileResponse(), data, errors.ProtocolError).info)


def encode_list_request(request: ListRequest) -> bytes:
    """Serialise a ListFilesRequest."""
    return _filled(
        pb.ListFilesRequest, prefix=request.prefix, recursive=request.recursive, page_size=request.page_size
    ).SerializeToString()


def decode_list_request(data: bytes) -> ListRequest:
    """Parse a ListFilesRequest. Raises InvalidRequestError if it is not one."""
    message = _parsed(pb.ListFilesRequest(), data, errors.InvalidRequestError)
    return ListRequest(message.prefix, message.recursive, message.page_size if message.page_size > 0 else None)


def encode_page(page: Page) -> bytes:
    """Serialise a ListFilesResponse."""
    return pb.ListFilesResponse(files=[encode_info(info) for info in page.files], prefixes=page.prefixes).SerializeToString()


def decode_page(data: bytes) -> Page:
    """Parse a ListFilesResponse. Raises ProtocolError if it is not one."""
    message = _parsed(pb.ListFilesResponse(), data, errors.ProtocolError)
    return Page(tuple(map(decode_info, message.files)), tuple(message.prefixes))


def encode_read_request(request: ReadRequest) -> bytes:
    """Serialise a ReadFileRequest."""
    return _filled(
        pb.ReadFileRequest,
        name=request.name,
        start=request.start or None,
        length=request.length,
        revision=request.revision,
        block_size=request.block_size,
        transfer_id=request.transfer_id,
        attempt=request.attempt,
    ).SerializeToString()


def decode_read_request(data: bytes) -> ReadRequest:
    """Parse a ReadFileRequest. Raises InvalidRequestError if it is not one, InvalidRangeError for negative numbers."""
    message = _parsed(pb.ReadFileRequest(), data, errors.InvalidRequestError)
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
    )


def encode_frame(frame: Frame) -> bytes:
    """Serialise a ReadFileResponse: the same bytes as the generated code makes, with one copy of the data fewer."""
    block = frame.block
    if block is None:
        return _encode_head(frame.header) + _encode_tail(frame.summary)
    small = b""
    if block.offset:
        small = b"\x08" + _varint(block.offset)
    if block.crc32c:
        small += b"\x15" + block.crc32c.to_bytes(4, "little")
    size = len(block.data)
    if size:
        small += b"\x1a" + _varint(size)
    start = b"\x12" + _varint(len(small) + size) + small
    if frame.header is None and frame.summary is None:
        return b"".join((start, block.data))
    return b"".join((_encode_head(frame.header), start, block.data, _encode_tail(frame.summary)))


def decode_frame(data: bytes) -> Frame:
    """Parse a ReadFileResponse. Raises ProtocolError if it is not one.

    The data of a block may refer to `data` in place.
    """
    block = _read_plain_block(data)
    if block is not None:
        return Frame(block=block)
    message = _parsed(pb.ReadFileResponse(), data, errors.ProtocolError)
    header = block = summary = None
    if message.HasField("header"):
        header = Header(decode_info(message.header.info), message.header.start, message.header.length)
    if message.HasField("block"):
        block = Block(message.block.offset, message.block.data, message.block.crc32c)
    if message.HasField("summary"):
        crc32c = message.summary.crc32c if message.summary.HasField("crc32c") else None
        summary = Summary(message.summary.end, message.summary.at_end, crc32c)
    return Frame(header, block, summary)


def _encode_head(header: Header | None) -> bytes:
    if header is None:
        return b""
    assert header.info is not None
    assert header.length is not None
    return pb.ReadFileResponse(
        header=pb.Header(info=encode_info(header.info), start=header.start, length=header.length)
    ).SerializeToString()


def _encode_tail(summary: Summary | None) -> bytes:
    if summary is None:
        return b""
    return pb.ReadFileResponse(
        summary=pb.Summary(end=summary.end, at_end=summary.at_end, crc32c=summary.crc32c)
    ).SerializeToString()


def _read_plain_block(data: bytes) -> Block | None:
    """Read a message that is a block and nothing else, spelled as `encode_frame` spells it; None for any other."""
    if data[:1] != b"\x12":
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


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # a negative int64 is written as its two's complement
    out = bytearray()
    while value >= _MORE:
        out.append(value & ~_MORE & 0xFF | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and where it ends; (-1, at) if none ends within nine bytes."""
    value = shift = 0
    for byte in data[at : at + 9]:
        value |= (byte & ~_MORE) << shift
        shift += 7
        at += 1
        if byte < _MORE:
            return value, at
    return -1, at


def _filled(kind: type[_M], **fields: object) -> _M:
    try:
        return kind(**fields)
    except (ValueError, TypeError) as error:
        raise errors.InvalidRequestError(f"cannot be put into a request: {error}") from error


def _parsed(message: _M, data: bytes, otherwise: type[errors.UnspoolError]) -> _M:
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise otherwise(f"the message received is not a {message.DESCRIPTOR.name}") from error
    return message


# Errors ----------------------------------------------------------------------------------------------------------------

STATUS: dict[type[errors.UnspoolError], grpc.StatusCode] = {
    errors.UnspoolError: grpc.StatusCode.INTERNAL,
    errors.InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidNameError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidRangeError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.StartPastEndError: grpc.StatusCode.OUT_OF_RANGE,
    errors.UnsupportedError: grpc.StatusCode.UNIMPLEMENTED,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.NotAFileError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AccessError: grpc.StatusCode.PERMISSION_DENIED,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.OutsideRootError: grpc.StatusCode.PERMISSION_DENIED,
    errors.FileChangedError: grpc.StatusCode.ABORTED,
    errors.VerificationError: grpc.StatusCode.DATA_LOSS,
    errors.BlockCorruptError: grpc.StatusCode.DATA_LOSS,
    errors.FileMismatchError: grpc.StatusCode.DATA_LOSS,
    errors.DataLossError: grpc.StatusCode.DATA_LOSS,
    errors.ProtocolError: grpc.StatusCode.INTERNAL,
    errors.StartIgnoredError: grpc.StatusCode.INTERNAL,
    errors.SequenceError: grpc.StatusCode.INTERNAL,
    errors.TooMuchDataError: grpc.StatusCode.INTERNAL,
    errors.TransferError: grpc.StatusCode.UNAVAILABLE,
    errors.UnreachableError: grpc.StatusCode.UNAVAILABLE,
    errors.TruncatedError: grpc.StatusCode.UNAVAILABLE,
    errors.StalledError: grpc.StatusCode.UNAVAILABLE,
    errors.OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ServerError: grpc.StatusCode.INTERNAL,
    errors.LocalFileError: grpc.StatusCode.INTERNAL,
    errors.DestinationExistsError: grpc.StatusCode.INTERNAL,
    errors.BusyError: grpc.StatusCode.UNAVAILABLE,
}
"""What a server answers for each of our errors."""

FROM_REASON: dict[str, type[errors.UnspoolError]] = {
    kind.reason: kind
    for kind in (
        errors.InvalidRequestError,
        errors.InvalidNameError,
        errors.InvalidRangeError,
        errors.StartPastEndError,
        errors.UnsupportedError,
        errors.NotFoundError,
        errors.NotAFileError,
        errors.UnauthenticatedError,
        errors.PermissionDeniedError,
        errors.OutsideRootError,
        errors.FileChangedError,
        errors.DataLossError,
        errors.UnreachableError,
        errors.OverloadedError,
        errors.ServerError,
    )
}
"""The reasons a server may give. The others are found out by the client itself: a server cannot claim them."""

FROM_STATUS: dict[grpc.StatusCode, type[errors.UnspoolError]] = {
    grpc.StatusCode.OK: errors.ServerError,  # an "error" with status OK
    grpc.StatusCode.CANCELLED: errors.UnreachableError,  # by a proxy or a dying server: our own cancel is no status
    grpc.StatusCode.UNKNOWN: errors.ServerError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequestError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.StalledError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.ServerError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.OverloadedError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.InvalidRequestError,
    grpc.StatusCode.ABORTED: errors.ServerError,  # only with its reason does it mean that the file changed
    grpc.StatusCode.UNIMPLEMENTED: errors.UnsupportedError,
    grpc.StatusCode.OUT_OF_RANGE: errors.StartPastEndError,
    grpc.StatusCode.INTERNAL: errors.ServerError,  # also how a broken HTTP/2 stream shows
    grpc.StatusCode.UNAVAILABLE: errors.UnreachableError,
    grpc.StatusCode.DATA_LOSS: errors.DataLossError,
}
"""What an answer means that gives no reason of ours: from another implementation, a proxy, or gRPC itself."""


def encode_error(error: errors.UnspoolError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Return the status code, the message and the trailing metadata that say `error` on the wire."""
    code = STATUS[type(error)]
    info = ErrorInfo(domain=DOMAIN, reason=error.reason)
    if error.name is not None:
        info.metadata["name"] = error.name.encode(errors="replace").decode()
    if error.offset is not None:
        info.metadata["offset"] = str(error.offset)
    message = error.message.encode(errors="replace").decode()
    status = Status(code=code.value[0], message=message)
    status.details.add().Pack(info)
    if error.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * _NS))
        status.details.add().Pack(retry)
    return code, message, ((DETAILS_KEY, status.SerializeToString()),)


def decode_error(
    code: grpc.StatusCode, message: str | None, metadata: Iterable[tuple[str, str | bytes]], *, server: str
) -> errors.UnspoolError:
    """Return what a status other than OK means, as an error of ours. `server` is named where the status names nobody."""
    info, retry_after = _decode_details(metadata)
    if info is not None and info.domain == DOMAIN and info.reason in FROM_REASON:
        offset = info.metadata.get("offset", "")
        return FROM_REASON[info.reason](
            message or info.reason,
            name=info.metadata.get("name"),
            offset=int(offset) if offset.isascii() and offset.isdigit() else None,
            retry_after=retry_after,
        )
    kind = FROM_STATUS[code]
    said = f"{server}: {message or 'no more is said'} ({code.name})"
    if kind is errors.UnsupportedError:
        said += "; it does not speak unspool.v1 (perhaps --dialect demo?)"
    return kind(said, retry_after=retry_after)


def _decode_details(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[ErrorInfo | None, float | None]:
    info: ErrorInfo | None = None
    retry_after: float | None = None
    for key, value in metadata:
        if key != DETAILS_KEY or isinstance(value, str):
            continue
        try:
            for detail in Status.FromString(value).details:
                if detail.Is(ErrorInfo.DESCRIPTOR):
                    detail.Unpack(info := ErrorInfo())
                elif detail.Is(RetryInfo.DESCRIPTOR):
                    detail.Unpack(retry := RetryInfo())
                    retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / _NS
        except DecodeError:
            continue  # somebody else's bytes under that key: the status itself still says what it says
    return info, retry_after
