"""A transport that takes uploads without a server, and fails when a script says so.

store = MemoryStore()
transport = UploadTransport(store, "..x..l", clock=clock)
async with Client(transport=transport, clock=clock) as client:
await client.put(path, "a.bin")
assert transport.fired == "xl"
assert (await store.stat("a.bin")).size == path.stat().st_size
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from unspool.client.clock import Clock, SystemClock
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo
from unspool.core.uploading import (
    DeleteRequest,
    End,
    GoodSpan,
    NewFile,
    UploadAnswer,
    UploadCommitted,
    UploadOpen,
    UploadOpened,
    UploadRefused,
    UploadRequest,
    WrittenFile,
)
from unspool.errors import OverloadedError, TakenOverError, UnreachableError
from unspool.rpc import writewire
from unspool.stores import MemoryStore
from unspool.testing.faults import StoreTransport
from unspool.testing.uploadbook import Staged, UploadBook

LETTERS = ".xlzrt!dfgweh"
"""The letters of a script; see `UploadTransport`."""


class UploadTransport(StoreTransport):
    """A transport that takes uploads into a store in memory, with faults.

    Each message of the client but heartbeats, in any attempt, uses up one letter of the script. So does each message of files,
    and each deletion.

        .   the message passes
        x   the connection breaks before the server has seen the message
        l   the server processes the message, and the connection breaks before its answer
        z   the server processes the message, and nothing arrives any more: the stream stalls
        r   the upload is refused: the server is overloaded
        t   the upload is refused: another stream has taken it over
        !   one bit of the block is flipped on the way
        d   the server's disk damages one byte of the block after it was verified
        f   the server restarts, and has forgotten all bytes that were not durable
        g   the server answers with wrong checksums of what it has (only to `open`)
        w   `change` is called, then the message passes
        e   the server ends the stream with status OK, without an answer
        h   a heartbeat comes before the answer

    After the end of the script every message passes. It also passes if its letter does not apply to it.

    Attributes:
        fired: the letters that had an effect, in order.
        book: what the server knows.
        requests: the messages that the server has seen, in order, without heartbeats.
        abandoned: the ids of uploads that were abandoned.
        storage_id: what the server says of its storage. To have two servers share one, give them one `book`, too.

    Args:
        store: where the files go.
        script: letters as above.
        block_size: largest block that is taken.
        segment: bytes of a segment, in which a mismatch is told.
        sync: after so many bytes, all that were received are durable.
        clock: a stall waits on it.
        change: what `w` does.
    """

    def __init__(
        self,
        store: MemoryStore,
        script: str = "",
        *,
        block_size: int = 100,
        segment: int = 200,
        sync: int = 300,
        clock: Clock | None = None,
        change: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(store)
        if unknown := set(script) - set(LETTERS):
            raise ValueError(f"not in the alphabet of faults: {sorted(unknown)}")
        self.fired = ""
        self.requests: list[UploadRequest] = []
        self.abandoned: list[bytes] = []
        self.storage_id = secrets.token_hex(4)
        self.book = UploadBook(store, block_size=block_size, segment=segment, sync=sync)
        self._letters = iter(script)
        self._clock = clock or SystemClock()
        self._change = change

    @asynccontextmanager
    async def write(self, name: str) -> AsyncGenerator[_Stream, None]:
        """See `WritingTransport.write`."""
        yield _Stream(self, name)

    @asynccontextmanager
    async def write_files(self, *, transfer_id: str = "", attempt: int = 0) -> AsyncGenerator[_Files, None]:  # noqa: ARG002
        """See `WritingTransport.write_files`."""
        yield _Files(self)

    async def abandon_upload(self, upload_id: bytes, name: str) -> None:
        """See `WritingTransport.abandon_upload`."""
        self.abandoned.append(upload_id)
        self.book.abandon(upload_id, name)

    async def storage(self, name: str, *, deletes: bool = False) -> str:  # noqa: ARG002 - everybody may write
        """See `WritingTransport.storage`."""
        return self.storage_id

    async def delete(self, request: DeleteRequest) -> FileInfo:
        """See `WritingTransport.delete`."""
        letter = self.letter()
        if letter in "xlzrw":
            self.fire(letter)
        match letter:
            case "x":
                raise UnreachableError(f"{request.name}: the connection broke")
            case "r":
                raise OverloadedError(f"{request.name}: the server is busy", retry_after=0.0)
            case "w":
                self.change()
        deleted = self.book.delete(request)
        match letter:
            case "l":
                raise UnreachableError(f"{request.name}: the connection broke")
            case "z":
                await self.stall()
        return deleted

    def letter(self) -> str:
        """Return the letter for the next message."""
        return next(self._letters, ".")

    def fire(self, letter: str) -> None:
        """Record that a letter had an effect."""
        self.fired += letter

    async def stall(self) -> None:
        """Wait until the client gives up."""
        await self._clock.sleep(math.inf)

    def change(self) -> None:
        """Do what `w` does."""
        if self._change is not None:
            self._change()


class _Answers:
    """The answers that are on their way to the client, and what comes after them."""

    def __init__(self, transport: UploadTransport) -> None:
        self._transport = transport
        self._queue: asyncio.Queue[object] = asyncio.Queue()
        self._over = False  # whether the client's messages go nowhere

    def put(self, *answers: object) -> None:
        for answer in answers:
            self._queue.put_nowait(answer)

    def end(self, how: object) -> None:
        """End the stream: with an error, End, or None for a stall."""
        self._over = True
        self._queue.put_nowait(how)

    @property
    def over(self) -> bool:
        return self._over

    async def get(self) -> object:
        answer = await self._queue.get()
        if answer is _STALL:
            self._queue.put_nowait(answer)
            await self._transport.stall()
        if isinstance(answer, UnreachableError):
            raise answer
        return answer


_STALL = object()


def _broken() -> UnreachableError:
    return UnreachableError("the connection broke, as the script says")


class _Stream:
    """See `UploadStream`."""

    def __init__(self, transport: UploadTransport, name: str) -> None:
        self._transport = transport
        self._name = name
        self._answers = _Answers(transport)
        self._open: UploadOpen | None = None
        self._staged: Staged | None = None

    async def send(self, request: UploadRequest) -> bool:
        """See `UploadStream.send`."""
        await asyncio.sleep(0)
        request = writewire.decode_upload_request(writewire.encode_upload_request(request))
        if self._answers.over or request == UploadRequest():
            return not self._answers.over
        transport = self._transport
        letter = transport.letter()
        if letter in "xwhfert":
            transport.fire(letter)
            self._before(letter)
        if not self._answers.over:
            transport.requests.append(request)
            answers = self._process(request, letter)
            if letter in "lz":
                transport.fire(letter)
                self._answers.end(_broken() if letter == "l" else _STALL)
                return letter == "z"
            self._answers.put(*answers)
            if any(isinstance(answer, (UploadCommitted, UploadRefused)) for answer in answers):
                self._answers.end(End.OF_STREAM)
        return letter not in "xfe"

    def _before(self, letter: str) -> None:
        """Do what a letter does before the server sees the message."""
        match letter:
            case "w":
                self._transport.change()
            case "h":
                self._answers.put(None)
            case "f":
                self._transport.book.restart()
                self._answers.end(_broken())
            case "x":
                self._answers.end(_broken())
            case "e":
                self._answers.end(End.OF_STREAM)
            case _:
                refusals = {"r": OverloadedError("too busy", retry_after=1.0), "t": TakenOverError("taken over")}
                self._answers.put(UploadRefused(refusals[letter]))
                self._answers.end(End.OF_STREAM)

    def _process(self, request: UploadRequest, letter: str) -> list[UploadAnswer]:
        transport = self._transport
        answers: list[UploadAnswer] = []
        if request.open is not None:
            self._open = request.open
            self._staged, answer = transport.book.open(request.open)
            if letter == "g" and isinstance(answer, UploadOpened) and answer.good:
                transport.fire(letter)
                wrong = tuple(GoodSpan(one.span, one.crc32c ^ 1) for one in answer.good)
                answer = UploadOpened(wrong, answer.block_size)
            answers.append(answer)
        if request.block is not None:
            answers += self._take(request.block, letter)
        if request.commit is not None and self._staged is not None:
            assert self._open is not None
            answers.append(transport.book.commit(self._open, self._staged, request.commit))
        return answers

    def _take(self, block: Block, letter: str) -> list[UploadAnswer]:
        transport, staged = self._transport, self._staged
        assert staged is not None, "a block came before the upload was open"
        assert len(block.data) <= transport.book.block_size
        if letter in "!d":
            transport.fire(letter)
            data = bytearray(block.data)
            data[0] ^= 1
            block = Block(block.offset, bytes(data), crc32c(bytes(data)) if letter == "d" else block.crc32c)
        return [transport.book.take(staged, block)]

    async def finish(self) -> None:
        """See `UploadStream.finish`."""

    async def receive(self) -> UploadAnswer | End:
        """See `UploadStream.receive`."""
        answer = await self._answers.get()
        if isinstance(answer, End):
            return answer
        encoded = writewire.encode_upload_answer(answer)  # type: ignore[arg-type]  # only answers are put
        return writewire.decode_upload_answer(encoded, name=self._name)


class _Files:
    """See `BatchStream`."""

    def __init__(self, transport: UploadTransport) -> None:
        self._transport = transport
        self._answers = _Answers(transport)
        self._names: list[str] = []

    async def send(self, files: Sequence[NewFile]) -> bool:
        """See `BatchStream.send`."""
        await asyncio.sleep(0)
        if self._answers.over:
            return False
        transport = self._transport
        letter = transport.letter()
        if letter in "xe":
            transport.fire(letter)
            self._answers.end(_broken() if letter == "x" else End.OF_STREAM)
            return False
        files = writewire.decode_new_files(writewire.encode_new_files(files))
        self._names += [file.name for file in files]
        results = [transport.book.write_one(file) for file in files]
        if letter == "r":
            transport.fire(letter)
            results = [OverloadedError("too busy", retry_after=1.0) for _ in results]
        if letter in "lz":
            transport.fire(letter)
            self._answers.end(_broken() if letter == "l" else _STALL)
            return letter == "z"
        if letter == "h":
            transport.fire(letter)
            self._answers.put(())
        self._answers.put(tuple(results))
        return True

    async def finish(self) -> None:
        """See `BatchStream.finish`."""
        if not self._answers.over:
            self._answers.end(End.OF_STREAM)

    async def receive(self) -> Sequence[WrittenFile] | End:
        """See `BatchStream.receive`."""
        answer = await self._answers.get()
        if isinstance(answer, End):
            return answer
        results = writewire.decode_written(writewire.encode_written(answer), self._names)  # type: ignore[arg-type]
        del self._names[: len(results)]
        return results
