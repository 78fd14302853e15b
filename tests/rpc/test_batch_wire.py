"""Encoding of batches: messages are received as sent, equal the generated code's, and hostile bytes are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from rpc import rawproto as raw
from rpc.models import int64s, positive_int32s
from rpc.test_wire_frames import any_message as raw_frames
from rpc.test_wire_frames import frames, serialised
from unspool import errors
from unspool.core.model import HEARTBEAT, BatchRequest, Block, FileInfo, Frame, Header, Piece, Summary, WantedFile
from unspool.errors import FileChangedError, InvalidRequestError, NotFoundError, ProtocolError, UnspoolError
from unspool.rpc import batchwire, wire
from unspool.rpc.status import FROM_REASON, FROM_STATUS, STATUS, decode_file_error, encode_file_error
from unspool.v1 import file_service_pb2 as pb

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type)]

revisions = st.none() | st.text(min_size=1, max_size=20)
wanted_files = st.builds(WantedFile, st.text(max_size=20), revisions, int64s, revisions, st.none() | int64s)
batch_requests = st.builds(
    BatchRequest,
    files=st.lists(wanted_files, max_size=5).map(tuple),
    block_size=st.none() | positive_int32s,
    transfer_id=st.text(max_size=20),
    attempt=st.integers(0, 2**31 - 1),
    packs=st.booleans(),
)
indexes = st.integers(0, 3) | st.integers(-(2**31), 2**31 - 1)
framed = st.builds(Piece, indexes, frames)


@given(batch_requests)
def test_a_request_arrives_as_it_was_sent(request: BatchRequest) -> None:
    """Names, pins, spans, known revisions, the block size and the fields for logs are decoded as they were encoded."""
    assert batchwire.decode_batch_request(batchwire.encode_batch_request(request)) == request


def test_what_is_absent_is_not_sent() -> None:
    """A batch without options has only the names; an empty pin or a block size that is not positive counts as absent."""
    plain = BatchRequest((WantedFile("a"), WantedFile("b")))
    files = [pb.FileToRead(name="a"), pb.FileToRead(name="b")]
    assert batchwire.encode_batch_request(plain) == pb.ReadFilesRequest(files=files).SerializeToString()
    files = [pb.FileToRead(name="a", revision="", start=0), pb.FileToRead(name="b", revision="", unless_revision="")]
    for wish in (0, -1, -(2**31)):
        data = pb.ReadFilesRequest(files=files, block_size=wish).SerializeToString()
        assert batchwire.decode_batch_request(data) == plain


UNSENDABLE: dict[str, BatchRequest] = {
    "name": BatchRequest((WantedFile("a\ud800"),)),
    "revision": BatchRequest((WantedFile("a", "\udfff"),)),
    "start": BatchRequest((WantedFile("a", start=2**63),)),
    "length": BatchRequest((WantedFile("a", length=2**63),)),
    "known revision": BatchRequest((WantedFile("a", unless_revision="\udfff"),)),
    "block size": BatchRequest((), block_size=2**31),
    "attempt": BatchRequest((), attempt=2**31),
}


@pytest.mark.parametrize("request_", UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_cannot_be_sent_is_an_invalid_request(request_: BatchRequest) -> None:
    """Numbers and texts that do not fit into a message raise InvalidRequestError before anything is sent."""
    with pytest.raises(InvalidRequestError, match="cannot be put into a request"):
        batchwire.encode_batch_request(request_)


@given(batch_requests)
def test_an_older_server_reads_a_request_as_whole_files(request: BatchRequest) -> None:
    """A server that does not know starts, lengths and known revisions reads only the names and pins."""
    older = pb.ReadFilesRequest.FromString(batchwire.encode_batch_request(request))
    for file in older.files:
        file.ClearField("start")
        file.ClearField("unless_revision")
        file.ClearField("length")
    whole = replace(request, files=tuple(WantedFile(file.name, file.revision) for file in request.files))
    assert older.SerializeToString() == batchwire.encode_batch_request(whole)


@given(st.lists(framed, max_size=5))
def test_pieces_are_written_as_the_generated_code_writes_them(pieces: list[Piece]) -> None:
    """For any frames of any files, the bytes equal the generated code's, and decoding returns the frames."""
    message = pb.ReadFilesResponse()
    for piece in pieces:
        assert piece.frame is not None
        one = message.pieces.add()
        one.MergeFromString(serialised(piece.frame))
        one.index = piece.index
    encoded = batchwire.encode_pieces(pieces)
    assert encoded == message.SerializeToString()
    assert batchwire.decode_pieces(encoded) == tuple(pieces)


