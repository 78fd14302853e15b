"""Uploads many small files over one stream, with retries.

Rule 1: a file is read as a whole, and not sent if it changed while it was read.
Rule 2: an error of one file ends that file only. It is sent again if the error is retryable, or if the stream broke before its
        answer: a file that was written before is recognised by the server, because it has these bytes.
Rule 3: while files are sent, answers are received. How many files are under way is bounded by HTTP/2's flow control. But after
        the first message nothing is sent before its answer: a status that ends a stream early may be lost (grpc#36066).
Rule 4: a file that must be absent, and whose answer was lost, may be there because this call has written it. The caller finds
        out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from unspool.client.storages import writable
from unspool.client.transfer import Transfer
from unspool.client.transport import BatchStream
from unspool.client.uploadstream import Listening
from unspool.core.checksum import crc32c
from unspool.core.counted import counted
from unspool.core.model import FileInfo
from unspool.core.uploading import ANYTHING, Condition, End, NewFile, WrittenFile
from unspool.errors import (
    AlreadyExistsError,
    FileMismatchError,
    LocalFileError,
    NoSpaceError,
    SourceChangedError,
    TruncatedError,
    UnspoolError,
    UnsupportedError,
)
from unspool.local.disk import Disk
from unspool.local.walk import FoundFile, SmallContent, read_small
from unspool.options import MIB

SMALL = MIB
"""Bytes up to which a file is sent with others, in one message."""

_FIRST_BYTES = MIB // 4
"""Bytes of files after which the first message of a stream is sent, so that the server soon has something to do."""

_MESSAGE_BYTES = MIB
"""Bytes of files after which another message is sent, unless the connection is slow. The server syncs its disk twice for each
message: measured on ext4, 1 MiB takes three quarters of the time of 256 KiB. With a file of 1 MiB after them a message stays
below gRPC's limit of 4 MiB."""

_MESSAGE_FILES = 250
"""Most files in a message: their answers come together, and tell how far the batch is."""


