"""The record of an upload into an object store: what is written is read, and what is damaged is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, FileInfo
from unspool.core.segments import Segment
from unspool.core.uploadrecord import SentPart, UploadRecord, decode, decode_committed, encode_committed

RECORD = UploadRecord("dir/a.bin", 20, 16, "mark", "holder", "upload", {0: SentPart(16, 7, '"tag"'), 1: SentPart(4, 1, "t")})
INFO = FileInfo("dir/a.bin", 20, "revision", Attributes(5, "text/plain", executable=True), crc32c=9)


def test_a_record_is_read_as_it_was_written() -> None:
    """Nothing is lost, and the parts are the segments of a table."""
    assert decode(RECORD.encode()) == RECORD
    assert RECORD.segments() == {0: Segment(16, 7), 1: Segment(4, 1)}
    empty = UploadRecord("a", None, 16, "mark")
    assert decode(empty.encode()) == empty
    assert decode_committed(encode_committed(INFO)) == INFO
    plain = FileInfo("a", 0, "r")
    assert decode_committed(encode_committed(plain)) == plain


@given(st.data())
def test_a_damaged_record_is_none(data: st.DataObject) -> None:
    """A flipped bit, a truncation, and the record of another kind are no record."""
    for whole, read, other in (
        (RECORD.encode(), decode, decode_committed),
        (encode_committed(INFO), decode_committed, decode),
    ):
        assert other(whole) is None
        assert read(whole[: data.draw(st.integers(0, len(whole) - 2))]) is None
        at, bit = data.draw(st.integers(0, len(whole) - 2)), data.draw(st.integers(0, 7))
        assert read(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"{}", b'{"parts": 7}', b"[" * 100_000, b"\xff"])
def test_what_another_program_wrote_is_none(body: bytes) -> None:
    """A record with the right checksum, and with something else in it, is no record."""
    for kind, read in ((b"unspool-upload", decode), (b"unspool-committed", decode_committed)):
        assert read(b"%b 1 %08x\n%b\n" % (kind, crc32c(body), body)) is None