def parsed_by_protobuf(data: bytes) -> object:
    """Return the pieces that the generated code finds in a message, or the error's class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batchwire, "_LARGE_PIECE", len(data) + 1)
        try:
            return batchwire.decode_pieces(data)
        except ProtocolError:
            return ProtocolError


def read_by_hand(data: bytes) -> object:
    """Return the pieces as they are read where all pieces count as large, or the error's class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batchwire, "_LARGE_PIECE", 1)
        try:
            return batchwire.decode_pieces(data)
        except ProtocolError:
            return ProtocolError


@given(st.lists(framed, min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2))
def test_large_pieces_are_read_by_hand_as_the_generated_code_reads_them(
    pieces: list[Piece], changes: list[tuple[int, int]]
) -> None:
    """For any frames, and for messages with a few bytes changed, both ways of reading find the same."""
    data = bytearray(batchwire.encode_pieces(pieces))
    assert read_by_hand(bytes(data)) == tuple(pieces)
    for at, byte in changes:
        data[at % (len(data) or 1) : at % (len(data) or 1) + 1] = bytes([byte])
    for cut in (bytes(data), bytes(data[:-1])):
        assert read_by_hand(cut) == parsed_by_protobuf(cut)


@given(framed, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2))
def test_a_large_frame_is_read_by_hand_as_the_generated_code_reads_it(piece: Piece, changes: list[tuple[int, int]]) -> None:
    """For any frame, and for messages with a few bytes changed, both ways of reading a response find the same."""
    assert piece.frame is not None

    def found(decode: Callable[[bytes], Frame], data: bytes) -> object:
        try:
            return decode(data)
        except ProtocolError:
            return ProtocolError

    data = bytearray(wire.encode_frame(piece.frame))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batchwire, "_LARGE_PIECE", 1)
        assert batchwire.decode_frame(bytes(data)) == piece.frame
        for at, byte in changes:
            data[at % (len(data) or 1) : at % (len(data) or 1) + 1] = bytes([byte])
        for cut in (bytes(data), bytes(data[:-1])):
            assert found(batchwire.decode_frame, cut) == found(wire.decode_frame, cut)


def test_spans_are_read_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way by hand is taken for spans of 64 KiB as a server sends them; a description is decoded once for a file."""
    info = FileInfo("a", 1 << 40, "r1", crc32c=5)
    pieces = tuple(
        Piece(
            number,
            Frame(
                Header(info, number << 16, 1 << 16), Block(number << 16, bytes(1 << 16), 9), Summary(1, at_end=False, crc32c=5)
            ),
        )
        for number in range(8)
    )
    data = batchwire.encode_pieces(pieces)
    decoded: list[object] = []

    def noted(message: pb.FileInfo) -> FileInfo:
        decoded.append(message)
        return wire.decode_info(message)

    monkeypatch.setattr(batchwire, "decode_info", noted)
    monkeypatch.setattr(batchwire, "parsed", None)
    assert batchwire.decode_pieces(data) == pieces
    assert batchwire.decode_pieces(data) == pieces
    assert len(decoded) == 1


def test_a_heartbeat_is_the_empty_message() -> None:
    """An empty message is a heartbeat, and differs from an empty piece."""
    assert batchwire.encode_pieces(()) == b""
    assert batchwire.decode_pieces(b"") == ()
    assert batchwire.decode_pieces(batchwire.encode_pieces((Piece(0, HEARTBEAT),))) == (Piece(0, HEARTBEAT),)


def test_the_data_of_a_block_may_be_a_view() -> None:
    """A memoryview from a store is written like bytes."""
    data = b"0123456789"
    piece = Piece(7, Frame(block=Block(0, memoryview(data)[2:5], 1)))
    assert batchwire.decode_pieces(batchwire.encode_pieces((piece,))) == (Piece(7, Frame(block=Block(0, b"234", 1))),)


# Errors of one file


texts = st.text(min_size=1, max_size=200)
offsets = st.none() | st.integers(0, 2**63 - 1)
delays = st.none() | st.integers(0, 10**15).map(lambda nanoseconds: nanoseconds / 10**9)


@pytest.mark.parametrize("kind", FROM_REASON.values(), ids=FROM_REASON)
@given(message=texts, offset=offsets, retry_after=delays, index=st.integers(0, 2))
def test_what_may_cross_arrives_as_what_it_was(
    kind: type[UnspoolError], message: str, offset: int | None, retry_after: float | None, index: int
) -> None:
    """Class, message, offset and wait survive encoding; the name is that of the requested file."""
    error = kind(message, name="ignored", offset=offset, retry_after=retry_after)
    files = [WantedFile(name) for name in ("a", "b", "c")]
    (piece,) = batchwire.decode_pieces(batchwire.encode_pieces((Piece(index, error=error),)), files)
    assert (piece.index, piece.frame, type(piece.error)) == (index, None, kind)
    assert piece.error is not None
    assert (piece.error.message, piece.error.name, piece.error.offset) == (message, files[index].name, offset)
    assert piece.error.retry_after == (None if retry_after is None else pytest.approx(retry_after, abs=2e-9))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_has_the_code_that_its_status_would_have(kind: type[UnspoolError]) -> None:
    """A client that knows only status codes learns as much as from a read of that file alone."""
    message = encode_file_error(kind("it failed"))
    assert message.code == STATUS[kind].value[0]
    message.reason = ""
    error = decode_file_error(message, name="a")
    assert type(error) is FROM_STATUS[STATUS[kind]]
    assert (error.message, error.name) == (f"a: it failed ({STATUS[kind].name})", "a")


@pytest.mark.parametrize("reason", ["OUT_OF_PAPER", "BUSY", "BLOCK_CORRUPT", "", "file_not_found"])
@pytest.mark.parametrize("code", [0, 5, 10, 16, 17, -1, 2**31 - 1])
def test_a_reason_that_no_server_may_give_means_what_the_code_says(reason: str, code: int) -> None:
    """For unknown reasons, and those that only a client may find, the code decides; an invalid code means UNKNOWN."""
    numbered = {each.value[0]: each for each in grpc.StatusCode}
    error = decode_file_error(pb.FileError(code=code, reason=reason, message="said"), name="a")
    assert type(error) is FROM_STATUS[numbered.get(code, grpc.StatusCode.UNKNOWN)]


def test_an_error_that_says_nothing_still_makes_a_line() -> None:
    """Without a message, the error's message is the reason, or says that there is none."""
    assert decode_file_error(pb.FileError(reason="FILE_NOT_FOUND"), name="a").message == "FILE_NOT_FOUND"
    assert decode_file_error(pb.FileError(code=5), name="a").message == "a: no more is said (NOT_FOUND)"


