"""Parts of uploads into object stores: their sizes, and blocks across their edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.checksum import crc32c
from unspool.core.model import Block
from unspool.core.uploadparts import LARGEST_OBJECT, MOST_PARTS, PART_SIZE, divided, full_length, part_size_for

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "part_size"),
    [
        (None, 16 * MIB),
        (0, 16 * MIB),
        (MOST_PARTS * 16 * MIB, 16 * MIB),
        (MOST_PARTS * 16 * MIB + 1, 17 * MIB),
        (LARGEST_OBJECT, 525 * MIB),
    ],
)
def test_parts_are_as_small_as_the_store_takes(size: int | None, part_size: int) -> None:
    """Parts have 16 MiB, or as many as are needed for 10,000 to suffice."""
    assert part_size_for(size) == part_size


@given(st.integers(0, LARGEST_OBJECT))
def test_parts_suffice_for_every_file(size: int) -> None:
    """There are never more than 10,000, all but the last are equal, and together they have the file's bytes."""
    part_size = part_size_for(size)
    count = -(-size // part_size)
    assert count <= MOST_PARTS
    assert part_size >= PART_SIZE
    last = full_length(count - 1, part_size, size) if count else 0
    assert max(count - 1, 0) * part_size + last == size
    assert full_length(count, part_size, size) == 0
    assert full_length(count, part_size, None) == part_size


@given(st.integers(0, 40), st.binary(min_size=1, max_size=50), st.integers(1, 20))
def test_a_block_is_divided_at_the_edges_of_parts(offset: int, data: bytes, part_size: int) -> None:
    """The pieces lie in one part each, follow one another, have their own checksums, and have the block's bytes."""
    pieces = list(divided(Block(offset, data, crc32c(data)), part_size))
    assert b"".join(bytes(piece.data) for _, _, piece in pieces) == data
    position = offset
    for number, within, piece in pieces:
        assert (piece.offset, piece.crc32c) == (position, crc32c(piece.data))
        assert (number, within) == divmod(position, part_size)
        assert within + len(piece.data) <= part_size
        position = piece.end
