"""Transports for tests: one that needs no network, and one that fails when a script says so.

A test writes a script of faults, runs a transfer, and checks that the faults really happened:

    store = MemoryStore({"a.bin": data})
    transport = FaultyTransport(StoreTransport(store), "..x.!", clock=clock)
    async with Client(transport=transport, clock=clock) as client:
        await client.get("a.bin", path)
    assert transport.fired == "x!"
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import replace
from typing import TypeVar

from unspool.answers.batch import BatchMaker
from unspool.answers.checksums import Checksums
from unspool.answers.frames import FrameMaker
from unspool.client.clock import Clock, SystemClock
from unspool.client.transport import Transport
from unspool.core.checksum import crc32c
from unspool.core.model import (
    HEARTBEAT,
    BatchRequest,
    Block,
    Bytes,
    FileInfo,
    Frame,
    ListRequest,
    Page,
    Piece,
    ReadRequest,
)
from unspool.errors import UnreachableError
from unspool.options import ServiceOptions
from unspool.stores.base import Store

T = TypeVar("T")

LETTERS = ".xE!<>2~zv^h"
"""The letters of a script; see `FaultyTransport`."""


class StoreTransport:
    """A transport that reads a store directly, without a server and without gRPC.

    It answers as the server does, frame by frame. Closing it does not close the store.

    Args:
        store: where the bytes come from.
        options: block and page sizes, as for the server.
    """

    source = "store"

    def __init__(self, store: Store, options: ServiceOptions | None = None) -> None:
        self._store = store
        self._options = options or ServiceOptions()
        self._checksums = Checksums()
        self._maker = FrameMaker(self._checksums, self._options)
        self._batch_maker = BatchMaker(store, self._maker, self._checksums, self._options)

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        return self._checksums.added_to(await self._store.stat(name))

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        page_size = min(request.page_size or self._options.page_size, self._options.largest_page)
        async with aclosing(self._store.list(replace(request, page_size=page_size))) as pages:
            async for page in pages:
                yield replace(page, files=tuple(map(self._checksums.added_to, page.files)))

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        async with aclosing(self._batch_maker.messages(request, _WithoutHeartbeats())) as messages:
            async for message in messages:
                yield message

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        async with (
            aclosing(await self._store.open(request.name, request.revision)) as file,
            aclosing(self._maker.frames(file, request, _WithoutHeartbeats())) as frames,
        ):
            async for frame in frames:
                yield frame

    def renew(self, window: int | None = None) -> None:
        """See `Transport.renew`; there is no connection."""

    async def aclose(self) -> None:
        """See `Transport.aclose`."""


class _WithoutHeartbeats:
    """See `Patience`."""

    crowded = False

    async def patiently(self, awaitable: Awaitable[T]) -> T:
        return await awaitable

    def turn(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()


class FaultyTransport:
    """Any transport, with faults: each frame that is read, in any attempt, uses up one letter of the script.

    A piece of a batch counts as a frame. A piece with an error has neither data nor checksum.

        .   the frame passes
        x   the connection breaks: UnreachableError instead of the frame
        E   the stream ends early, as if all were well: no more frames, no summary
        !   one bit is flipped: in the data, or in a checksum where there is no data
        <   the data is one byte short, and its checksum agrees with that
        >   the data is one byte too long, and its checksum agrees with that
        2   the frame comes twice
        ~   the frame changes places with the next one
        z   the stream stalls: no more frames arrive, and it stays open
        v   the file changes to another revision: `change` is called, then the frame passes
        ^   the request's start is ignored: the answer begins at byte 0 (only where a stream begins)
        h   a heartbeat comes before the frame

    After the end of the script every frame passes. A frame also passes if its letter does not apply to it: `<` needs data, `~`
    a next frame, `^` the first frame of a stream that should begin elsewhere. Stat and list have no faults.

    Attributes:
        fired: the letters that had an effect, in order.
        requests: the requested reads, in order.
        batches: the requested batches, in order.

    Args:
        inner: the transport inside. `aclose` closes it too.
        script: letters as above.
        clock: a stall waits on it.
        change: changes the file to another revision.
    """

    def __init__(
        self,
        inner: Transport,
        script: str = "",
        *,
        clock: Clock | None = None,
        change: Callable[[], object] | None = None,
    ) -> None:
        if unknown := set(script) - set(LETTERS):
            raise ValueError(f"not in the alphabet of faults: {sorted(unknown)}")
        if "v" in script and change is None:
            raise ValueError("a script with 'v' needs to be told how to change the file")
        self.fired = ""
        self.requests: list[ReadRequest] = []
        self.batches: list[BatchRequest] = []
        self._inner = inner
        self._letters = iter(script)
        self._next_letter = next(self._letters, ".")
        self._clock = clock or SystemClock()
        self._change = change

    @property
    def source(self) -> str:
        """See `Transport.source`."""
        return self._inner.source

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        return await self._inner.stat(name)

    def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        return self._inner.list(request)

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        self.requests.append(request)
        if self._next_letter == "^" and request.start:
            self.fired += "^"
            request = replace(request, start=0)
        held: Frame | None = None  # to be sent after the next frame
        async with aclosing(self._inner.read(request)) as frames:
            async for frame in frames:
                letter = self._letter()
                if letter == "~" and held is None:
                    held = frame
                    continue
                if held is not None:
                    self.fired += "~"
                if letter == "E":
                    self.fired += letter
                    return
                for passed in await self._through(letter, frame):
                    yield passed
                if held is not None:
                    yield held
                    held = None
        if held is not None:
            yield held

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`. Messages stay as they are, unless a fault divides them."""
        self.batches.append(request)
        held: Piece | None = None
        come: list[Piece] = []  # the pieces of the present message so far
        async with aclosing(self._inner.read_files(request)) as messages:
            async for message in messages:
                if not message:
                    yield message
                for piece in message:
                    letter = self._letter()
                    if letter == "~" and held is None:
                        held = piece
                        continue
                    if held is not None:
                        self.fired += "~"
                    if letter in "xEzh" and come:
                        yield tuple(come)  # the pieces before the fault arrive
                        come = []
                    if letter == "E":
                        self.fired += letter
                        return
                    if letter == "h":
                        self.fired += letter
                        yield ()
                        letter = "."
                    for frame in await self._through(letter, piece.frame or HEARTBEAT):
                        come.append(replace(piece, frame=frame) if piece.frame else piece)
                    if held is not None:
                        come.append(held)
                        held = None
                if come:
                    yield tuple(come)
                    come = []
        if held is not None:
            yield (held,)

    def _letter(self) -> str:
        letter, self._next_letter = self._next_letter, next(self._letters, ".")
        return letter

    async def _through(self, letter: str, frame: Frame) -> tuple[Frame, ...]:
        """Return the frames that arrive instead of a frame."""
        come: tuple[Frame, ...] = (frame,)
        match letter:
            case "x":
                self.fired += letter
                raise UnreachableError("the connection broke, as the script says")
            case "z":
                self.fired += letter
                await self._clock.sleep(math.inf)
            case "v":
                assert self._change is not None
                self._change()
            case "!":
                come = (_flipped(frame),)
            case "<" if frame.block is not None:
                come = (_with_data(frame, frame.block, frame.block.data[:-1]),)
            case ">" if frame.block is not None:
                come = (_with_data(frame, frame.block, bytes(frame.block.data) + b">"),)
            case "2":
                come = (frame, frame)
            case "h":
                come = (HEARTBEAT, frame)
        if letter == "v" or come != (frame,):
            self.fired += letter
        return come

    def renew(self, window: int | None = None) -> None:
        """See `Transport.renew`."""
        self._inner.renew(window)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._inner.aclose()


def _with_data(frame: Frame, block: Block, data: Bytes) -> Frame:
    return replace(frame, block=Block(block.offset, data, crc32c(data)))


def _flipped(frame: Frame) -> Frame:
    """Return the frame with one bit of its data flipped; without data, of a checksum; unchanged if it has neither."""
    if frame.block is not None and frame.block.data:
        data = bytearray(frame.block.data)
        data[len(data) // 2] ^= 1
        return replace(frame, block=replace(frame.block, data=bytes(data)))
    if frame.summary is not None and frame.summary.crc32c is not None:
        return replace(frame, summary=replace(frame.summary, crc32c=frame.summary.crc32c ^ 1))
    if frame.header is not None and frame.header.info is not None and frame.header.info.crc32c is not None:
        info = replace(frame.header.info, crc32c=frame.header.info.crc32c ^ 1)
        return replace(frame, header=replace(frame.header, info=info))
    return frame
