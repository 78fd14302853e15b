"""Encodes and decodes the messages of `DeleteFile`."""

from __future__ import annotations

from unspool import errors
from unspool.core.model import FileInfo
from unspool.core.uploading import DeleteRequest
from unspool.rpc.messages import filled, parsed
from unspool.rpc.wire import decode_info, encode_info
from unspool.v1 import file_service_pb2 as pb


def encode_delete_request(request: DeleteRequest) -> bytes:
    """Serialise a DeleteFileRequest."""
    return filled(
        pb.DeleteFileRequest,
        name=request.name,
        if_revision=request.revision,
        transfer_id=request.transfer_id,
        attempt=request.attempt,
    ).SerializeToString()


def decode_delete_request(data: bytes) -> DeleteRequest:
    """Parse a DeleteFileRequest. Raises InvalidRequestError if it is not one."""
    message = parsed(pb.DeleteFileRequest(), data, errors.InvalidRequestError)
    revision = message.if_revision if message.HasField("if_revision") else None
    return DeleteRequest(message.name, revision, message.transfer_id, message.attempt)


def encode_deleted(info: FileInfo) -> bytes:
    """Serialise a DeleteFileResponse."""
    return pb.DeleteFileResponse(deleted=encode_info(info)).SerializeToString()


def decode_deleted(data: bytes) -> FileInfo:
    """Parse a DeleteFileResponse. Raises ProtocolError if it is not one."""
    message = parsed(pb.DeleteFileResponse(), data, errors.ProtocolError)
    if not message.HasField("deleted"):
        raise errors.ProtocolError("the server does not say what it deleted")
    return decode_info(message.deleted)
