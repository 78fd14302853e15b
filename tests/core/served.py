"""A file as an honest server tells it: the frames that tests take apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Frame, Header, ReadRequest, Summary


@dataclass(frozen=True)
class Served:
    """One revision of one file."""

    data: bytes = bytes(range(100))
    revision: str = "r1"
    name: str = "models/a.bin"

    @property
    def info(self) -> FileInfo:
        """What the file is; the server does not know its checksum yet."""
        return FileInfo(self.name, len(self.data), self.revision)

    @property
    def crc32c(self) -> int:
        """Of the whole file."""
        return crc32c(self.data)

    def header(self, start: int = 0, stop: int | None = None) -> Header:
        """Open a read of a span."""
        return Header(self.info, start, (len(self.data) if stop is None else stop) - start)

    def block(self, start: int, stop: int) -> Block:
        """Return a run of the file's bytes."""
        data = self.data[start:stop]
        return Block(start, data, crc32c(data))

    def summary(self, end: int | None = None) -> Summary:
        """Close a read."""
        end = len(self.data) if end is None else end
        return Summary(end, at_end=end == len(self.data), crc32c=self.crc32c)

    def answer(self, request: ReadRequest, block_size: int) -> list[Frame]:
        """Return the frames that answer a request, as a server sends them: header first, then blocks, then the summary."""
        stop = len(self.data)
        if request.length is not None:
            stop = min(request.start + request.length, stop)
        starts = range(request.start, stop, block_size)
        blocks = [Frame(block=self.block(at, min(at + block_size, stop))) for at in starts]
        return [Frame(header=self.header(request.start, stop)), *blocks, Frame(summary=self.summary(stop))]


def damaged(block: Block) -> Block:
    """Return the block with one bit of its data flipped on the way."""
    data = bytearray(block.data)
    data[len(data) // 2] ^= 0x10
    return replace(block, data=bytes(data))
