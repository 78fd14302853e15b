"""The frames of a read: the fast path writes and reads exactly what the generated code does."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from rpc import rawproto as raw
from rpc.models import file_infos, int64s, uint32s
from unspool.core.model import HEARTBEAT, Attributes, Block, FileInfo, Frame, Header, Summary
from unspool.errors import ProtocolError
from unspool.rpc import wire
from unspool.v1 import file_service_pb2 as pb

blocks = st.builds(Block, st.just(0) | int64s, st.binary(max_size=300), st.just(0) | uint32s)
headers = st.builds(Header, file_infos, int64s, int64s)
summaries = st.builds(Summary, int64s, st.booleans(), st.none() | uint32s)
frames = st.builds(Frame, st.none() | headers, st.none() | blocks, st.none() | summaries)

many = settings(max_examples=max(1500, 3 * settings().max_examples))


def info_message(info: FileInfo) -> pb.FileInfo:
    """Fill the generated class."""
    message = pb.FileInfo(name=info.name, size=info.size, revision=info.revision, content_type=info.attributes.content_type)
    modified_ns = info.attributes.modified_ns
    if modified_ns is not None:
        message.modified.seconds = modified_ns // 10**9
        message.modified.nanos = modified_ns % 10**9
    if info.crc32c is not None:
        message.crc32c = info.crc32c
    if info.attributes.executable is not None:
        message.executable = info.attributes.executable
    if info.sha256 is not None:
        message.sha256 = info.sha256
    return message


def serialised(frame: Frame) -> bytes:
    """Return a frame as the generated code encodes it."""
    message = pb.ReadFileResponse()
    if frame.header is not None:
        assert frame.header.info is not None
        message.header.info.CopyFrom(info_message(frame.header.info))
        message.header.start = frame.header.start
        message.header.length = frame.header.length or 0
    if frame.block is not None:
        message.block.SetInParent()
        message.block.offset = frame.block.offset
        message.block.crc32c = frame.block.crc32c
        message.block.data = bytes(frame.block.data)
    if frame.summary is not None:
        message.summary.SetInParent()
        message.summary.end = frame.summary.end
        message.summary.at_end = frame.summary.at_end
        if frame.summary.crc32c is not None:
            message.summary.crc32c = frame.summary.crc32c
    return message.SerializeToString()


def meant(data: bytes) -> Frame | None:
    """Return a frame as the generated code decodes it, or None if it refuses the bytes."""
    message = pb.ReadFileResponse()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    header = block = summary = None
    if message.HasField("header"):
        info = message.header.info
        modified = info.modified.seconds * 10**9 + info.modified.nanos if info.HasField("modified") else None
        checksum = info.crc32c if info.HasField("crc32c") else None
        executable = info.executable if info.HasField("executable") else None
        attributes = Attributes(modified, info.content_type, executable)
        sha256 = info.sha256 if info.HasField("sha256") else None
        if sha256 is not None and len(sha256) != 32:
            return None
        file = FileInfo(info.name, info.size, info.revision, attributes, checksum, sha256)
        header = Header(file, message.header.start, message.header.length)
    if message.HasField("block"):
        block = Block(message.block.offset, message.block.data, message.block.crc32c)
    if message.HasField("summary"):
        checksum = message.summary.crc32c if message.summary.HasField("crc32c") else None
        summary = Summary(message.summary.end, message.summary.at_end, checksum)
    return Frame(header, block, summary)


def read(data: bytes) -> Frame | None:
    """Return a frame as the code under test decodes it, or None if it refuses the bytes."""
    try:
        return wire.decode_frame(data)
    except ProtocolError:
        return None


@given(frames)
def test_a_frame_is_written_as_the_generated_code_writes_it(frame: Frame) -> None:
    """For every combination of header, block and summary, and any values, the bytes equal the generated code's."""
    encoded = wire.encode_frame(frame)
    assert encoded == serialised(frame)
    assert wire.decode_frame(encoded) == frame


@pytest.mark.parametrize("offset", [0, 1, 127, 128, 2**14, 2**32, 2**56 - 1, 2**56, 2**63 - 1, -1, -(2**63)])
@pytest.mark.parametrize("data", [b"", b"x", b"x" * 127, b"x" * 128, b"x" * 16384])
@pytest.mark.parametrize("checksum", [0, 1, 2**32 - 1])
def test_a_block_at_the_edges_is_written_and_read_alike(offset: int, data: bytes, checksum: int) -> None:
    """Numbers that grow by a byte, zeros and negative numbers are encoded as by the generated code, and decoded again."""
    frame = Frame(block=Block(offset, data, checksum))
    encoded = wire.encode_frame(frame)
    assert encoded == serialised(frame)
    assert wire.decode_frame(encoded) == meant(encoded) == frame


@given(st.binary(min_size=1, max_size=300), st.integers(0, 2**63 - 1), uint32s)
def test_a_block_is_read_in_place(data: bytes, offset: int, checksum: int) -> None:
    """The data of a message that is only a block is a view of the message, not a copy."""
    message = wire.encode_frame(Frame(block=Block(offset, memoryview(data), checksum)))
    block = wire.decode_frame(message).block
    assert block == Block(offset, data, checksum)
    assert isinstance(block.data, memoryview)
    assert block.data.obj is message


def test_a_heartbeat_is_the_empty_message() -> None:
    """An empty message is a heartbeat."""
    assert wire.encode_frame(HEARTBEAT) == b""
    assert wire.decode_frame(b"") == HEARTBEAT


