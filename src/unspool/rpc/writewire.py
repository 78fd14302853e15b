"""Encodes and decodes the messages of writing: uploads (`WriteFile`, `StatUpload`, `AbandonUpload`) and batches (`WriteFiles`).

A message that is only a block is the most frequent one. Its bytes are those of a ReadFileResponse with that block, because the
field has the same number, so `unspool.rpc.wire` writes and reads it without superfluous copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from unspool import errors
from unspool.core.model import Attributes, Block, Frame, Span
from unspool.core.uploading import (
    ANYTHING,
    IF_ABSENT,
    UPLOAD_ID_BYTES,
    Condition,
    GoodSpan,
    NewFile,
    UploadAnswer,
    UploadCommit,
    UploadCommitted,
    UploadOpen,
    UploadOpened,
    UploadProgress,
    UploadRefused,
    UploadRequest,
    UploadState,
    WrittenFile,
)
from unspool.rpc import status
from unspool.rpc.entrylimits import check_entries, has_more_fields, read_any_varint
from unspool.rpc.messages import decode_duration, decode_time, encode_duration, encode_time, fill_time, filled, parsed
from unspool.rpc.wire import SHA256_BYTES, decode_info, encode_frame, encode_info, fill_info, read_plain_block
from unspool.v1 import file_service_pb2 as pb

_M = TypeVar("_M", bound=Message)

_LARGEST = 600 * 1024
"""Bytes of a message of an upload besides its block: room for a name and 10,000 spans. If all are empty spans, parsing them
takes 25 MiB."""

_OTHER_FIELDS = 64
"""Fields that a message may have besides its files, to allow for later versions."""

_SIZED, _BLOCK = 2, 0x12
"""The wire type of a field with a length, and the tag of the block of a message."""


# WriteFile, from the client


def encode_upload_request(request: UploadRequest) -> bytes:
    """Serialise a WriteFileRequest."""
    parts = []
    if request.open is not None:
        parts.append(pb.WriteFileRequest(open=_encode_open(request.open)).SerializeToString())
    if request.block is not None:
        parts.append(encode_frame(Frame(block=request.block)))
    if request.commit is not None:
        commit = filled(pb.UploadCommit, size=request.commit.size, crc32c=request.commit.crc32c)
        parts.append(pb.WriteFileRequest(commit=commit).SerializeToString())
    return parts[0] if len(parts) == 1 else b"".join(parts)


def decode_upload_request(data: bytes) -> UploadRequest:
    """Parse a WriteFileRequest. Raises InvalidRequestError if it is not one, or makes no sense.

    The data of a block may refer to `data` in place.
    """
    block = read_plain_block(data)
    if block is not None:
        return UploadRequest(block=block)
    if _is_larger_without_block(data, _LARGEST):
        raise errors.InvalidRequestError(f"a message of {len(data)} bytes that is not a block: at most {_LARGEST} are taken")
    message = parsed(pb.WriteFileRequest(), data, errors.InvalidRequestError)
    run = message.block if message.HasField("block") else None
    ends = message.commit if message.HasField("commit") else None
    return UploadRequest(
        _decode_open(message.open) if message.HasField("open") else None,
        Block(run.offset, run.data, run.crc32c) if run is not None else None,
        UploadCommit(ends.size, ends.crc32c) if ends is not None else None,
    )


def _is_larger_without_block(data: bytes, most: int) -> bool:
    """Whether a message has more than `most` bytes besides its block, which is field 2 and may occur once."""
    tag, at = read_any_varint(data, 0)
    while at < len(data) and tag & 7 == _SIZED:
        length, at = read_any_varint(data, at)
        if tag == _BLOCK:
            return len(data) - length > most
        at += length
        if at > most:
            return True
        tag, at = read_any_varint(data, at)
    return len(data) > most


def _encode_open(opens: UploadOpen) -> pb.UploadOpen:
    attributes = opens.attributes
    return filled(
        pb.UploadOpen,
        upload_id=opens.upload_id,
        name=opens.name,
        if_absent=True if opens.condition.absent else None,
        if_revision=opens.condition.revision,
        size=opens.size,
        crc32c=opens.crc32c,
        sha256=opens.sha256,
        modified=encode_time(attributes.modified_ns),
        content_type=attributes.content_type,
        executable=attributes.executable,
        discard=[pb.GoodSpan(start=span.start, length=span.length) for span in opens.discard],
        transfer_id=opens.transfer_id,
        attempt=opens.attempt,
    )


def _decode_open(message: pb.UploadOpen) -> UploadOpen:
    name = message.name
    _check_id(message.upload_id, name)
    size = message.size if message.HasField("size") else None
    if size is not None and size < 0:
        raise errors.InvalidRangeError(f"{name}: the size {size} must not be negative", name=name)
    sha256 = message.sha256 if message.HasField("sha256") else None
    if sha256 is not None and len(sha256) != SHA256_BYTES:
        raise errors.InvalidRequestError(f"{name}: a SHA-256 has {SHA256_BYTES} bytes, not {len(sha256)}", name=name)
    return UploadOpen(
        upload_id=message.upload_id,
        name=name,
        condition=_decode_condition(message),
        size=size,
        crc32c=message.crc32c if message.HasField("crc32c") else None,
        sha256=sha256,
        attributes=_decode_attributes(message),
        discard=tuple(_decode_span(span, name) for span in message.discard),
        transfer_id=message.transfer_id,
        attempt=message.attempt,
    )


def _check_id(upload_id: bytes, name: str) -> None:
    if len(upload_id) != UPLOAD_ID_BYTES:
        raise errors.InvalidRequestError(
            f"{name}: the id of an upload has {UPLOAD_ID_BYTES} bytes, not {len(upload_id)}", name=name
        )


def _decode_condition(message: pb.UploadOpen | pb.SmallFile) -> Condition:
    match message.WhichOneof("condition"):
        case "if_absent":
            return IF_ABSENT if message.if_absent else ANYTHING
        case "if_revision":
            return Condition(revision=message.if_revision)
        case _:
            return ANYTHING


def _decode_attributes(message: pb.UploadOpen | pb.SmallFile) -> Attributes:
    return Attributes(
        decode_time(message.modified) if message.HasField("modified") else None,
        message.content_type,
        message.executable if message.HasField("executable") else None,
    )


def _decode_span(message: pb.GoodSpan, name: str) -> Span:
    if message.start < 0 or message.length < 1:
        raise errors.InvalidRangeError(f"{name}: not a span: {message.length} bytes at {message.start}", name=name)
    return Span(message.start, message.start + message.length)


# WriteFile, from the server


def encode_upload_answer(answer: UploadAnswer) -> bytes:
    """Serialise a WriteFileResponse."""
    match answer:
        case UploadOpened():
            return pb.WriteFileResponse(opened=_encode_opened(answer)).SerializeToString()
        case UploadProgress(received, durable):
            return pb.WriteFileResponse(progress=pb.UploadProgress(received=received, durable=durable)).SerializeToString()
        case UploadCommitted(info):
            return pb.WriteFileResponse(committed=encode_info(info)).SerializeToString()
        case UploadRefused(error, good):
            refused = pb.UploadRefused(error=status.encode_file_error(error), good=map(_encode_good, good))
            return pb.WriteFileResponse(refused=refused).SerializeToString()
        case None:
            return b""


def decode_upload_answer(data: bytes, *, name: str) -> UploadAnswer:
    """Parse a WriteFileResponse. Raises ProtocolError if it is not one, or makes no sense. `name` is the file's name."""
    message = _parsed_answer(pb.WriteFileResponse(), data, name)
    if message.HasField("refused"):
        refused = message.refused
        return UploadRefused(status.decode_upload_error(refused.error, name=name), _decode_goods(refused.good, name))
    if message.HasField("committed"):
        return UploadCommitted(decode_info(message.committed))
    if message.HasField("opened"):
        return _decode_opened(message.opened, name)
    if message.HasField("progress"):
        return UploadProgress(message.progress.received, message.progress.durable)
    return None


