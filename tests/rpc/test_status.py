"""Errors as gRPC statuses: the tables are total, and errors arrive as they were sent."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from rpc import rawproto as raw
from unspool import errors
from unspool.errors import (
    NotFoundError,
    OverloadedError,
    ServerError,
    UnreachableError,
    UnspoolError,
    UnsupportedError,
)
from unspool.rpc.status import (
    DETAILS_KEY,
    DOMAIN,
    FROM_REASON,
    FROM_STATUS,
    STATUS,
    decode_error,
    encode_error,
    encode_file_error,
)

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type)]

SERVER = "host:50051"

Metadata = tuple[tuple[str, str | bytes], ...]


def test_every_error_has_a_status() -> None:
    """The table has exactly the errors that a server can raise."""
    assert set(STATUS) == set(CLASSES)


def test_every_status_means_an_error() -> None:
    """Every gRPC status has an error class."""
    assert set(FROM_STATUS) == set(grpc.StatusCode)


def test_reasons_are_unique_and_lead_back() -> None:
    """Each reason, of a call or of one file of a batch, stands for exactly one error class."""
    sent = {reason_sent(kind): kind for kind in STATUS}
    assert len(sent) == len(STATUS)
    assert FROM_REASON.items() <= sent.items()
    assert {encode_file_error(kind("it failed")).reason: kind for kind in STATUS} == sent


def reason_sent(kind: type[UnspoolError]) -> str:
    """Return the reason of an encoded error, decoded without the code under test."""
    ((_, details),) = encode_error(kind("it failed"))[2]
    info = ErrorInfo()
    assert Status.FromString(details).details[0].Unpack(info)
    return str(info.reason)


names = st.none() | st.text(max_size=200)
offsets = st.none() | st.integers(0, 2**63 - 1)
delays = st.none() | st.integers(0, 10**15).map(lambda nanoseconds: nanoseconds / 10**9)


@pytest.mark.parametrize("kind", FROM_REASON.values(), ids=FROM_REASON)
@given(message=st.text(min_size=1, max_size=200), name=names, offset=offsets, retry_after=delays)
def test_what_may_cross_arrives_as_what_it_was(
    kind: type[UnspoolError], message: str, name: str | None, offset: int | None, retry_after: float | None
) -> None:
    """Class, message, name, offset and wait survive encoding."""
    code, said, metadata = encode_error(kind(message, name=name, offset=offset, retry_after=retry_after))
    assert code is STATUS[kind]
    error = decode_error(code, said, metadata, server=SERVER)
    assert type(error) is kind
    assert (error.message, error.name, error.offset) == (message, name, offset)
    assert error.retry_after == (None if retry_after is None else pytest.approx(retry_after, abs=2e-9))


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind not in FROM_REASON.values()], ids=lambda kind: kind.__name__)
def test_what_a_server_cannot_know_it_cannot_claim(kind: type[UnspoolError]) -> None:
    """Errors that only a client may find arrive as the error of their status, and name the server."""
    code, said, metadata = encode_error(kind("it failed"))
    error = decode_error(code, said, metadata, server=SERVER)
    assert type(error) is FROM_STATUS[code]
    assert error.message.startswith(f"{SERVER}: it failed ({code.name})")


def test_an_error_of_a_stores_own_crosses_as_the_one_it_is_made_of() -> None:
    """A store may raise a subclass; the client gets the class that it knows."""

    class ArchivedError(NotFoundError):
        """The file is on tape."""

    code, said, metadata = encode_error(ArchivedError("a.bin: is on tape", name="a.bin"))
    error = decode_error(code, said, metadata, server=SERVER)
    assert type(error) is NotFoundError
    assert (error.message, error.name) == ("a.bin: is on tape", "a.bin")


def test_half_characters_in_an_error_do_not_keep_it_from_crossing() -> None:
    """A name that is not UTF-8, as local file names can be, is sent with question marks."""
    code, said, metadata = encode_error(NotFoundError("a\udcff: no such file", name="a\udcff"))
    error = decode_error(code, said, metadata, server=SERVER)
    assert (error.message, error.name) == ("a?: no such file", "a?")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=300, max_size=5000))
def test_a_long_error_fits_into_the_trailers(name: str) -> None:
    """Trailers fit into gRPC's 8 KiB: the middle of the message is cut, and the name, which the client knows, is left out."""
    code, said, metadata = encode_error(NotFoundError(f"{name}: no such file", name=name, offset=2**63 - 1, retry_after=1))
    percent_encoded = 3 * len(said.encode())
    base64 = sum(len(key) + 4 * (len(value) + 2) // 3 for key, value in metadata)
    assert percent_encoded + base64 < 8192 - 512
    error = decode_error(code, said, metadata, server=SERVER)
    assert type(error) is NotFoundError
    assert error.message.startswith(name[:100])
    assert error.message.endswith(f"{name[-100:]}: no such file")
    assert error.name in (None, name)


# What others send


def details(*messages: ErrorInfo | RetryInfo, said: str = "said") -> Metadata:
    """Return trailing metadata that holds a google.rpc.Status with these details."""
    status = Status(code=5, message=said)
    for message in messages:
        status.details.add().Pack(message)
    return ((DETAILS_KEY, status.SerializeToString()),)


NOT_FOUND = ErrorInfo(domain=DOMAIN, reason="FILE_NOT_FOUND", metadata={"name": "a"})

NOT_OURS: dict[str, Metadata] = {
    "nothing": (),
    "another domain": details(ErrorInfo(domain="googleapis.com", reason="FILE_NOT_FOUND")),
    "no domain": details(ErrorInfo(reason="FILE_NOT_FOUND")),
    "an unknown reason": details(ErrorInfo(domain=DOMAIN, reason="OUT_OF_PAPER")),
    "no reason": details(ErrorInfo(domain=DOMAIN)),
    "a reason that servers cannot claim": details(ErrorInfo(domain=DOMAIN, reason="BUSY")),
    "another key": (("x-details-bin", details(NOT_FOUND)[0][1]),),
    "text under the key": ((DETAILS_KEY, "text"),),
    "garbage": ((DETAILS_KEY, b"\xff\xff\xff"),),
    "nothing under the key": ((DETAILS_KEY, b""),),
    "a cut status": ((DETAILS_KEY, b"\x1a\x7f"),),
    "details that do not parse to their end": (
        (
            DETAILS_KEY,
            Status(
                details=[
                    Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=NOT_FOUND.SerializeToString() + b"\xff")
                ]
            ).SerializeToString(),
        ),
    ),
}


