"""The other messages: they are received as sent, and malformed bytes raise an error of unspool."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc import rawproto as raw
from rpc.models import file_infos, int64s, positive_int32s, sizes
from unspool.core.model import FileInfo, ListRequest, Omission, Page, ReadRequest
from unspool.errors import InvalidRangeError, InvalidRequestError, ProtocolError, UnspoolError
from unspool.rpc import wire
from unspool.v1 import file_service_pb2 as pb

read_requests = st.builds(
    ReadRequest,
    name=st.text(max_size=30),
    start=sizes,
    length=st.none() | sizes,
    revision=st.none() | st.text(min_size=1, max_size=30),
    block_size=st.none() | positive_int32s,
    transfer_id=st.text(max_size=30),
    attempt=st.integers(0, 2**31 - 1),
    sha256=st.booleans(),
)
list_requests = st.builds(ListRequest, st.text(max_size=30), st.booleans(), st.none() | positive_int32s)
omissions = st.builds(Omission, st.text(max_size=20), st.text(max_size=20), st.integers(1, 2**63 - 1))
pages = st.builds(
    Page,
    st.lists(file_infos, max_size=3).map(tuple),
    st.lists(st.text(max_size=10), max_size=3).map(tuple),
    st.lists(omissions, max_size=3).map(tuple),
)


@given(st.text(max_size=50))
def test_a_stat_request_arrives_as_it_was_sent(name: str) -> None:
    """Any text can be sent as a name; the store checks whether it is valid."""
    assert wire.decode_stat_request(wire.encode_stat_request(name)) == name


@given(file_infos)
def test_a_files_description_arrives_as_it_was_sent(info: FileInfo) -> None:
    """Every field is decoded as it was encoded, times to the nanosecond, and absent fields stay absent."""
    assert wire.decode_stat_response(wire.encode_stat_response(info)) == info


@given(list_requests)
def test_a_list_request_arrives_as_it_was_sent(request: ListRequest) -> None:
    """Prefix, depth and page size are decoded as they were encoded."""
    assert wire.decode_list_request(wire.encode_list_request(request)) == request


@given(pages)
def test_a_page_arrives_as_it_was_sent(page: Page) -> None:
    """Files, prefixes and omissions keep their order; an empty page is an empty message."""
    assert wire.decode_page(wire.encode_page(page)) == page
    assert (wire.encode_page(page) == b"") == (page == Page())


@given(read_requests)
def test_a_read_request_arrives_as_it_was_sent(request: ReadRequest) -> None:
    """Span, pin, block size and the fields for logs are decoded as encoded; no length differs from length 0."""
    assert wire.decode_read_request(wire.encode_read_request(request)) == request


def test_what_is_absent_is_not_sent() -> None:
    """A request without options has only the name: absent fields are not sent as zeros."""
    assert wire.encode_read_request(ReadRequest("a")) == pb.ReadFileRequest(name="a").SerializeToString()
    assert wire.encode_list_request(ListRequest()) == b""
    assert wire.encode_read_request(ReadRequest("a", length=0)) == pb.ReadFileRequest(name="a", length=0).SerializeToString()


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_sha256_has_32_bytes(length: int) -> None:
    """A SHA-256 of another length is refused with the file's name."""
    message = pb.StatFileResponse(info=pb.FileInfo(name="a", revision="r", sha256=bytes(length)))
    with pytest.raises(ProtocolError, match=f"a: .*SHA-256 of {length} bytes"):
        wire.decode_stat_response(message.SerializeToString())


@pytest.mark.parametrize("wish", [0, -1, -(2**31)])
def test_a_wish_that_is_not_positive_is_none(wish: int) -> None:
    """Block and page sizes that are not positive leave the choice to the server; an empty pin is no pin."""
    read = pb.ReadFileRequest(name="a", block_size=wish, revision="").SerializeToString()
    assert wire.decode_read_request(read) == ReadRequest("a")
    assert wire.decode_list_request(pb.ListFilesRequest(page_size=wish).SerializeToString()) == ListRequest()


@given(int64s, st.none() | int64s)
def test_negative_spans_are_refused_by_name(start: int, length: int | None) -> None:
    """A negative start or length is INVALID_RANGE and names the file; any other is accepted."""
    data = pb.ReadFileRequest(name="a", start=start, length=length).SerializeToString()
    if start < 0 or (length is not None and length < 0):
        with pytest.raises(InvalidRangeError) as caught:
            wire.decode_read_request(data)
        assert caught.value.name == "a"
    else:
        assert wire.decode_read_request(data) == ReadRequest("a", start, length)


