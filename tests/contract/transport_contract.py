"""What every transport keeps: the docstrings of `unspool.client.transport.Transport`, run.

A transport's tests inherit from `TransportContract`, or from `ReadContract` if its dialect can only be read, and say how to
come by a transport to a store:

    class TestMyTransport(TransportContract):
        @asynccontextmanager
        async def connected(self, store: Store) -> AsyncGenerator[Transport, None]:
            yield MyTransport(store)
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from random import Random

import pytest

from unspool.client.transport import Transport
from unspool.core.checksum import crc32c
from unspool.core.model import Block, Frame, Header, ListRequest, ReadRequest, Summary
from unspool.errors import (
    DataLossError,
    FileChangedError,
    InvalidNameError,
    NotAFileError,
    NotFoundError,
    OutsideRootError,
    OverloadedError,
    PermissionDeniedError,
    ServerError,
    StartPastEndError,
    UnauthenticatedError,
    UnreachableError,
    UnspoolError,
    UnsupportedError,
)
from unspool.stores import MemoryStore
from unspool.stores.base import Store
from unspool.testing import FaultyStore

BLOCK = 32 * 1024
"""Of every dialect: the tutorial's chunk."""

DATA = Random(7).randbytes(3 * BLOCK + 100)
SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, len(DATA)]
STARTS = [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, len(DATA) - 1]
LENGTHS = [0, 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1]

TOLD_BY_SERVERS = [
    NotFoundError,
    NotAFileError,
    UnauthenticatedError,
    PermissionDeniedError,
    OutsideRootError,
    UnsupportedError,
    DataLossError,
    UnreachableError,
    OverloadedError,
    ServerError,
]


async def frames_of(transport: Transport, request: ReadRequest) -> list[Frame]:
    """Return all that comes, heartbeats left out."""
    async with aclosing(transport.read(request)) as frames:
        return [frame async for frame in frames if frame != Frame()]


def pieces(frames: list[Frame]) -> list[Header | Block | Summary]:
    """Return what the frames carry, in the order in which it is to be taken."""
    return [piece for frame in frames for piece in (frame.header, frame.block, frame.summary) if piece is not None]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that another task, or the other side, does in its own time."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


