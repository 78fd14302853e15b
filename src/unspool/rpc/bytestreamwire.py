"""Decodes the requests of `google.bytestream.ByteStream`, and encodes the responses.

A read has a name, the first byte wanted and the most bytes wanted; the response is a stream of bytes. There is no size,
revision, checksum or end marker.

The messages are in a descriptor pool of their own. In the default pool, neither this module could be imported beside another
one for the same package (Google's, or that of a build tool) nor the other beside this one.
"""

from __future__ import annotations

from unspool.core.bytestreamwrite import WriteMessage
from unspool.core.model import Bytes, ReadRequest
from unspool.errors import InvalidRangeError, InvalidRequestError, StartPastEndError
from unspool.rpc.bytestream import bytestream_pb2 as pb
from unspool.rpc.messages import parsed
from unspool.rpc.wire import varint

SERVICE = pb.DESCRIPTOR.services_by_name["ByteStream"].full_name

POOL = pb.DESCRIPTOR.pool
"""The pool that describes the service."""

_DATA = bytes([pb.ReadResponse.DATA_FIELD_NUMBER << 3 | 2])
"""What precedes the length of the data in a response."""


def decode_read_request(data: bytes) -> ReadRequest:
    """Parse a ReadRequest.

    Raises:
        InvalidRequestError: it is malformed.
        StartPastEndError: its offset is negative. By the .proto that is OUT_OF_RANGE, as an offset beyond the end is.
        InvalidRangeError: its limit is negative.
    """
    message = parsed(pb.ReadRequest(), data, InvalidRequestError)
    name, start, limit = message.resource_name, message.read_offset, message.read_limit
    if start < 0:
        raise StartPastEndError(f"{name}: read_offset {start} must not be negative", name=name)
    if limit < 0:
        raise InvalidRangeError(f"{name}: read_limit {limit} must not be negative", name=name)
    return ReadRequest(name, start=start, length=limit or None)


def decode_write_request(data: bytes) -> WriteMessage:
    """Parse a WriteRequest. Raises InvalidRequestError if it is malformed."""
    message = parsed(pb.WriteRequest(), data, InvalidRequestError)
    return WriteMessage(message.resource_name, message.write_offset, message.finish_write, message.data)


def decode_status_request(data: bytes) -> str:
    """Parse a QueryWriteStatusRequest. Returns the name. Raises InvalidRequestError if it is malformed."""
    return parsed(pb.QueryWriteStatusRequest(), data, InvalidRequestError).resource_name


def encode_write_response(committed: int) -> bytes:
    """Serialise a WriteResponse."""
    return pb.WriteResponse(committed_size=committed).SerializeToString()


def encode_status_response(committed: int, *, complete: bool) -> bytes:
    """Serialise a QueryWriteStatusResponse."""
    return pb.QueryWriteStatusResponse(committed_size=committed, complete=complete).SerializeToString()


def encode_read_response(data: Bytes) -> bytes:
    """Serialise a ReadResponse. The bytes are those of the generated code, but the data is copied only once."""
    return b"".join((_DATA, varint(len(data)), data)) if data else b""
