"""Maps unspool's errors to gRPC's status and back: the status code, the message, and the details (AIP-193).

Both tables are total: every error class has a status code, and every status code an error class. The error of one file of a
batch has no status of its own; a FileError message carries the same information.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError

from unspool import errors
from unspool.rpc.messages import decode_duration, encode_duration
from unspool.v1 import file_service_pb2 as pb

if TYPE_CHECKING:
    from google.rpc.error_details_pb2 import ErrorInfo

DOMAIN = "unspool"
"""The domain of every ErrorInfo that unspool sends (AIP-193)."""

DETAILS_KEY = "grpc-status-details-bin"
"""The metadata key under which gRPC carries a google.rpc.Status."""

_LONGEST_ERROR = 1024
"""Most bytes of a message or a name in a status. gRPC accepts 8 KiB of trailers. They contain the message twice:
percent-encoded, which can triple its size, and in base64. A status that does not fit arrives as a different one."""

_OFFSET = re.compile(r"[0-9]{1,19}")
"""An offset in a status. The length is limited because int() raises ValueError for numbers of some thousand digits."""

_TOO_LARGE = "larger than max"
"""gRPC's text (C++, Go, JavaScript) about a message over its size limit. A retry would not make the message smaller."""

STATUS: dict[type[errors.UnspoolError], grpc.StatusCode] = {
    errors.UnspoolError: grpc.StatusCode.INTERNAL,
    errors.InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidNameError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidRangeError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.StartPastEndError: grpc.StatusCode.OUT_OF_RANGE,
    errors.TooLargeError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.UnsupportedError: grpc.StatusCode.UNIMPLEMENTED,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.NotAFileError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AccessError: grpc.StatusCode.PERMISSION_DENIED,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.TokenRefusedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.OutsideRootError: grpc.StatusCode.PERMISSION_DENIED,
    errors.FileChangedError: grpc.StatusCode.ABORTED,
    errors.FileKeepsChangingError: grpc.StatusCode.ABORTED,
    errors.SourceChangedError: grpc.StatusCode.ABORTED,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
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
    errors.ConnectError: grpc.StatusCode.UNAVAILABLE,
    errors.TlsError: grpc.StatusCode.UNAVAILABLE,
    errors.TruncatedError: grpc.StatusCode.UNAVAILABLE,
    errors.StalledError: grpc.StatusCode.UNAVAILABLE,
    errors.OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StreamAgeError: grpc.StatusCode.UNAVAILABLE,
    errors.NoSpaceError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ServerError: grpc.StatusCode.INTERNAL,
    errors.LocalFileError: grpc.StatusCode.INTERNAL,
    errors.DestinationExistsError: grpc.StatusCode.INTERNAL,
    errors.BusyError: grpc.StatusCode.UNAVAILABLE,
    errors.TakenOverError: grpc.StatusCode.ABORTED,
    errors.IncompleteTreeError: grpc.StatusCode.INTERNAL,
}
"""The status code that a server sends for each error."""

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
        errors.StreamAgeError,
        errors.ServerError,
    )
}
"""The reasons that a server may send. Only the client itself can raise the other errors."""

FROM_UPLOAD_REASON: dict[str, type[errors.UnspoolError]] = FROM_REASON | {
    kind.reason: kind
    for kind in (
        errors.TooLargeError,
        errors.AlreadyExistsError,
        errors.TakenOverError,
        errors.NoSpaceError,
        errors.BlockCorruptError,
        errors.SequenceError,
        errors.FileMismatchError,
    )
}
"""The reasons with which a server may refuse an upload. It verifies what the client sends, so it may find the same faults."""

FROM_STATUS: dict[grpc.StatusCode, type[errors.UnspoolError]] = {
    grpc.StatusCode.OK: errors.ServerError,  # an "error" with status OK
    grpc.StatusCode.CANCELLED: errors.UnreachableError,  # by a proxy or a dying server, not by the client itself
    grpc.StatusCode.UNKNOWN: errors.ServerError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequestError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.StalledError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.ServerError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.OverloadedError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.InvalidRequestError,
    grpc.StatusCode.ABORTED: errors.ServerError,  # it means FILE_CHANGED only with that reason
    grpc.StatusCode.UNIMPLEMENTED: errors.UnsupportedError,
    grpc.StatusCode.OUT_OF_RANGE: errors.StartPastEndError,
    grpc.StatusCode.INTERNAL: errors.ServerError,  # gRPC reports a broken HTTP/2 stream like this too
    grpc.StatusCode.UNAVAILABLE: errors.UnreachableError,
    grpc.StatusCode.DATA_LOSS: errors.DataLossError,
}
"""The error for a status without such a reason: from another implementation, a proxy, or gRPC itself."""

_NUMBERED = {code.value[0]: code for code in grpc.StatusCode}


