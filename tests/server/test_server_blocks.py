"""Block sizes: small at first, larger for a fast reader, and never across the edge of a segment."""

from __future__ import annotations

import pytest

from server.wiretap import wiretap
from unspool import MemoryStore
from unspool.core.model import ReadRequest, Span
from unspool.core.segments import SEGMENT_SIZE
from unspool.testing import FaultyStore, serve

MIB = 1 << 20


@pytest.mark.parametrize("start", [0, 1, 100_000, MIB, 3 * MIB + 5])
async def test_blocks_grow_and_never_lie_across_a_segments_edge(start: int) -> None:
    """A fast reader soon gets full blocks; whatever the start, no block crosses the edge of a segment."""
    size = 2 * SEGMENT_SIZE + 12_345
    async with serve(MemoryStore({"f": bytes(size)})) as address, wiretap(address) as tap:
        frames = await tap.frames(ReadRequest("f", start=start))
    blocks = [frame.block for frame in frames if frame.block is not None]
    assert sum(len(block.data) for block in blocks) == size - start
    assert len(blocks[0].data) < MIB
    assert max(len(block.data) for block in blocks) == MIB
    assert all(block.offset // SEGMENT_SIZE == (block.end - 1) // SEGMENT_SIZE for block in blocks)


@pytest.mark.parametrize(("start", "length"), [(0, None), (7, 100), (1, 999_999)])
async def test_what_is_small_comes_in_one_message(start: int, length: int | None) -> None:
    """A small file, or a small span, is header, block and summary in one message."""
    async with serve(MemoryStore({"f": bytes(MIB), "g": bytes(10 * MIB)})) as address, wiretap(address) as tap:
        for name in ("f", "g")[: 1 if length is None else 2]:
            (frame,) = await tap.frames(ReadRequest(name, start=start, length=length))
            assert frame.header is not None
            assert frame.block is not None
            assert frame.summary is not None


async def test_the_store_is_asked_for_a_span_once() -> None:
    """However blocks grow, a read is one read of the store, because each request to some stores has a price."""
    store = FaultyStore(MemoryStore({"f": bytes(20 * MIB)}))
    async with serve(store) as address, wiretap(address) as tap:
        frames = await tap.frames(ReadRequest("f", start=5))
    assert len({len(frame.block.data) for frame in frames if frame.block is not None}) > 3
    assert store.reads == [("f", Span(5, 20 * MIB))]
