"""What the messages of all services have in common: how they are filled and parsed, and how they hold times and durations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from unspool.errors import InvalidRequestError, UnspoolError

_NS = 1_000_000_000

_M = TypeVar("_M", bound=Message)


def filled(kind: type[_M], **fields: object) -> _M:
    """Return a message with these fields. Raises InvalidRequestError if a value does not fit into its field."""
    with fitting():
        return kind(**fields)


@contextmanager
def fitting() -> Iterator[None]:
    """Raise InvalidRequestError if a value that is put into a message in the `with` does not fit into its field."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise InvalidRequestError(f"cannot be put into a request: {error}") from error


def parsed(message: _M, data: bytes, otherwise: type[UnspoolError]) -> _M:
    """Parse `data` into the message and return it. Raises an error of the class `otherwise` if it is malformed."""
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise otherwise(f"the message received is not a {message.DESCRIPTOR.name}") from error
    return message


def encode_time(nanoseconds: int | None) -> Timestamp | None:
    """Return the message for a time in nanoseconds since 1970 UTC."""
    if nanoseconds is None:
        return None
    message = Timestamp()
    fill_time(message, nanoseconds)
    return message


def fill_time(message: Timestamp, nanoseconds: int) -> None:
    """Write a time in nanoseconds since 1970 UTC into a message."""
    message.seconds, message.nanos = divmod(nanoseconds, _NS)


def decode_time(message: Timestamp) -> int:
    """Return the time in a message, in nanoseconds since 1970 UTC."""
    return message.seconds * _NS + message.nanos


def encode_duration(seconds: float | None) -> Duration | None:
    """Return the message for a duration."""
    if seconds is None:
        return None
    message = Duration()
    message.FromNanoseconds(round(seconds * _NS))
    return message


def decode_duration(message: Duration) -> float:
    """Return the seconds in a message."""
    return message.seconds + message.nanos / _NS