class ReadContract(ABC):
    """What can be said of a read in every dialect."""

    @abstractmethod
    def connected(self, store: Store) -> AbstractAsyncContextManager[Transport]:
        """Connect to the store; the store is not closed."""

    async def _check(self, data: bytes, request: ReadRequest, wanted: bytes) -> None:
        async with self.connected(MemoryStore({request.name: data})) as transport:
            got = pieces(await frames_of(transport, request))
        header, *blocks, summary = got
        assert isinstance(header, Header)
        assert isinstance(summary, Summary)
        position = request.start
        assert header.start == position
        for block in blocks:
            assert isinstance(block, Block)
            assert block.offset == position
            assert 0 < len(block.data) <= BLOCK
            assert block.crc32c == crc32c(block.data)
            position += len(block.data)
        assert b"".join(block.data for block in blocks if isinstance(block, Block)) == wanted
        assert summary.end == position

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_whole_file(self, size: int) -> None:
        """A read is a header, the bytes in blocks without gap or overlap, and a summary: each in its place, the ends once."""
        await self._check(DATA[:size], ReadRequest("a.bin", block_size=BLOCK), DATA[:size])

    @pytest.mark.parametrize("start", STARTS)
    async def test_a_start(self, start: int) -> None:
        """A read begins at the byte it was asked to begin at."""
        await self._check(DATA, ReadRequest("a.bin", start, block_size=BLOCK), DATA[start:])

    @pytest.mark.parametrize("length", LENGTHS)
    @pytest.mark.parametrize("start", [0, 5, BLOCK])
    async def test_a_span(self, start: int, length: int) -> None:
        """A read with a length gives that many bytes, and none for 0."""
        await self._check(DATA, ReadRequest("a.bin", start, length, block_size=BLOCK), DATA[start : start + length])

    async def test_a_span_over_the_end(self) -> None:
        """A length that reaches over the end of the file is cut there."""
        await self._check(DATA, ReadRequest("a.bin", BLOCK, 10 * BLOCK, block_size=BLOCK), DATA[BLOCK:])

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_start_at_the_end(self, size: int) -> None:
        """The end of the file is a place to begin: nothing comes, and it is said that this was all."""
        await self._check(DATA[:size], ReadRequest("a.bin", size, block_size=BLOCK), b"")

    @pytest.mark.parametrize("start", [BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, 9 * BLOCK])
    async def test_a_start_past_the_end(self, start: int) -> None:
        """Beyond the end of the file there is no place to begin."""
        async with self.connected(MemoryStore({"a.bin": DATA[:BLOCK]})) as transport:
            with pytest.raises(StartPastEndError):
                await frames_of(transport, ReadRequest("a.bin", start))

    @pytest.mark.parametrize("name", ["b.bin", "a.bin/b"])
    async def test_a_missing_file(self, name: str) -> None:
        """What is not there is not found."""
        async with self.connected(MemoryStore({"a.bin": DATA})) as transport:
            with pytest.raises(NotFoundError):
                await frames_of(transport, ReadRequest(name))

    @pytest.mark.parametrize("name", ["", "/a.bin", "../a.bin", "a//b", "a\\b"])
    async def test_what_is_no_name(self, name: str) -> None:
        """What is no name is refused as such."""
        async with self.connected(MemoryStore({"a.bin": DATA})) as transport:
            with pytest.raises(InvalidNameError):
                await frames_of(transport, ReadRequest(name))

    @pytest.mark.parametrize("kind", TOLD_BY_SERVERS)
    async def test_errors_keep_their_kind(self, kind: type[UnspoolError]) -> None:
        """An error of the store, before the first byte or later, is the same error at the client."""
        store = FaultyStore(MemoryStore({"a.bin": DATA}))
        async with self.connected(store) as transport:
            for at in (None, 0, BLOCK + 1):
                store.fail(kind("as told"), at=at)
                with pytest.raises(kind) as caught:
                    await frames_of(transport, ReadRequest("a.bin", block_size=BLOCK))
                assert type(caught.value) is kind

    @pytest.mark.parametrize("at", [0, 1, BLOCK, 2 * BLOCK + 5])
    async def test_a_store_that_stops_short(self, at: int) -> None:
        """Bytes that the store does not have, though it said so, are lost: the stream does not end as if that were all."""
        store = FaultyStore(MemoryStore({"a.bin": DATA}))
        async with self.connected(store) as transport:
            for length in (None, 3 * BLOCK):
                store.cut_short(at=at)
                with pytest.raises(DataLossError):
                    await frames_of(transport, ReadRequest("a.bin", length=length, block_size=BLOCK))

    async def test_a_wait_asked_for_arrives(self) -> None:
        """How long the server asks to wait is told with its error."""
        store = FaultyStore(MemoryStore({"a.bin": DATA}))
        store.fail(OverloadedError("later", retry_after=12.5))
        async with self.connected(store) as transport:
            with pytest.raises(OverloadedError) as caught:
                await frames_of(transport, ReadRequest("a.bin"))
        assert caught.value.retry_after == 12.5

    async def test_closing_ends_the_stream(self) -> None:
        """When nobody wants more of a stream, the store's file is closed, and no more of it is read than a block ahead."""
        store = FaultyStore(MemoryStore({"a.bin": DATA * 100}))
        async with self.connected(store) as transport:
            async with aclosing(transport.read(ReadRequest("a.bin", block_size=BLOCK))) as frames:
                await anext(frames)
                assert store.open_files == 1
            await until(lambda: not store.open_files)
        assert store.bytes_read < len(DATA) * 100

    async def test_cancelling_passes_through(self) -> None:
        """Who is cancelled while waiting for a frame gets CancelledError and nothing else, and the store's file is closed."""
        store = FaultyStore(MemoryStore({"a.bin": DATA}))
        store.pause()
        async with self.connected(store) as transport:
            reading = asyncio.create_task(frames_of(transport, ReadRequest("a.bin")))
            await until(lambda: store.open_files == 1)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await until(lambda: not store.open_files)

    async def test_reads_side_by_side(self) -> None:
        """Streams of one transport do not mix."""
        files = {f"{seed}.bin": Random(seed).randbytes(2 * BLOCK + seed) for seed in range(5)}
        async with self.connected(MemoryStore(files)) as transport:
            all_frames = await asyncio.gather(*(frames_of(transport, ReadRequest(name, block_size=BLOCK)) for name in files))
        for data, frames in zip(files.values(), all_frames, strict=True):
            assert b"".join(frame.block.data for frame in frames if frame.block) == data

    async def test_the_source_says_where(self) -> None:
        """A transport says where it reads from, always in the same words."""
        async with self.connected(MemoryStore()) as transport:
            source = transport.source
            assert source
            assert transport.source == source

    async def test_closing_twice(self) -> None:
        """Closing a transport again does nothing."""
        async with self.connected(MemoryStore()) as transport:
            await transport.aclose()
            await transport.aclose()