class Batch:
    """Small files that are uploaded with one stream.

    Args:
        files: the files, each with the name that it gets, and with what the server has if the checksums are to be compared.
        transfer: makes the attempts.
        disk: reads the files.
        condition: what must be at each name.
        sent: called with the size of each file that the server has from this batch.
        kept: called with the size of each file that the server had already.
        advanced: called after the answers of a message: a batch may take minutes over a slow connection.
        failed: called for each file that fails.
        grown: called for each file that is no longer small.
        doubtful: called for each file that is there, though it was to be absent, if this batch may have written it; with the
            size and the CRC32C that it was sent with, and the error.
    """

    def __init__(
        self,
        files: Sequence[tuple[FoundFile, str, FileInfo | None]],
        transfer: Transfer,
        disk: Disk,
        *,
        condition: Condition = ANYTHING,
        sent: Callable[[int], None],
        kept: Callable[[int], None],
        advanced: Callable[[], None],
        failed: Callable[[FoundFile, UnspoolError], None],
        grown: Callable[[FoundFile], None],
        doubtful: Callable[[FoundFile, int, int, UnspoolError], None],
    ) -> None:
        self._left = {name: (file, there) for file, name, there in files}
        self._first = files[0][1]
        self._transfer = transfer
        self._disk = disk
        self._condition = condition
        self._sent = sent
        self._kept = kept
        self._advanced = advanced
        self._failed = failed
        self._grown = grown
        self._doubtful = doubtful
        self._unanswered: set[str] = set()  # sent in an attempt that broke before their answer
        self._errors: dict[str, UnspoolError] = {}  # of files that are sent again

    @property
    def left(self) -> list[FoundFile]:
        """The files that have neither arrived nor failed."""
        return [file for file, _ in self._left.values()]

    async def run(self) -> None:
        """Upload the files.

        Raises:
            UnspoolError: the stream broke, and the budget is spent.
            UnsupportedError: the server has no batches.
        """
        async for attempt in self._transfer.attempts():
            before = len(self._left)
            with attempt:
                transport = await writable(self._transfer, self._first)
                stream = transport.write_files(transfer_id=self._transfer.id, attempt=attempt.number)
                async with stream as opened:
                    await self._exchange(opened)
            attempt.progressed = len(self._left) < before
            if self._left and attempt.error is None:
                attempt.again(self._error_of(next(iter(self._left))))
        for name in list(self._left):
            file, _ = self._left.pop(name)
            self._failed(file, self._error_of(name))

    def _error_of(self, name: str) -> UnspoolError:
        return self._errors.get(name) or TruncatedError(f"{name}: the stream ended before its answer", name=name)

    async def _exchange(self, stream: BatchStream) -> None:
        under_way: deque[tuple[str, SmallContent]] = deque()
        listening = Listening(self._transfer, lambda: f"with {counted(len(self._left), 'file')} left")
        answered = asyncio.Event()
        receiving = asyncio.create_task(self._receive(stream, listening, under_way, answered))
        sending = asyncio.create_task(self._send(stream, listening, under_way, answered))
        try:
            await asyncio.wait([receiving, sending], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            await receiving
        finally:
            for task in (receiving, sending):
                task.cancel()
            await asyncio.gather(receiving, sending, return_exceptions=True)
            self._unanswered.update(name for name, _ in under_way)

    # Sending

    async def _send(
        self, stream: BatchStream, listening: Listening, under_way: deque[tuple[str, SmallContent]], answered: asyncio.Event
    ) -> None:
        names = iter(list(self._left))
        coming = self._disk.submit(partial(self._read, names, min(_FIRST_BYTES, self._message_bytes())))
        while contents := await asyncio.wrap_future(coming):
            coming = self._disk.submit(partial(self._read, names, self._message_bytes()))  # read while these are sent
            files: list[NewFile] = []
            for name, content in contents:
                if (new := self._new_file(name, content)) is not None:
                    files.append(new)
                    under_way.append((name, content))  # type: ignore[arg-type]  # a new file has content
            if not files:
                continue
            begun = self._transfer.seams.clock.monotonic()
            if not await stream.send(files):
                return
            listening.sent += 1
            size = sum(len(file.data) for file in files)
            await self._transfer.sent(size, self._transfer.seams.clock.monotonic() - begun)
            await answered.wait()
        await stream.finish()

    def _message_bytes(self) -> int:
        """Return how many bytes of files a message is to have: over a slow connection as many as a block."""
        return min(_MESSAGE_BYTES, self._transfer.block_size or _MESSAGE_BYTES)

    def _read(self, names: Iterator[str], most_bytes: int) -> list[tuple[str, SmallContent | UnspoolError | None]]:
        """Read the files of the next message, in the disk's thread. None is a file that is no longer small."""
        contents: list[tuple[str, SmallContent | UnspoolError | None]] = []
        size = 0
        for name in names:
            content: SmallContent | UnspoolError | None
            try:
                content = read_small(self._left[name][0].path, SMALL)
            except (LocalFileError, SourceChangedError) as error:
                content = error
            contents.append((name, content))
            size += len(content.data) if isinstance(content, SmallContent) else 0
            if size >= most_bytes or len(contents) >= _MESSAGE_FILES:
                break
        return contents

    def _new_file(self, name: str, content: SmallContent | UnspoolError | None) -> NewFile | None:
        """Return a file to send; None if it is the same as the server's, or not small any more, or cannot be read."""
        file, there = self._left[name]
        if content is None:
            del self._left[name]
            self._grown(file)
        elif isinstance(content, UnspoolError):
            del self._left[name]
            self._failed(file, content)
        elif there is not None and (there.size, there.crc32c) == (len(content.data), content.crc32c):
            del self._left[name]
            self._kept(len(content.data))
        else:
            attributes = self._transfer.options.kept(content.attributes)
            return NewFile(name, content.data, content.crc32c, self._condition, attributes)
        return None

    # Receiving

    async def _receive(
        self, stream: BatchStream, listening: Listening, under_way: deque[tuple[str, SmallContent]], answered: asyncio.Event
    ) -> None:
        try:
            while not isinstance(answers := await listening.next(stream.receive), End):
                for answer in answers:
                    name, content = under_way.popleft()
                    answered.set()
                    self._take(name, content, answer)
                self._advanced()
        finally:
            answered.set()

    def _take(self, name: str, content: SmallContent, answer: WrittenFile) -> None:
        file, _ = self._left[name]
        if isinstance(answer, NoSpaceError | UnsupportedError):
            raise answer  # so it is for every other file
        if isinstance(answer, FileInfo):
            said = (answer.name, answer.size, crc32c(content.data) if answer.crc32c is None else answer.crc32c)
            if said != (name, len(content.data), content.crc32c):
                answer = FileMismatchError(f"{name}: the server says that it wrote another file", name=name)
        if isinstance(answer, FileInfo):
            del self._left[name]
            self._sent(answer.size)
        elif answer.retryable:
            self._errors[name] = answer
        elif isinstance(answer, AlreadyExistsError) and name in self._unanswered:
            del self._left[name]
            self._doubtful(file, len(content.data), content.crc32c, answer)
        else:
            del self._left[name]
            self._failed(file, answer)
