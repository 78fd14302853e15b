"""Answers batches: turns a store and a request into pieces, message by message.

Rule 1: in order. Each file is answered completely before the next one, so the client handles one file at a time.
Rule 2: small files, and short spans, are read many at a time, and a message carries many. What is larger than a message is read
        as by ReadFile.
Rule 3: bounded. While one message is sent, at most the next one is read.
Rule 4: a file that cannot be read is answered with its error, and the batch continues. An unexpected exception ends the stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from unspool.answers.checksums import Checksums
from unspool.answers.frames import FrameMaker, unchanged
from unspool.answers.patience import AsWanted, Patience, Sizes
from unspool.answers.spans import span_of, stopped_short_error
from unspool.core.checksum import crc32c
from unspool.core.model import (
    BatchRequest,
    Block,
    Bytes,
    FileInfo,
    Frame,
    Header,
    NamedSpan,
    Piece,
    ReadRequest,
    Summary,
    WantedFile,
)
from unspool.errors import InvalidRangeError, InvalidRequestError, UnspoolError
from unspool.options import ServiceOptions
from unspool.stores.base import SmallFile, Store
from unspool.stores.revisions import check_revision

FULL_MESSAGE = 512 * 1024
"""Bytes of small files in one message. Measured on the server, for files of 4 KiB: 36 us each at 64 KiB, 32 at 128 KiB, 29 at
256 and 512 KiB, no less at 1 MiB."""

_LARGEST_HEADS = 1 << 20
"""Most bytes of names, revisions and errors in one message. With the files' bytes, a message stays well below gRPC's 4 MiB."""

_LARGEST_ERROR = 2048
"""Most bytes of an error: its message, which is cut to half of this, and numbers."""

_REST_OF_HEAD = 300
"""Most bytes that a small file takes besides its name, revision and content: numbers, tags and a media type."""


class BatchMaker:
    """Makes the pieces that answer batches.

    Args:
        store: where the bytes come from.
        maker: makes the frames of large files.
        checksums: the checksums known so far.
        options: block and batch sizes.
    """

    def __init__(self, store: Store, maker: FrameMaker, checksums: Checksums, options: ServiceOptions) -> None:
        self._store = store
        self._maker = maker
        self._checksums = checksums
        self._options = options

    async def messages(
        self, wanted: BatchRequest, patience: Patience, sizes: Callable[[int], Sizes] = AsWanted
    ) -> AsyncGenerator[tuple[Piece, ...], None]:
        """Yield the pieces that answer a batch. Each tuple is one message.

        Args:
            wanted: the request.
            patience: how to wait for the store.
            sizes: called with the largest message or block wanted; returns the sizes to use.

        Raises:
            InvalidRequestError: the request names more files than a batch may have.
        """
        if len(wanted.files) > self._options.largest_batch:
            raise InvalidRequestError(
                f"{len(wanted.files)} files are asked for at once: at most {self._options.largest_batch} can be"
            )
        largest = min(wanted.block_size or FULL_MESSAGE, FULL_MESSAGE)
        size = sizes(largest)
        room = _Room(size.first(largest + 1))
        async with aclosing(self._messages(wanted, patience, sizes, room)) as messages:
            async for message in messages:
                given = time.monotonic()
                yield message
                del message
                room.bytes = size.next(time.monotonic() - given)

    async def _messages(
        self, wanted: BatchRequest, patience: Patience, sizes: Callable[[int], Sizes], room: _Room
    ) -> AsyncGenerator[tuple[Piece, ...], None]:
        files = wanted.files
        ahead: asyncio.Future[Sequence[SmallFile]] | None = None
        index = 0
        try:
            while index < len(files):
                answers, messages = await patience.patiently(self._next(index, files, ahead, room, patience))
                ahead = None
                if answers:
                    index += answers
                    if index < len(files) and not patience.crowded:
                        ahead = asyncio.ensure_future(self._read_ahead(files[index:], room, patience))
                    while messages:  # hold no message while waiting for the next one
                        yield messages.pop(0)
                else:
                    async with aclosing(self._large(index, wanted, patience, sizes)) as pieces:
                        async for piece in pieces:
                            yield (piece,)
                    index += 1
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def _next(
        self,
        index: int,
        files: Sequence[WantedFile],
        ahead: asyncio.Future[Sequence[SmallFile]] | None,
        room: _Room,
        patience: Patience,
    ) -> tuple[int, list[tuple[Piece, ...]]]:
        """Return how many of the next files are small and fit, and their messages, all made within one turn."""
        answers = await ahead if ahead is not None else None
        async with patience.turn():
            if answers is None:
                answers = await self._read(files[index:], room)
            return len(answers), list(self._small(index, files, answers))

    async def _read_ahead(self, files: Sequence[WantedFile], room: _Room, patience: Patience) -> Sequence[SmallFile]:
        async with patience.turn():
            return await self._read(files, room)

    async def _read(self, files: Sequence[WantedFile], room: _Room) -> Sequence[SmallFile]:
        spans = _spans_that_fit(files, room.bytes)
        if spans:
            return await self._store.read_spans(spans, room.bytes)
        files = files[: next((index for index, file in enumerate(files) if file.length is not None), None)]
        known = [file.unless_revision for file in files]
        return await self._store.read_small([file.name for file in files], room.bytes, known if any(known) else ())

    def _small(self, index: int, files: Sequence[WantedFile], answers: Sequence[SmallFile]) -> Iterator[tuple[Piece, ...]]:
        """Yield the messages for files that were read whole. It is nearly always one message."""
        message: list[Piece] = []
        heads = 0
        for number, answer in enumerate(answers, index):
            wanted = files[number]
            message.append(self._piece(number, wanted, answer))
            heads += 4 * len(wanted.name) + (
                _LARGEST_ERROR if isinstance(answer, UnspoolError) else 4 * len(answer[0].revision) + _REST_OF_HEAD
            )
            if heads > _LARGEST_HEADS:
                yield tuple(message)
                message, heads = [], 0
        if message:
            yield tuple(message)

    def _piece(self, index: int, wanted: WantedFile, answer: SmallFile) -> Piece:
        """Return the only piece of a small file or span: its content or its error."""
        try:
            check_numbers(wanted)
            if isinstance(answer, UnspoolError):
                return Piece(index, error=answer)
            return Piece(index, self._frame(wanted, *answer))
        except UnspoolError as error:
            return Piece(index, error=error)

    def _frame(self, wanted: WantedFile, info: FileInfo, data: Bytes, steady: bool) -> Frame:  # noqa: FBT001 - a SmallFile
        check_revision(info, wanted.revision)
        known = self._checksums.added_to(info)
        if info.revision == wanted.unless_revision:
            return unchanged(known)
        if wanted.length is not None:
            return _span_frame(wanted, known, data)
        size = len(data)
        if size != info.size:
            raise stopped_short_error(info, size, info.size)
        checksum = crc32c(data)
        if steady:
            self._checksums.record_whole(info, checksum)
        summary = Summary(size, at_end=True, crc32c=checksum if info.crc32c is None else info.crc32c)
        start = 0
        if wanted.start:
            start = span_of(ReadRequest(wanted.name, wanted.start), info).start
            data = data[start:]
            checksum = crc32c(data)
        return Frame(Header(known, start, size - start), Block(start, data, checksum) if data else None, summary)

    async def _large(
        self, index: int, wanted: BatchRequest, patience: Patience, sizes: Callable[[int], Sizes]
    ) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of a file that is larger than a message."""
        file = wanted.files[index]
        request = ReadRequest(file.name, file.start, file.length, file.revision, wanted.block_size)
        try:
            check_numbers(file)
            async with (
                aclosing(await patience.patiently(self._store.open(file.name, file.revision))) as opened,
                aclosing(self._maker.frames(opened, request, patience, sizes)) as frames,
            ):
                async for frame in frames:
                    yield Piece(index, frame)
        except UnspoolError as error:
            yield Piece(index, error=error)