@pytest.mark.parametrize("metadata", NOT_OURS.values(), ids=NOT_OURS)
@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_a_status_without_a_reason_of_ours_means_what_its_code_says(metadata: Metadata, code: grpc.StatusCode) -> None:
    """For statuses of other implementations, proxies or gRPC itself, the code decides the class; the message names both."""
    error = decode_error(code, "said", metadata, server=SERVER)
    assert type(error) is FROM_STATUS[code]
    assert error.message.startswith(f"{SERVER}: said ({code.name})")
    assert (error.name, error.offset, error.retry_after) == (None, None, None)


def test_a_wait_counts_whoever_asks_for_it() -> None:
    """A proxy may send RetryInfo without a reason of unspool."""
    retry = RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    error = decode_error(grpc.StatusCode.UNAVAILABLE, "busy", details(retry), server=SERVER)
    assert type(error) is UnreachableError
    assert error.retry_after == 1.5


def test_garbage_beside_our_details_does_not_hide_them() -> None:
    """Metadata of other software under the same key is ignored."""
    metadata: Metadata = ((DETAILS_KEY, b"\xff"), *details(NOT_FOUND), ("other", "text"))
    assert type(decode_error(grpc.StatusCode.NOT_FOUND, "said", metadata, server=SERVER)) is NotFoundError


