"""The parts of a write by `google.bytestream.ByteStream`: they follow each other, and add up to the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.bytestreamwrite import ByteStreamWrite, WriteMessage
from unspool.core.checksum import crc32c
from unspool.errors import InvalidRangeError, InvalidRequestError

DATA = bytes(range(256))


@given(st.data(), st.integers(1, 300))
def test_parts_add_up(data: st.DataObject, most: int) -> None:
    """Whatever is there, and however the rest is cut: the blocks are the bytes, in order, none lies across what is there."""
    there = data.draw(st.integers(0, len(DATA)))
    start = data.draw(st.integers(0, there))
    cuts = sorted(data.draw(st.lists(st.integers(start, len(DATA)), max_size=5)))
    parts = ByteStreamWrite("a", start, there, crc32c(DATA[:there]))
    blocks = []
    for begin, end in zip([start, *cuts], [*cuts, len(DATA)], strict=True):
        assert not parts.finished
        blocks += list(
            parts.take(WriteMessage("a", begin, end == len(DATA) and begin == (cuts or [start])[-1], DATA[begin:end]), most)
        )
        assert parts.position == end
        if parts.finished:
            break
    assert b"".join(bytes(block.data) for block in blocks) == DATA[start : parts.position]
    for block in blocks:
        assert 0 < len(block.data) <= most
        assert block.crc32c == crc32c(block.data)
        assert not block.offset < there < block.end
    if parts.position >= there:
        assert parts.crc32c == crc32c(DATA[: parts.position])


@pytest.mark.parametrize("start", [-1, 4])
def test_a_write_begins_within_what_is_there(start: int) -> None:
    """Before the file or beyond what is there is no place to begin."""
    with pytest.raises(InvalidRangeError, match=f"write_offset is {start}, and of this upload the server has 3"):
        ByteStreamWrite("a", start, 3, 0)


def test_what_follows_must_fit() -> None:
    """A part of another file, at another place, or after the last one is an error that says so."""
    parts = ByteStreamWrite("a", 0, 0, 0)
    assert list(parts.take(WriteMessage("", 0, last=False, data=b""), 10)) == []
    with pytest.raises(InvalidRequestError, match="is about 'b'"):
        list(parts.take(WriteMessage("b", 0, last=False, data=b"x"), 10))
    with pytest.raises(InvalidRangeError, match="write_offset is 1, and the next byte is 0"):
        list(parts.take(WriteMessage("a", 1, last=False, data=b"x"), 10))
    assert list(parts.take(WriteMessage("a", 0, last=True, data=b""), 10)) == []
    with pytest.raises(InvalidRequestError, match="after the one with finish_write"):
        list(parts.take(WriteMessage("a", 0, last=True, data=b""), 10))