def _parsed_answer(message: _M, data: bytes, name: str) -> _M:
    """Parse an answer about an upload, unless it is so long that its spans would take much memory."""
    if len(data) > _LARGEST:
        raise errors.ProtocolError(f"{name}: the server answers {len(data)} bytes: at most {_LARGEST} are taken", name=name)
    return parsed(message, data, errors.ProtocolError)


def _encode_good(good: GoodSpan) -> pb.GoodSpan:
    return pb.GoodSpan(start=good.span.start, length=good.span.length, crc32c=good.crc32c)


def _encode_opened(opened: UploadOpened) -> pb.UploadOpened:
    return pb.UploadOpened(
        good=map(_encode_good, opened.good),
        block_size=opened.block_size,
        expires_after=encode_duration(opened.expires_after),
    )


def _decode_opened(message: pb.UploadOpened, name: str) -> UploadOpened:
    expires = decode_duration(message.expires_after) if message.HasField("expires_after") else None
    return UploadOpened(_decode_goods(message.good, name), message.block_size, expires)


def _decode_goods(messages: Iterable[pb.GoodSpan], name: str) -> tuple[GoodSpan, ...]:
    goods, end = [], 0
    for message in messages:
        start, length = message.start, message.length
        if start < end or length < 1:
            raise errors.ProtocolError(f"{name}: the server says it has {length} bytes at {start}, after byte {end}", name=name)
        end = start + length
        goods.append(GoodSpan(Span(start, end), message.crc32c))
    return tuple(goods)


# WriteFiles


def encode_new_files(files: Iterable[NewFile], *, transfer_id: str = "", attempt: int = 0) -> bytes:
    """Serialise a WriteFilesRequest. Without files it is a heartbeat."""
    message = filled(pb.WriteFilesRequest, transfer_id=transfer_id, attempt=attempt)
    for file in files:
        try:
            _fill_file(message.files.add(), file)
        except (ValueError, TypeError) as error:
            raise errors.InvalidRequestError(f"cannot be put into a request: {error}") from error
    return message.SerializeToString()