raw_blocks = raw.message(
    raw.field(1, raw.VARINT, raw.varints),
    raw.field(2, raw.FIXED32, raw.fixed32),
    raw.delimited(3, st.binary(max_size=20)),
    largest=5,
)
# The fields in the order in which the code under test writes them, each optional: its own reader must recognise them.
usual_blocks = st.tuples(
    st.just(b"") | raw.field(1, raw.VARINT, raw.varints),
    st.just(b"") | raw.field(2, raw.FIXED32, raw.fixed32),
    st.just(b"") | raw.delimited(3, st.binary(max_size=20)),
).map(b"".join)
raw_infos = raw.message(
    raw.delimited(1, st.text(max_size=5).map(str.encode) | st.binary(max_size=5)),
    raw.field(2, raw.VARINT, raw.varints),
    raw.delimited(3, st.text(max_size=5).map(str.encode) | st.binary(max_size=5)),
    raw.delimited(4, raw.message(raw.field(1, raw.VARINT, raw.varints), raw.field(2, raw.VARINT, raw.varints), largest=3)),
    raw.field(6, raw.FIXED32, raw.fixed32),
    raw.field(7, raw.VARINT, raw.varints),
    largest=6,
)
raw_headers = raw.message(
    raw.delimited(1, raw_infos), raw.field(2, raw.VARINT, raw.varints), raw.field(3, raw.VARINT, raw.varints), largest=4
)
raw_summaries = raw.message(
    raw.field(1, raw.VARINT, raw.varints),
    raw.field(2, raw.VARINT, raw.varints),
    raw.field(3, raw.FIXED32, raw.fixed32),
    largest=4,
)
one_block = raw.delimited(2, usual_blocks)
any_message = st.one_of(
    one_block,
    raw.delimited(2, raw_blocks),
    raw.message(
        raw.delimited(1, raw_headers), one_block, raw.delimited(2, raw_blocks), raw.delimited(3, raw_summaries), largest=4
    ),
)


@many
@given(raw.mutated(any_message))
def test_any_message_means_what_the_generated_code_reads(data: bytes) -> None:
    """Both decoders refuse a message, or both return the same frame, for any reordered, doubled, unknown or damaged fields."""
    assert read(data) == meant(data)


@settings(max_examples=3 * settings().max_examples)
@given(raw.mutated(frames.map(serialised)))
def test_a_damaged_frame_means_what_the_generated_code_reads(data: bytes) -> None:
    """The same holds for valid messages that were damaged."""
    assert read(data) == meant(data)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_mean_what_the_generated_code_reads(data: bytes, looks_like_a_block: bool) -> None:  # noqa: FBT001
    """The same holds for random bytes."""
    data = b"\x12" + data if looks_like_a_block else data
    assert read(data) == meant(data)


DATA = b"\x1a\x03abc"

ODD_BLOCKS = {
    "as usual": b"\x12\x0c\x08\x07\x15\1\2\3\4" + DATA,
    "length in two bytes": b"\x12\x87\x00\x08\x07" + DATA,
    "length in five bytes": b"\x12\x87\x80\x80\x80\x00\x08\x07" + DATA,
    "length in six bytes": b"\x12\x87\x80\x80\x80\x80\x00\x08\x07" + DATA,
    "length in nine bytes": b"\x12\x87\x80\x80\x80\x80\x80\x80\x80\x00\x08\x07" + DATA,
    "length in ten bytes": b"\x12\x87\x80\x80\x80\x80\x80\x80\x80\x80\x00\x08\x07" + DATA,
    "data's length in six bytes": b"\x12\x0a\x1a\x83\x80\x80\x80\x80\x00abc",
    "offset in nine bytes": b"\x12\x0f\x08\x85\x80\x80\x80\x80\x80\x80\x80\x00" + DATA,
    "offset in ten bytes": b"\x12\x10\x08\x85\x80\x80\x80\x80\x80\x80\x80\x80\x00" + DATA,
    "offset in eleven bytes": b"\x12\x11\x08\x85\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00" + DATA,
    "offset -1": b"\x12\x10\x08" + b"\xff" * 9 + b"\x01" + DATA,
    "offset beyond 64 bits": b"\x12\x10\x08" + b"\xff" * 9 + b"\x7f" + DATA,
    "offset 0, written": b"\x12\x07\x08\x00" + DATA,
    "checksum 0, written": b"\x12\x0a\x15\0\0\0\0" + DATA,
    "checksum cut": b"\x12\x03\x15\1\2",
    "no data": b"\x12\x02\x08\x07",
    "data of length 0, written": b"\x12\x04\x08\x07\x1a\x00",
    "data before offset": b"\x12\x07" + DATA + b"\x08\x07",
    "two data": b"\x12\x0a" + DATA + b"\x1a\x03xyz",
    "two offsets": b"\x12\x09\x08\x07\x08\x08" + DATA,
    "two blocks": b"\x12\x05" + DATA + b"\x12\x02\x08\x07",
    "length too short": b"\x12\x06\x08\x07" + DATA,
    "length too long": b"\x12\x08\x08\x07" + DATA,
    "data's length too short": b"\x12\x05\x1a\x02abc",
    "data's length too long": b"\x12\x05\x1a\x04abc",
    "data's length negative": b"\x12\x0d\x1a" + b"\xff" * 9 + b"\x01abc",
    "data as a group": b"\x12\x02\x1b\x1c",
    "block as a group": b"\x13\x14",
    "tag in two bytes": b"\x92\x00\x05" + DATA,
    "nothing after the tag": b"\x12",
    "unknown field after it": b"\x12\x05" + DATA + b"\x20\x01",
}


@pytest.mark.parametrize("data", ODD_BLOCKS.values(), ids=ODD_BLOCKS)
def test_odd_spellings_of_a_block_mean_what_the_generated_code_reads(data: bytes) -> None:
    """Known difficult encodings, each by name."""
    assert read(data) == meant(data)
