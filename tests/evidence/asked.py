"""A transport that looks at what is asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from unspool.core.journal import decode
from unspool.core.model import Frame, ReadRequest, Span
from unspool.core.segments import SegmentTable
from unspool.testing import FaultyTransport


class Asked(FaultyTransport):
    """Checks each request, when it is made, against what the journal says is here: only missing bytes are asked for.

    The journal must be written with every block.

    Attributes:
        journal: where it is.
        revisions: the files' bytes by revision.
        alone: whether there is one stream at a time: then the first gap is asked for, whole.
    """

    journal: Path
    revisions: dict[str, bytes]
    alone = True
    _forgotten: bytes | None = None
    """The journal that was there when the download began from zero, and stays until the first block has come."""

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
            return  # no byte, only the word about the whole
        journal = decode(written) if written is not None else None
        if journal is None or (request.start == 0 and written == self._forgotten):
            assert request.start == 0
            return
        assert journal.revision == request.revision
        gaps = list(SegmentTable(journal.segment_size, journal.segments).gaps(size))
        asked = Span(request.start, size if request.length is None else request.start + request.length)
        if self.alone:
            assert asked == gaps[0]
        elif asked.length:  # a stream whose last message was damaged may ask again for no more than that
            assert any(gap.start <= asked.start and asked.stop <= gap.stop for gap in gaps)