def encode_error(error: errors.UnspoolError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Return the status code, the message and the trailing metadata for an error."""
    from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # noqa: PLC0415 - most calls end well
    from google.rpc.status_pb2 import Status  # noqa: PLC0415 - as above

    code = code_of(error)
    info = ErrorInfo(domain=DOMAIN, reason=error.reason)
    if error.name is not None and len(name := error.name.encode(errors="replace")) <= _LONGEST_ERROR:
        info.metadata["name"] = name.decode()
    if error.offset is not None:
        info.metadata["offset"] = str(error.offset)
    message = _bounded(error.message)
    status = Status(code=code.value[0], message=message)
    status.details.add().Pack(info)
    if error.retry_after is not None:
        status.details.add().Pack(RetryInfo(retry_delay=encode_duration(error.retry_after)))
    return code, message, ((DETAILS_KEY, status.SerializeToString()),)


def code_of(error: errors.UnspoolError) -> grpc.StatusCode:
    """Return the status code for an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)  # a store may raise subclasses


def _bounded(text: str) -> str:
    """Return a text as valid UTF-8, short enough for a trailer. A long text loses its middle, because a name comes first."""
    raw = text.encode(errors="replace")
    if len(raw) <= _LONGEST_ERROR:
        return raw.decode()
    half = _LONGEST_ERROR // 2
    return f"{raw[:half].decode(errors='ignore')}...{raw[-half:].decode(errors='ignore')}"


def encode_file_error(error: errors.UnspoolError) -> pb.FileError:
    """Return the message for the error of one file of a batch."""
    return pb.FileError(
        code=code_of(error).value[0],
        reason=error.reason,
        message=_bounded(error.message),
        offset=error.offset,
        retry_delay=encode_duration(error.retry_after),
    )


def decode_upload_error(message: pb.FileError, *, name: str | None) -> errors.UnspoolError:
    """Return the error with which an upload was refused. `name` is the file's name."""
    return decode_file_error(message, name=name, kinds=FROM_UPLOAD_REASON)


def decode_file_error(
    message: pb.FileError, *, name: str | None, kinds: Mapping[str, type[errors.UnspoolError]] = FROM_REASON
) -> errors.UnspoolError:
    """Return the error that a FileError stands for. `name` is the file's name; `kinds` are the errors by reason."""
    text = _bounded(message.message)
    retry_after = decode_duration(message.retry_delay) if message.HasField("retry_delay") else None
    if message.reason in kinds:
        offset = message.offset if message.HasField("offset") and message.offset >= 0 else None
        return kinds[message.reason](text or message.reason, name=name, offset=offset, retry_after=retry_after)
    code = _NUMBERED.get(message.code, grpc.StatusCode.UNKNOWN)
    said = f"{name}: {text or 'no more is said'} ({code.name})"
    return FROM_STATUS[code](said, name=name, retry_after=retry_after)


def decode_error(
    code: grpc.StatusCode, message: str | None, metadata: Iterable[tuple[str, str | bytes]], *, server: str
) -> errors.UnspoolError:
    """Return the error for a status other than OK. If the status has no reason of ours, the error's message names `server`."""
    info, retry_after, text = _decode_details(metadata)
    if info is not None and info.domain == DOMAIN and info.reason in FROM_REASON:
        offset = info.metadata.get("offset", "")
        return FROM_REASON[info.reason](
            text or message or info.reason,
            name=info.metadata.get("name"),
            offset=int(offset) if _OFFSET.fullmatch(offset) else None,
            retry_after=retry_after,
        )
    kind = FROM_STATUS[code]
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in (message or ""):
        kind = errors.ProtocolError
    said = f"{server}: {message or 'no more is said'} ({code.name})"
    if kind is errors.UnsupportedError:
        said += '; it does not speak unspool.v1 (perhaps dialect="demo"?)'
    return kind(said, retry_after=retry_after)


def _decode_details(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[ErrorInfo | None, float | None, str]:
    """Return the ErrorInfo, the seconds of the RetryInfo and the message, as far as they are there."""
    from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # noqa: PLC0415 - most calls end well
    from google.rpc.status_pb2 import Status  # noqa: PLC0415 - as above

    info: ErrorInfo | None = None
    retry_after: float | None = None
    text = ""
    for key, value in metadata:
        if key != DETAILS_KEY or isinstance(value, str):
            continue
        try:
            decoded = Status.FromString(value)
            text = decoded.message or text
            for detail in decoded.details:
                if detail.Is(ErrorInfo.DESCRIPTOR):
                    detail.Unpack(unpacked := ErrorInfo())
                    info = unpacked  # assigned only after it parsed completely
                elif detail.Is(RetryInfo.DESCRIPTOR):
                    detail.Unpack(retry := RetryInfo())
                    retry_after = decode_duration(retry.retry_delay)
        except DecodeError:
            continue  # other software's data under this key; the status code and message still count
    return info, retry_after, text