def check_numbers(file: WantedFile) -> None:
    """Raise InvalidRangeError if the start or the length of a file of a batch is negative."""
    if file.start < 0:
        raise InvalidRangeError(f"{file.name}: start {file.start} must not be negative", name=file.name)
    if file.length is not None and file.length < 0:
        raise InvalidRangeError(f"{file.name}: length {file.length} must not be negative", name=file.name)


def _spans_that_fit(files: Sequence[WantedFile], room: int) -> list[NamedSpan]:
    """Return the spans to read next: the first one, and those behind it that fit beside it. None if a whole file is next."""
    spans: list[NamedSpan] = []
    for file in files:
        if file.length is None or (spans and file.length > room):
            break
        spans.append((file.name, max(file.start, 0), max(file.length, 0)))
        room -= file.length
    return spans


def _span_frame(wanted: WantedFile, info: FileInfo, data: Bytes) -> Frame:
    """Return the only frame of a span that was read at once."""
    span = span_of(ReadRequest(wanted.name, wanted.start, wanted.length), info)
    if len(data) != span.length:
        raise stopped_short_error(info, span.start + len(data), span.stop)
    block = Block(span.start, data, crc32c(data)) if data else None
    return Frame(Header(info, span.start, span.length), block, Summary(span.stop, span.stop == info.size, info.crc32c))


@dataclass(slots=True)
class _Room:
    """How many bytes of small files fit into the next message."""

    bytes: int