class TransportContract(ReadContract):
    """What a dialect that describes its files keeps as well."""

    @pytest.mark.parametrize(("start", "length"), [(0, None), (5, None), (5, 7), (5, 10 * BLOCK), (len(DATA), None), (9, 0)])
    async def test_the_header_tells_what_comes(self, start: int, length: int | None) -> None:
        """The header describes the file, and says which bytes of it will really come."""
        store = MemoryStore({"a.bin": DATA})
        async with self.connected(store) as transport:
            frames = await frames_of(transport, ReadRequest("a.bin", start, length))
        stop = len(DATA) if length is None else min(start + length, len(DATA))
        assert frames[0].header == Header(await store.stat("a.bin"), start, stop - start)

    @pytest.mark.parametrize(("start", "length"), [(0, None), (5, None), (5, 7), (5, 10 * BLOCK), (len(DATA), None), (9, 0)])
    async def test_the_summary_tells_what_came(self, start: int, length: int | None) -> None:
        """The summary says where the read ended, whether the file does, and the checksum of the whole if it is known."""
        store = MemoryStore({"a.bin": DATA})
        async with self.connected(store) as transport:
            frames = await frames_of(transport, ReadRequest("a.bin", start, length))
        stop = len(DATA) if length is None else min(start + length, len(DATA))
        assert frames[-1].summary == Summary(stop, at_end=stop == len(DATA), crc32c=crc32c(DATA))

    async def test_a_small_file_is_one_frame(self) -> None:
        """Small things need no stream."""
        async with self.connected(MemoryStore({"a.bin": b"small"})) as transport:
            assert len(await frames_of(transport, ReadRequest("a.bin"))) == 1

    async def test_the_block_size_is_a_wish(self) -> None:
        """Blocks are no larger than was wished, and no larger than the server allows."""
        async with self.connected(MemoryStore({"a.bin": DATA * 30})) as transport:
            for wish, most in ((1000, 1000), (1 << 30, 2 << 20)):
                frames = await frames_of(transport, ReadRequest("a.bin", block_size=wish))
                assert 0 < max(len(frame.block.data) for frame in frames if frame.block) <= most

    async def test_a_pinned_revision(self) -> None:
        """The revision asked for is what comes, or the file has changed."""
        store = MemoryStore({"a.bin": DATA})
        revision = (await store.stat("a.bin")).revision
        async with self.connected(store) as transport:
            frames = await frames_of(transport, ReadRequest("a.bin", revision=revision))
            assert frames[0].header is not None
            assert frames[0].header.info == await store.stat("a.bin")
            store.put("a.bin", DATA)
            with pytest.raises(FileChangedError):
                await frames_of(transport, ReadRequest("a.bin", revision=revision))

    async def test_a_change_ends_the_stream(self) -> None:
        """A file that changes while it is read ends the stream; nothing of the new one has come."""
        store = MemoryStore({"a.bin": DATA * 100})
        got = bytearray()

        async def read() -> None:
            async with aclosing(transport.read(ReadRequest("a.bin", block_size=BLOCK))) as frames:
                async for frame in frames:
                    if not got:
                        store.put("a.bin", bytes(len(DATA) * 100))
                    got.extend(frame.block.data if frame.block else b"")

        async with self.connected(store) as transport:
            with pytest.raises(FileChangedError):
                await read()
        assert got
        assert (DATA * 100).startswith(got)

    async def test_stat(self) -> None:
        """Stat describes the file as it is now."""
        store = MemoryStore({"dir/a.bin": DATA})
        async with self.connected(store) as transport:
            assert await transport.stat("dir/a.bin") == await store.stat("dir/a.bin")
            with pytest.raises(NotFoundError):
                await transport.stat("b.bin")
            with pytest.raises(NotAFileError):
                await transport.stat("dir")
            with pytest.raises(InvalidNameError):
                await transport.stat("../a.bin")

    @pytest.mark.parametrize("page_size", [None, 1, 2, 100])
    @pytest.mark.parametrize("recursive", [False, True])
    async def test_a_listing(self, page_size: int | None, recursive: bool) -> None:  # noqa: FBT001 - a parameter
        """All that is below a prefix is listed, as the store describes it, in pages no longer than was wished."""
        store = MemoryStore({name: name.encode() for name in ("a", "b/1", "b/2", "b/c/3", "d")})
        files, prefixes = (["b/1", "b/2", "b/c/3"], []) if recursive else (["b/1", "b/2"], ["b/c/"])
        async with (
            self.connected(store) as transport,
            aclosing(transport.list(ListRequest("b", recursive, page_size))) as listing,
        ):
            pages = [page async for page in listing]
        assert sorted(info.name for page in pages for info in page.files) == files
        assert [prefix for page in pages for prefix in page.prefixes] == prefixes
        for page in pages:
            assert len(page.files) + len(page.prefixes) <= (page_size or 1000)
            for info in page.files:
                assert info == await store.stat(info.name)

    async def test_listings_of_nothing(self) -> None:
        """An empty store lists nothing; a prefix by which there is nothing is not found; what is no prefix is refused."""
        async with self.connected(MemoryStore()) as transport:
            async with aclosing(transport.list(ListRequest())) as listing:
                assert [page async for page in listing if page.files or page.prefixes] == []
            with pytest.raises(NotFoundError):
                await anext(transport.list(ListRequest("b")))
            with pytest.raises(InvalidNameError):
                await anext(transport.list(ListRequest("../b")))
