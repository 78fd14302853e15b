"""Between the model and the wire, for the tutorial's dialect: `demo.Files/GetFile`.

It has a name, the number of the chunk to start with, and numbered chunks of 32 KiB: no size, revision, checksum or end
marker.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from unspool.core.model import Bytes, ReadRequest
from unspool.demo import files_pb2 as pb
from unspool.errors import InvalidRangeError, InvalidRequestError
from unspool.rpc.wire import varint

SERVICE = pb.DESCRIPTOR.services_by_name["Files"].full_name

CHUNK_SIZE = 32 * 1024
"""Bytes per chunk: the tutorial's. Both sides must mean the same, for a start is a number of chunks."""


def decode_request(data: bytes) -> ReadRequest:
    """Parse a Request. Raises InvalidRequestError if it is not one, InvalidRangeError if its start is negative."""
    try:
        message = pb.Request.FromString(data)
    except DecodeError as error:
        raise InvalidRequestError("the message received is not a Request") from error
    if message.start_at < 0:
        raise InvalidRangeError(f"{message.name}: start_at {message.start_at} must not be negative", name=message.name)
    return ReadRequest(message.name, start=message.start_at * CHUNK_SIZE)


def encode_response(chunk: Bytes, number: int) -> bytes:
    """Serialise a Response: the same bytes as the generated code makes, with two copies of the chunk fewer."""
    head = b"\x0a" + varint(len(chunk)) if chunk else b""
    tail = b"\x10" + varint(number) if number else b""
    return b"".join((head, chunk, tail))