UNSENDABLE: dict[str, Callable[[], bytes]] = {
    "name to describe": lambda: wire.encode_stat_request("a\ud800"),
    "prefix": lambda: wire.encode_list_request(ListRequest("a\ud800")),
    "page size": lambda: wire.encode_list_request(ListRequest(page_size=2**31)),
    "name to read": lambda: wire.encode_read_request(ReadRequest("a\ud800")),
    "start": lambda: wire.encode_read_request(ReadRequest("a", start=2**63)),
    "length": lambda: wire.encode_read_request(ReadRequest("a", length=2**63)),
    "block size": lambda: wire.encode_read_request(ReadRequest("a", block_size=2**31)),
    "revision": lambda: wire.encode_read_request(ReadRequest("a", revision="\udfff")),
}


@pytest.mark.parametrize("encode", UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_cannot_be_sent_is_an_invalid_request(encode: Callable[[], bytes]) -> None:
    """Numbers and texts that do not fit into a message raise InvalidRequestError before anything is sent."""
    with pytest.raises(InvalidRequestError, match="cannot be put into a request"):
        encode()


# Hostile bytes

texts = st.text(max_size=6).map(str.encode) | st.binary(max_size=6)
raw_infos = raw.message(
    raw.delimited(1, texts),
    raw.field(2, raw.VARINT, raw.varints),
    raw.delimited(3, texts),
    raw.delimited(4, raw.message(raw.field(1, raw.VARINT, raw.varints), raw.field(2, raw.VARINT, raw.varints), largest=3)),
    raw.delimited(5, texts),
    raw.field(6, raw.FIXED32, raw.fixed32),
    raw.field(7, raw.VARINT, raw.varints),
    largest=6,
)
raw_requests = raw.message(
    raw.delimited(1, texts),
    *(raw.field(number, raw.VARINT, raw.varints) for number in (2, 3, 5, 7)),
    raw.delimited(4, texts),
    raw.delimited(6, texts),
    largest=6,
)
raw_omissions = raw.message(raw.delimited(1, texts), raw.delimited(2, texts), raw.field(3, raw.VARINT, raw.varints), largest=3)
raw_pages = raw.message(raw.delimited(1, raw_infos), raw.delimited(2, texts), raw.delimited(3, raw_omissions), largest=4)

DECODERS: dict[str, tuple[Callable[[bytes], object], type[UnspoolError], raw.Encoded]] = {
    "stat request": (wire.decode_stat_request, InvalidRequestError, raw_requests),
    "stat response": (wire.decode_stat_response, ProtocolError, raw_pages),
    "list request": (wire.decode_list_request, InvalidRequestError, raw_requests),
    "page": (wire.decode_page, ProtocolError, raw_pages),
    "read request": (wire.decode_read_request, InvalidRequestError, raw_requests),
    "frame": (wire.decode_frame, ProtocolError, raw_pages),
}


@pytest.mark.parametrize(("decode", "kind", "messages"), DECODERS.values(), ids=DECODERS)
@given(data=st.data())
def test_hostile_bytes_are_a_message_or_the_one_error(
    decode: Callable[[bytes], object], kind: type[UnspoolError], messages: raw.Encoded, data: st.DataObject
) -> None:
    """Any bytes are decoded, or raise the error that says which side is wrong, and nothing else."""
    message = data.draw(raw.mutated(messages) | st.binary(max_size=40))
    try:
        decoded = decode(message)
    except kind:
        decoded = None
    if isinstance(decoded, ReadRequest):
        assert decoded.start >= 0
        assert decoded.length is None or decoded.length >= 0
        assert decoded.block_size is None or decoded.block_size > 0
        assert decoded.revision != ""


@pytest.mark.parametrize(("decode", "kind", "messages"), DECODERS.values(), ids=DECODERS)
def test_what_is_no_message_is_refused(
    decode: Callable[[bytes], object], kind: type[UnspoolError], messages: raw.Encoded
) -> None:
    """A truncated message is refused, and the error names the message."""
    with pytest.raises(kind, match="the message received is not a"):
        decode(b"\x0a\x05ab")
    with pytest.raises(kind, match="the message received is not a"):
        decode(b"\xff")