def _fill_file(message: pb.SmallFile, file: NewFile) -> None:
    """Put a small file into a message that is empty, see `fill_info`."""
    condition, attributes = file.condition, file.attributes
    message.name = file.name
    message.crc32c = file.crc32c
    message.data = bytes(file.data)
    message.content_type = attributes.content_type
    if attributes.modified_ns is not None:
        fill_time(message.modified, attributes.modified_ns)
    if attributes.executable is not None:
        message.executable = attributes.executable
    if condition.revision is not None:
        message.if_revision = condition.revision
    elif condition.absent:
        message.if_absent = True


def decode_new_files(data: bytes, most_files: int | None = None) -> tuple[NewFile, ...]:
    """Parse a WriteFilesRequest.

    Args:
        data: the message.
        most_files: a message with many more files is refused before it is parsed. None means no limit.

    Raises:
        InvalidRequestError: the message is malformed or exceeds the limit.
    """
    if most_files is not None and has_more_fields(data, most_files + _OTHER_FIELDS):
        raise errors.InvalidRequestError(f"more than {most_files} files in one message: at most {most_files} are taken")
    message = parsed(pb.WriteFilesRequest(), data, errors.InvalidRequestError)
    return tuple(
        NewFile(file.name, file.data, file.crc32c, _decode_condition(file), _decode_attributes(file)) for file in message.files
    )


def decode_transfer(data: bytes) -> tuple[str, int]:
    """Return the id of the transfer and the number of the attempt in a WriteFilesRequest, which parses."""
    message = parsed(pb.WriteFilesRequest(), data, errors.InvalidRequestError)
    return message.transfer_id, message.attempt


def encode_written(results: Iterable[WrittenFile]) -> bytes:
    """Serialise a WriteFilesResponse. Without results it is a heartbeat."""
    message = pb.WriteFilesResponse()
    for result in results:
        if isinstance(result, errors.UnspoolError):
            message.results.add().error.CopyFrom(status.encode_file_error(result))
        else:
            fill_info(message.results.add().committed, result)
    return message.SerializeToString()


def decode_written(data: bytes, names: Sequence[str]) -> tuple[WrittenFile, ...]:
    """Parse a WriteFilesResponse. Raises ProtocolError if it is not one, or has more results than there are `names`."""
    check_entries(data)
    message = parsed(pb.WriteFilesResponse(), data, errors.ProtocolError)
    if len(message.results) > len(names):
        raise errors.ProtocolError(f"the server answers {len(message.results)} files, and {len(names)} were left")
    return tuple(
        status.decode_upload_error(result.error, name=name) if result.HasField("error") else decode_info(result.committed)
        for result, name in zip(message.results, names, strict=False)
    )


# StatUpload, AbandonUpload


def encode_upload_name(upload_id: bytes, name: str) -> bytes:
    """Serialise a StatUploadRequest or an AbandonUploadRequest: they are the same bytes."""
    return filled(pb.StatUploadRequest, upload_id=upload_id, name=name).SerializeToString()


def decode_upload_name(data: bytes) -> tuple[bytes, str]:
    """Parse a StatUploadRequest or an AbandonUploadRequest. Raises InvalidRequestError if it is not one."""
    message = parsed(pb.StatUploadRequest(), data, errors.InvalidRequestError)
    _check_id(message.upload_id, message.name)
    return message.upload_id, message.name


def encode_upload_state(state: UploadState) -> bytes:
    """Serialise a StatUploadResponse."""
    match state:
        case UploadOpened():
            return pb.StatUploadResponse(opened=_encode_opened(state)).SerializeToString()
        case UploadCommitted(info):
            return pb.StatUploadResponse(committed=encode_info(info)).SerializeToString()
        case None:
            return b""


def decode_upload_state(data: bytes, *, name: str) -> UploadState:
    """Parse a StatUploadResponse. Raises ProtocolError if it is not one."""
    message = _parsed_answer(pb.StatUploadResponse(), data, name)
    if message.HasField("committed"):
        return UploadCommitted(decode_info(message.committed))
    return _decode_opened(message.opened, name) if message.HasField("opened") else None


# StatStorage


def encode_storage_request(name: str, *, deletes: bool) -> bytes:
    """Serialise a StatStorageRequest."""
    return filled(pb.StatStorageRequest, name=name, deletes=deletes).SerializeToString()


def decode_storage_request(data: bytes) -> tuple[str, bool]:
    """Parse a StatStorageRequest. Raises InvalidRequestError if it is not one."""
    message = parsed(pb.StatStorageRequest(), data, errors.InvalidRequestError)
    return message.name, message.deletes


def encode_storage(storage: str) -> bytes:
    """Serialise a StatStorageResponse."""
    return pb.StatStorageResponse(storage_id=storage).SerializeToString()


def decode_storage(data: bytes) -> str:
    """Parse a StatStorageResponse. Raises ProtocolError if it is not one, or names none."""
    storage = parsed(pb.StatStorageResponse(), data, errors.ProtocolError).storage_id
    if not storage:
        raise errors.ProtocolError("the server does not say which storage it writes to")
    return storage
