"""A span of a file, read as it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from unspool.client.progress import Progress
from unspool.core.model import Block, Bytes
from unspool.core.receiver import Receiver
from unspool.errors import InvalidRequestError


class Reading:
    """A span of a file, read as it arrives: iterate over its verified bytes, or call `read`. Created by `Client.open`.

    Attributes:
        info: the description of the file; None if the dialect does not send one.
    """

    def __init__(
        self, receiver: Receiver, first: Block | None, rest: AsyncIterator[Block], progress: Progress | None = None
    ) -> None:
        self.info = receiver.info
        self._name = receiver.name
        self._first = first
        self._rest = rest
        self._left: Bytes = b""  # of the last block
        self._position = receiver.position if first is None else first.offset
        self._usable = True
        self._progress = progress
        self._start = self._position
        self._length = None if receiver.stop is None else receiver.stop - self._start
        self._tell()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Bytes:
        if not self._usable:
            raise InvalidRequestError(
                f"{self._name}: this reading was closed or broke: open the file again, from byte {self._position}",
                name=self._name,
                offset=self._position,
            )
        if self._left:
            data, self._left = self._left, b""
        else:
            data = await self._next_block()
        self._position += len(data)
        return data

    async def _next_block(self) -> Bytes:
        block, self._first = self._first, None
        if block is None:
            try:
                block = await anext(self._rest)
            except StopAsyncIteration:
                raise
            except BaseException:
                self._usable = False  # otherwise the next read would look like the end of the file
                raise
        self._tell(block.end - self._start)
        return block.data

    async def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes: fewer at the end of the span, and b"" after it.

        Args:
            size: the number of bytes; if negative, all that are left. They are held in memory.

        Raises:
            UnspoolError: see `Client.open`. Bytes that had arrived for this call are lost: open the file again.
        """
        parts: list[Bytes] = []
        missing = size
        while missing:
            data = await anext(self, None)
            if data is None:
                break
            if 0 <= missing < len(data):
                data, self._left = data[:missing], memoryview(data)[missing:]
                self._position -= len(self._left)
            parts.append(data)
            if missing > 0:
                missing -= len(data)
        return b"".join(parts)

    def close(self) -> None:
        """Make later reads raise InvalidRequestError. `Client.open` calls this at the end of its `async with` block."""
        self._usable = False

    def _tell(self, done: int = 0) -> None:
        if self._progress is not None:
            self._progress(done, self._length)
