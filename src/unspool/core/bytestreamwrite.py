"""The parts of one write of `google.bytestream.ByteStream`: where each must begin, and what the parts add up to.

Rule 1: a write goes on where what the server has ends, or before that: then what it has already is compared. A write that
        begins at byte 0 begins anew.
Rule 2: each part begins where the one before ended, and nothing follows the last one.
"""

from __future__ import annotations

from collections.abc import Iterator

from unspool.core.checksum import combine, crc32c
from unspool.core.model import Block
from unspool.core.value import value
from unspool.errors import InvalidRangeError, InvalidRequestError


@value
class WriteMessage:
    """One message of a write.

    Attributes:
        name: of the file; "" in a later message means the same one.
        offset: where the part begins.
        last: whether nothing follows.
        data: its bytes; none means that the client is alive.
    """

    name: str
    offset: int
    last: bool
    data: bytes


class ByteStreamWrite:
    """The parts of one write.

    Attributes:
        position: where the next part begins.
        finished: whether the last part has come.
        crc32c: of all bytes before `position`, or before what the server has if that is more.

    Args:
        name: of the file.
        start: where the first part begins.
        there: bytes that the server has of the upload.
        checksum: their CRC32C.

    Raises:
        InvalidRangeError: the first part begins beyond what the server has.
    """

    def __init__(self, name: str, start: int, there: int, checksum: int) -> None:
        if not 0 <= start <= there:
            raise InvalidRangeError(
                f"{name}: write_offset is {start}, and of this upload the server has {there}: "
                "ask QueryWriteStatus where to go on, or begin at 0",
                name=name,
                offset=there,
            )
        self.position = start
        self.finished = False
        self.crc32c = checksum
        self._name = name
        self._there = there

    def take(self, part: WriteMessage, most: int) -> Iterator[Block]:
        """Yield the blocks of a part, of at most `most` bytes each.

        Raises:
            InvalidRequestError: the write was finished, or the part is of another file.
            InvalidRangeError: the part does not begin where the one before ended.
        """
        if self.finished:
            raise InvalidRequestError(f"{self._name}: a message came after the one with finish_write", name=self._name)
        if part.name not in ("", self._name):
            raise InvalidRequestError(f"{self._name}: a message is about {part.name!r}: one write is one file", name=self._name)
        if part.offset != self.position:
            raise InvalidRangeError(
                f"{self._name}: write_offset is {part.offset}, and the next byte is {self.position}",
                name=self._name,
                offset=self.position,
            )
        view = memoryview(part.data)
        while view:
            known = self._there - self.position
            size = min(most, len(view), known) if known > 0 else min(most, len(view))
            block = Block(self.position, bytes(view[:size]), crc32c(view[:size]))
            if known <= 0:
                self.crc32c = combine(self.crc32c, block.crc32c, size)
            self.position += size
            view = view[size:]
            yield block
        self.finished = part.last
