"""Encodes and decodes the messages of `unspool.v1.AdminService`."""

from __future__ import annotations

from unspool.core.running import Running, RunningCall
from unspool.errors import InvalidRequestError, ProtocolError
from unspool.rpc.messages import decode_duration, encode_duration, parsed
from unspool.v1 import admin_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["AdminService"].full_name

WATCH_CALLS = "WatchCalls"

SHORTEST, LONGEST = 0.5, 60.0
"""Seconds between two answers."""


def encode_watch_request(interval: float | None) -> bytes:
    """Serialise a WatchCallsRequest."""
    return pb.WatchCallsRequest(interval=encode_duration(interval)).SerializeToString()


def decode_watch_request(data: bytes) -> float | None:
    """Parse a WatchCallsRequest. Returns the seconds between two answers, or None for one answer.

    Raises:
        InvalidRequestError: it is malformed, or the interval is negative.
    """
    message = parsed(pb.WatchCallsRequest(), data, InvalidRequestError)
    if not message.HasField("interval"):
        return None
    seconds = decode_duration(message.interval)
    if seconds < 0:
        raise InvalidRequestError(f"an interval of {seconds:g} s: it must not be negative")
    return min(max(seconds, SHORTEST), LONGEST)


def encode_running(running: Running) -> bytes:
    """Serialise a WatchCallsResponse."""
    return pb.WatchCallsResponse(
        calls=[_encode_call(call) for call in running.calls],
        left_out=running.left_out,
        workers=running.workers,
        silent_workers=running.silent,
    ).SerializeToString()


def decode_running(data: bytes) -> Running:
    """Parse a WatchCallsResponse. Raises ProtocolError if it is malformed."""
    message = parsed(pb.WatchCallsResponse(), data, ProtocolError)
    calls = tuple([_decode_call(call) for call in message.calls])
    return Running(calls, message.left_out, message.workers, message.silent_workers)


def _encode_call(call: RunningCall) -> pb.RunningCall:
    return pb.RunningCall(
        id=call.id,
        method=call.method,
        name=call.name,
        files=call.files,
        files_begun=call.files_begun,
        principal=call.principal,
        peer=call.peer,
        transfer_id=call.transfer_id,
        attempt=call.attempt,
        running=encode_duration(call.seconds),
        start=call.start,
        length=call.length,
        sent=call.sent,
        bytes_per_second=call.rate,
        stalled=call.stalled,
    )


def _decode_call(call: pb.RunningCall) -> RunningCall:
    return RunningCall(
        call.id,
        call.method,
        call.name,
        call.files,
        call.files_begun,
        call.principal,
        call.peer,
        call.transfer_id,
        call.attempt,
        decode_duration(call.running),
        call.start,
        call.length if call.HasField("length") else None,
        call.sent,
        call.bytes_per_second,
        call.stalled,
    )
