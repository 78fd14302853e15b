"""A transport that checks requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from unspool.core.journal import decode
from unspool.core.model import Frame, ReadRequest, Span
from unspool.core.segments import SegmentTable
from unspool.testing import FaultyTransport


class Asked(FaultyTransport):
    """Checks, when a request is made, that it is only for bytes that are missing according to the journal.

    The journal must be written with every block.

    Attributes:
        journal: the path of the journal.
        revisions: the bytes of the file, by revision.
        alone: whether there is only one stream at a time: then the request must be for the whole first gap.
    """

    journal: Path
    revisions: dict[str, bytes]
    alone = True
    _forgotten: bytes | None = None
    """The journal from before a download that began from zero; it stays until the first block arrives."""

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        self._check(request)
        async with aclosing(super().read(request)) as frames:
            async for frame in frames:
                yield frame

    def _check(self, request: ReadRequest) -> None:
        written = self.journal.read_bytes() if self.journal.exists() else None
        if request.revision is None:
            assert request.start == 0
            self._forgotten = written
            return
        size = len(self.revisions[request.revision])
        if request.start == size:
            return  # no bytes, only the checksum of the whole file
        journal = decode(written) if written is not None else None
        if journal is None or (request.start == 0 and written == self._forgotten):
            assert request.start == 0
            return
        assert journal.revision == request.revision
        gaps = list(SegmentTable(journal.segment_size, journal.segments).gaps(size))
        asked = Span(request.start, size if request.length is None else request.start + request.length)
        if self.alone:
            assert asked == gaps[0]
        elif asked.length:  # a stream whose last message was damaged may request that message again, and no more
            assert any(gap.start <= asked.start and asked.stop <= gap.stop for gap in gaps)
