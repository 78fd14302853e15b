"""The block sizes of one stream among others."""

from __future__ import annotations

import pytest

from unspool.core.limits import BlockSizes
from unspool.server.streams import BlockSize

MIB = 1 << 20


@pytest.mark.parametrize(("streams", "largest"), [(1, MIB), (32, MIB), (64, MIB // 2), (256, MIB // 8)])
def test_a_prompt_reader_gets_the_largest_blocks_allowed(streams: int, largest: int) -> None:
    """The blocks of a fast reader double in size up to its share, and then keep that size."""
    size = BlockSize(BlockSizes(128 * MIB), MIB, lambda: streams)
    sizes = [size.first(100 * MIB)]
    while not size.at_largest:
        sizes.append(size.next(0.001))
        assert len(sizes) < 10
    assert sizes == [2**n for n in range(16, largest.bit_length())]