def test_an_offset_that_is_none_is_none() -> None:
    """An offset below zero is ignored, and does not break the error."""
    for offset in (-1, -(2**63)):
        error = decode_file_error(pb.FileError(reason="FILE_NOT_FOUND", offset=offset), name="a")
        assert (type(error), error.offset) == (NotFoundError, None)


def test_a_long_error_is_cut_on_both_sides() -> None:
    """A message of more than 1 KiB is sent, and received, without its middle."""
    long = "a" * 5000 + ": no such file"
    sent = encode_file_error(NotFoundError(long))
    assert len(sent.message) <= 1027
    assert sent.message.endswith(": no such file")
    received = decode_file_error(pb.FileError(reason="FILE_NOT_FOUND", message=long), name="a")
    assert len(received.message) <= 1027


def test_half_characters_in_an_error_do_not_keep_it_from_crossing() -> None:
    """A name that is not UTF-8, as local file names can be, is sent with question marks."""
    assert encode_file_error(NotFoundError("a\udcff: no such file")).message == "a?: no such file"


@pytest.mark.parametrize("index", [1, 2**31 - 1, -1, -(2**31)])
def test_an_error_of_a_file_that_was_not_asked_for_has_no_name(index: int) -> None:
    """The index of a file that was not requested is left for the receiver to refuse; the error names no other file."""
    data = batchwire.encode_pieces((Piece(index, error=FileChangedError("changed")),))
    (piece,) = batchwire.decode_pieces(data, [WantedFile("a")])
    assert piece.error is not None
    assert (piece.index, piece.error.name) == (index, None)


# Hostile bytes


raw_errors = raw.message(
    raw.field(1, raw.VARINT, raw.varints),
    raw.delimited(2, st.sampled_from([b"FILE_NOT_FOUND", b"OVERLOADED", b"", b"\xff"])),
    raw.delimited(3, st.binary(max_size=6)),
    raw.field(4, raw.VARINT, raw.varints),
    raw.delimited(5, raw.message(raw.field(1, raw.VARINT, raw.varints), raw.field(2, raw.VARINT, raw.varints), largest=3)),
    largest=5,
)
raw_pieces = st.lists(
    st.one_of(raw_frames, raw.field(4, raw.VARINT, raw.varints), raw.delimited(5, raw_errors)), max_size=4
).map(b"".join)
raw_packs = raw.message(
    raw.field(1, raw.VARINT, raw.varints),
    raw.delimited(2, st.lists(st.integers(0, 4), max_size=3).map(bytes)),
    raw.delimited(3, st.integers(0, 3).map(lambda count: b"crc!" * count)),
    raw.delimited(4, st.binary(max_size=6)),
    largest=4,
)
raw_messages = raw.message(raw.delimited(1, raw_pieces), largest=3) | raw.message(raw.delimited(2, raw_packs), largest=1)
raw_wanted = raw.message(
    raw.delimited(1, st.binary(max_size=6)),
    raw.delimited(2, st.binary(max_size=6)),
    raw.field(3, raw.VARINT, raw.varints),
    raw.delimited(4, st.binary(max_size=6)),
    largest=4,
)
raw_requests = raw.message(
    raw.delimited(1, raw_wanted),
    raw.field(2, raw.VARINT, raw.varints),
    raw.delimited(3, st.binary(max_size=6)),
    raw.field(4, raw.VARINT, raw.varints),
    largest=5,
)