@pytest.mark.parametrize("message", [None, ""])
def test_a_status_that_says_nothing_still_makes_a_line(message: str | None) -> None:
    """Without a message, that of the details is used, else the reason, or a text that says there is none."""
    ours = decode_error(grpc.StatusCode.NOT_FOUND, message, details(NOT_FOUND), server=SERVER)
    assert ours.message == "said"
    ours = decode_error(grpc.StatusCode.NOT_FOUND, message, details(NOT_FOUND, said=""), server=SERVER)
    assert ours.message == "FILE_NOT_FOUND"
    bare = decode_error(grpc.StatusCode.UNKNOWN, message, (), server=SERVER)
    assert bare.message == f"{SERVER}: no more is said (UNKNOWN)"
    assert type(bare) is ServerError


def test_a_server_that_speaks_something_else_is_told_apart() -> None:
    """UNIMPLEMENTED without a reason of unspool gets a hint at the dialect."""
    error = decode_error(grpc.StatusCode.UNIMPLEMENTED, "unknown service", (), server=SERVER)
    assert type(error) is UnsupportedError
    assert error.message.endswith('(perhaps dialect="demo"?)')


@pytest.mark.parametrize("offset", ["", "-1", "1.5", "x", "٣", "9" * 20, "9" * 5000, " 1", "1\n"])
def test_an_offset_that_is_none_is_none(offset: str) -> None:
    """An offset that is not a number is ignored, and does not break the error."""
    info = ErrorInfo(domain=DOMAIN, reason="FILE_NOT_FOUND", metadata={"offset": offset})
    error = decode_error(grpc.StatusCode.NOT_FOUND, "said", details(info), server=SERVER)
    assert type(error) is NotFoundError
    assert error.offset is None


raw_any = raw.message(
    raw.delimited(
        1,
        st.sampled_from([b"type.googleapis.com/google.rpc.ErrorInfo", b"type.googleapis.com/google.rpc.RetryInfo", b"/", b""]),
    ),
    raw.delimited(
        2,
        raw.message(
            raw.delimited(1, st.sampled_from([b"FILE_NOT_FOUND", b"OVERLOADED", b"\xff"])),
            raw.delimited(2, st.just(b"unspool")),
            raw.delimited(
                1, raw.message(raw.field(1, raw.VARINT, raw.varints), raw.field(2, raw.VARINT, raw.varints), largest=2)
            ),
            raw.delimited(
                3,
                raw.message(
                    raw.delimited(1, st.sampled_from([b"name", b"offset"])), raw.delimited(2, st.binary(max_size=9)), largest=2
                ),
            ),
            largest=4,
        ),
    ),
    largest=2,
)
raw_statuses = raw.message(
    raw.field(1, raw.VARINT, raw.varints), raw.delimited(2, st.binary(max_size=5)), raw.delimited(3, raw_any), largest=4
)


@given(raw.mutated(raw_statuses), st.sampled_from(list(grpc.StatusCode)))
def test_hostile_details_make_an_error_of_ours(data: bytes, code: grpc.StatusCode) -> None:
    """For any details from a server, the result is an error of unspool that the retry budget can handle."""
    error = decode_error(code, "said", ((DETAILS_KEY, data),), server=SERVER)
    assert type(error) in {FROM_STATUS[code], *FROM_REASON.values()}
    assert error.name is None or isinstance(error.name, str)
    assert error.offset is None or error.offset >= 0
    assert error.retry_after is None or isinstance(error.retry_after, float)


def test_a_wait_is_a_number_of_seconds() -> None:
    """Waits of a fraction of a second, and of zero, are decoded as seconds."""
    for wait in (0.0, 0.25, 3600.0):
        code, said, metadata = encode_error(OverloadedError("later", retry_after=wait))
        assert decode_error(code, said, metadata, server=SERVER).retry_after == wait
