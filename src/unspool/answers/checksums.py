"""Collects the checksums of files while the server sends them.

Rule 1: only bytes that a client requested are read and summed, except for the gaps that a summary needs (frames.py).
Rule 2: nothing is remembered about a file that may change unnoticed (`OpenFile.steady`). The caller ensures this.
Rule 3: memory is bounded. The least recently used revisions are forgotten. This costs another read, and never a wrong answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from unspool.answers.kept import KeptChecksums, Row
from unspool.core.model import Block, FileInfo, Span, with_crc32c
from unspool.core.segments import SegmentTable, segment_size_for

_KNOWN = 10_000
"""Revisions whose whole checksum is remembered: about 3 MB."""

_LEARNING = 64
"""Revisions whose checksum is being combined, at most 4096 segments each: about 30 MB at worst."""


class Checksums:
    """The checksums of revisions, known or being learned.

    Args:
        kept: the file that keeps what is learned; None keeps nothing.
    """

    def __init__(self, kept: KeptChecksums | None = None) -> None:
        self._kept = kept
        self._known: OrderedDict[tuple[str, str], int] = OrderedDict()
        for row in () if kept is None else kept.rows:
            if row.crc32c is not None:
                self._known[row.name, row.revision] = row.crc32c
        self._learning: OrderedDict[tuple[str, str], SegmentTable] = OrderedDict()

    def added_to(self, info: FileInfo) -> FileInfo:
        """Return `info` with the whole file's checksum, if the store or this table knows it."""
        if info.crc32c is not None:
            return info
        if not info.size:
            return with_crc32c(info, 0)
        key = (info.name, info.revision)
        checksum = self._known.get(key)
        if checksum is None:
            return info
        self._known.move_to_end(key)
        return with_crc32c(info, checksum)

    def record(self, info: FileInfo, block: Block) -> None:
        """Record a run of the file's bytes and its checksum."""
        key = (info.name, info.revision)
        if info.crc32c is not None or key in self._known:
            return
        table = self._table(info)
        table.record(block)
        # Only a run that ends at the end of a segment or of the file can complete it; computing the checksum is not free.
        if block.end % table.segment_size == 0 or block.end == info.size:
            checksum = table.checksum(info.size)
            if checksum is not None:
                del self._learning[key]
                self._remember(key, checksum)

    def record_whole(self, info: FileInfo, checksum: int) -> None:
        """Record the checksum of the whole file."""
        key = (info.name, info.revision)
        if info.crc32c is None and info.size and key not in self._known:
            self._learning.pop(key, None)
            self._remember(key, checksum)

    def gaps(self, info: FileInfo) -> Iterator[Span]:
        """Yield the spans of the file that must still be read for its checksum."""
        yield from list(self._table(info).gaps(info.size))

    def _remember(self, key: tuple[str, str], checksum: int) -> None:
        self._known[key] = checksum
        if self._kept is not None:
            self._kept.put(Row(*key, crc32c=checksum, sha256=None))
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    def _table(self, info: FileInfo) -> SegmentTable:
        key = (info.name, info.revision)
        table = self._learning.get(key)
        if table is None:
            table = self._learning[key] = SegmentTable(segment_size_for(info.size))
            while len(self._learning) > _LEARNING:
                self._learning.popitem(last=False)
        self._learning.move_to_end(key)
        return table