def refuses(kind: type[pb.ReadFilesResponse | pb.ReadFilesRequest], data: bytes) -> bool:
    """Whether the generated code refuses the bytes."""
    try:
        kind.FromString(data)
    except DecodeError:
        return True
    return False


@given(raw.mutated(raw_messages) | st.binary(max_size=40), st.lists(wanted_files, max_size=2))
def test_hostile_pieces_are_pieces_or_no_message(data: bytes, files: list[WantedFile]) -> None:
    """Any bytes from a server are decoded as by the generated code, or raise ProtocolError and nothing else."""
    try:
        pieces = batchwire.decode_pieces(data, files)
    except ProtocolError:
        assert refuses(pb.ReadFilesResponse, data) or pb.ReadFilesResponse.FromString(data).HasField("pack")
        return
    message = pb.ReadFilesResponse.FromString(data)
    if message.HasField("pack"):
        assert sum(len(piece.frame.block.data) for piece in pieces if piece.frame and piece.frame.block) == len(
            message.pack.data
        )
        return
    assert [piece.index for piece in pieces] == [each.index for each in message.pieces]
    for piece, each in zip(pieces, message.pieces, strict=True):
        assert (piece.error is not None) == each.HasField("error")
        assert (piece.frame is None) == each.HasField("error")
        if piece.error is not None:
            assert type(piece.error) in {*FROM_REASON.values(), *FROM_STATUS.values()}
            assert piece.error.offset is None or piece.error.offset >= 0
        elif piece.frame is not None and piece.frame.block is not None:
            assert piece.frame.block == Block(each.block.offset, each.block.data, each.block.crc32c)


@given(raw.mutated(raw_requests) | st.binary(max_size=40))
def test_hostile_requests_are_requests_or_refused(data: bytes) -> None:
    """Any bytes from a client are a valid request, or raise InvalidRequestError."""
    try:
        request = batchwire.decode_batch_request(data)
    except InvalidRequestError:
        assert refuses(pb.ReadFilesRequest, data)
        return
    assert [file.name for file in request.files] == [file.name for file in pb.ReadFilesRequest.FromString(data).files]
    assert request.block_size is None or request.block_size > 0
    assert all(file.revision != "" and file.unless_revision != "" for file in request.files)


@given(raw.mutated(raw_requests) | st.binary(max_size=40))
def test_what_has_few_fields_is_never_refused_for_their_number(data: bytes) -> None:
    """The count of fields agrees with the parser: a request within the limit is never refused."""
    try:
        request = batchwire.decode_batch_request(data)
    except InvalidRequestError:
        return
    assert batchwire.decode_batch_request(data, 40) == request


@pytest.mark.parametrize("spelling", [b"\x0a\x00", b"\x8a\x00\x00", b"\x0a\x80\x00", b"\x20\x01", b"\x3b\x3c", b"\x35abcd"])
def test_too_many_fields_are_refused_before_they_are_made(spelling: bytes) -> None:
    """Too many files, other fields or groups, in any encoding and length, are refused by counting."""
    with pytest.raises(InvalidRequestError, match="more than 10 files"):
        batchwire.decode_batch_request(spelling * 1_000_000, 10)
    assert len(batchwire.decode_batch_request(b"\x0a\x00" * 10, 10).files) == 10


@pytest.mark.parametrize(
    ("decode", "kind"),
    [(batchwire.decode_batch_request, InvalidRequestError), (batchwire.decode_pieces, ProtocolError)],
    ids=["request", "pieces"],
)
def test_what_is_no_message_is_refused(decode: Callable[[bytes], object], kind: type[UnspoolError]) -> None:
    """A truncated message is refused, and the error names the message."""
    for data in (b"\x0a\x05ab", b"\xff"):
        with pytest.raises(kind, match="the message received is not a ReadFiles"):
            decode(data)
