"""Encodes and decodes the messages of the tutorial's dialect, `demo.Files/GetFile`.

A request has a name and the number of the first chunk; the response is a stream of numbered chunks of 32 KiB. There is no size,
revision, checksum or end marker.
"""

from __future__ import annotations

from unspool.core.model import Bytes, ReadRequest
from unspool.demo import files_pb2 as pb
from unspool.errors import InvalidRangeError, InvalidRequestError
from unspool.rpc.messages import parsed
from unspool.rpc.wire import varint

SERVICE = pb.DESCRIPTOR.services_by_name["Files"].full_name

CHUNK_SIZE = 32 * 1024
"""Bytes per chunk, as in the tutorial. Both sides must use the same value, because a start is given in chunks."""


def decode_request(data: bytes) -> ReadRequest:
    """Parse a Request. Raises InvalidRequestError if it is malformed, InvalidRangeError if its start is negative."""
    message = parsed(pb.Request(), data, InvalidRequestError)
    if message.start_at < 0:
        raise InvalidRangeError(f"{message.name}: start_at {message.start_at} must not be negative", name=message.name)
    return ReadRequest(message.name, start=message.start_at * CHUNK_SIZE)


def encode_response(chunk: Bytes, number: int) -> bytes:
    """Serialise a Response. The bytes are those of the generated code, but the chunk is copied two times fewer."""
    head = b"\x0a" + varint(len(chunk)) if chunk else b""
    tail = b"\x10" + varint(number) if number else b""
    return b"".join((head, chunk, tail))
