"""How an upload into an object store is divided into parts.

Rule 1: all parts but the last have the same size: some stores refuse others (Cloudflare R2).
Rule 2: there are never more parts than stores take, so the parts of a large file are larger.
"""

from __future__ import annotations

from collections.abc import Iterator

from unspool.core.checksum import crc32c
from unspool.core.model import Block

PART_SIZE = 16 << 20
"""Smallest part, in bytes, as a segment of a download: the most that a lost part costs. S3 wants at least 5 MiB."""

MOST_PARTS = 10_000
"""Most parts of one upload, as S3 has it."""

LARGEST_OBJECT = 5 << 40
"""Largest object, in bytes: the 5 TiB that S3 took until 2025, and what others still take."""

_GRAIN = 1 << 20


def part_size_for(size: int | None) -> int:
    """Return the size of the parts of a file of `size` bytes; None if it is unknown: 16 MiB, or as many MiB as are needed."""
    if size is None:
        return PART_SIZE
    needed = -(-size // MOST_PARTS)
    return max(PART_SIZE, -(-needed // _GRAIN) * _GRAIN)


def full_length(number: int, part_size: int, size: int | None) -> int:
    """Return how many bytes the part `number` has when it is complete. The size of the file is None if it is unknown."""
    return part_size if size is None else max(min(part_size, size - number * part_size), 0)


def divided(block: Block, part_size: int) -> Iterator[tuple[int, int, Block]]:
    """Yield the pieces of a block that lie in one part each: the part's number, the offset within it, and the piece."""
    number, within = divmod(block.offset, part_size)
    if within + len(block.data) <= part_size:
        yield number, within, block
        return
    data, offset = memoryview(block.data), block.offset
    while data:
        run = data[: part_size - within]
        yield number, within, Block(offset, run, crc32c(run))
        data, offset = data[len(run) :], offset + len(run)
        number, within = number + 1, 0
