"""What every transport with batches keeps: `Transport.read_files`, run. Inherited by the transports' tests."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.transport_contract import frames_of, until
from server.gates import GatedStore
from unspool.client.transport import Transport
from unspool.core.checksum import crc32c
from unspool.core.model import BatchRequest, Block, FileInfo, Frame, Header, Piece, ReadRequest, Summary, WantedFile
from unspool.core.names import MAX_NAME_BYTES
from unspool.errors import (
    DataLossError,
    FileChangedError,
    InvalidNameError,
    InvalidRangeError,
    InvalidRequestError,
    NotAFileError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    StartPastEndError,
    UnspoolError,
)
from unspool.rpc import batchwire
from unspool.stores import MemoryStore
from unspool.stores.base import Store
from unspool.testing import FaultyStore

SMALL = b"small"
LARGE = Random(8).randbytes(3 << 20)
"""Larger than any message."""


def batch(*names: str, block_size: int | None = None) -> BatchRequest:
    """Ask for files as they are now."""
    return BatchRequest(tuple(map(WantedFile, names)), block_size=block_size)


async def messages_of(transport: Transport, request: BatchRequest) -> list[Sequence[Piece]]:
    """Return all that comes, heartbeats left out."""
    async with aclosing(transport.read_files(request)) as messages:
        return [message async for message in messages if message]


async def answers_of(transport: Transport, request: BatchRequest) -> list[tuple[FileInfo, bytes] | UnspoolError]:
    """Return what each file came to; what came is checked for order, offsets, checksums and ends."""
    answers: list[tuple[FileInfo, bytes] | UnspoolError] = []
    header: Header | None = None
    data = bytearray()
    for piece in [piece for message in await messages_of(transport, request) for piece in message]:
        assert piece.index == len(answers), "a file is left out, or answered twice"
        if piece.error is not None:
            assert piece.frame is None
            answers.append(piece.error)
            header, data = None, bytearray()
            continue
        assert piece.frame is not None
        for part in (piece.frame.header, piece.frame.block, piece.frame.summary):
            match part:
                case Header(info=info, start=start, length=length):
                    assert header is None
                    assert info is not None
                    assert (info.name, start, length) == (request.files[piece.index].name, 0, info.size)
                    header = part
                case Block(offset=offset, crc32c=checksum) as block:
                    assert header is not None
                    assert block.data
                    assert (offset, checksum) == (len(data), crc32c(block.data))
                    data += block.data
                case Summary():
                    assert header is not None
                    assert header.info is not None
                    assert part == Summary(len(data), at_end=True, crc32c=crc32c(bytes(data)))
                    assert len(data) == header.length
                    answers.append((header.info, bytes(data)))
                    header, data = None, bytearray()
    assert header is None, "the last file has no end"
    return answers


contents = st.lists(st.integers(0, 40) | st.sampled_from([0, 1, 100_000, 600_000]), max_size=8)
in_one_fixture = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors, HealthCheck.too_slow],
    max_examples=max(10, settings().max_examples // 5),
)


class BatchContract(ABC):
    """The promises of a batch."""

    @abstractmethod
    def connected(self, store: Store) -> AbstractAsyncContextManager[Transport]:
        """Connect to the store; the store is not closed."""

    @given(sizes=contents, wish=st.none() | st.sampled_from([1000, 70_000, 1 << 30]))
    @in_one_fixture
    async def test_a_batch_is_its_files(self, sizes: list[int], wish: int | None) -> None:
        """Every file asked for comes whole, in the order asked for, whatever the sizes and the wish for blocks."""
        store = MemoryStore({f"{number}.bin": LARGE[number : number + size] for number, size in enumerate(sizes)})
        names = [f"{number}.bin" for number in range(len(sizes))]
        async with self.connected(store) as transport:
            answers = await answers_of(transport, batch(*names, block_size=wish))
        assert answers == [
            (await store.stat(name), LARGE[number : number + size])
            for number, (name, size) in enumerate(zip(names, sizes, strict=True))
        ]

    async def test_a_file_of_a_batch_is_as_alone(self) -> None:
        """The frames of a small file in a batch are those of a read of it alone; a large one's carry the same bytes."""
        store = MemoryStore({"small": SMALL, "empty": b"", "large": LARGE})
        async with self.connected(store) as transport:
            got = await messages_of(transport, batch("small", "empty", "small"))
            alone = {name: await frames_of(transport, ReadRequest(name)) for name in ("small", "empty")}
            assert [piece for message in got for piece in message] == [
                Piece(index, alone[name][0]) for index, name in enumerate(("small", "empty", "small"))
            ]
            assert await answers_of(transport, batch("large")) == [(await store.stat("large"), LARGE)]

    async def test_small_files_share_messages(self) -> None:
        """Many small files are few messages, and no message is larger than gRPC allows by default."""
        store = MemoryStore({f"{number}": bytes(1000) for number in range(1000)})
        async with self.connected(store) as transport:
            messages = await messages_of(transport, batch(*(f"{number}" for number in range(1000))))
        assert len(messages) < 20
        assert max(sum(len(p.frame.block.data) for p in m if p.frame and p.frame.block) for m in messages) <= 1 << 20

    @given(sizes=contents, pinned=st.sets(st.integers(0, 4)))
    @in_one_fixture
    async def test_files_that_may_be_packed_come_as_others_do(self, sizes: list[int], pinned: set[int]) -> None:
        """If the caller has the descriptions, every file comes whole all the same; only its attributes may be left out."""
        store = MemoryStore({f"{number}.bin": LARGE[number : number + size] for number, size in enumerate(sizes)})
        infos = [await store.stat(f"{number}.bin") for number in range(len(sizes))]
        files = [WantedFile(info.name, info.revision if number in pinned else None) for number, info in enumerate(infos)]
        async with self.connected(store) as transport:
            answers = await answers_of(transport, BatchRequest(tuple(files), packs=True))
        for answer, info, (number, size) in zip(answers, infos, enumerate(sizes), strict=True):
            assert not isinstance(answer, UnspoolError)
            assert (answer[0].name, answer[0].size, answer[0].revision) == (info.name, info.size, info.revision)
            assert answer[1] == LARGE[number : number + size]

    async def test_an_error_ends_its_file_only(self) -> None:
        """What is wrong with a file is told in its place, by its name, as a read of it alone would; the others come."""
        store = MemoryStore({"dir/a": SMALL, "large": LARGE})
        names = ["missing", "dir/a", "../a", "dir", "large", "", "dir/a"]
        async with self.connected(store) as transport:
            answers = await answers_of(transport, batch(*names))
        assert [(type(answer), answer.name) if isinstance(answer, UnspoolError) else answer[1] for answer in answers] == [
            (NotFoundError, "missing"),
            SMALL,
            (InvalidNameError, "../a"),
            (NotAFileError, "dir"),
            LARGE,
            (InvalidNameError, ""),
            SMALL,
        ]

    async def test_an_error_in_the_middle_of_a_file_ends_it(self) -> None:
        """A file that breaks after some of its blocks ends with an error, and the next one comes."""
        store = FaultyStore(MemoryStore({"small": SMALL, "large": LARGE}))
        async with self.connected(store) as transport:
            for kind, at in ((DataLossError, 2 << 20), (PermissionDeniedError, 0)):
                store.fail(kind("as told"), at=at)
                messages = await messages_of(transport, batch("large", "small", block_size=65536))
                *before, error, last = [piece for message in messages for piece in message]
                assert sum(len(piece.frame.block.data) for piece in before if piece.frame and piece.frame.block) == at
                assert (error.index, type(error.error)) == (0, kind)
                assert (last.index, last.frame and last.frame.block) == (1, Block(0, SMALL, crc32c(SMALL)))

    async def test_bytes_that_a_store_lost_are_told(self) -> None:
        """A small file of which the store has fewer bytes than it said is DATA_LOSS, not a shorter file."""
        store = FaultyStore(MemoryStore({"a": SMALL, "b": b""}))
        store.cut_short(at=3)
        async with self.connected(store) as transport:
            answers = await answers_of(transport, batch("a", "b"))
        assert isinstance(answers[0], DataLossError)
        assert answers[1] == (await store.stat("b"), b"")

    async def test_a_wait_for_one_file_arrives(self) -> None:
        """How long to wait before a file is asked for again is told with its error."""
        store = FaultyStore(MemoryStore({"a": SMALL}))
        store.fail(OverloadedError("later", retry_after=12.5))
        async with self.connected(store) as transport:
            (answer,) = await answers_of(transport, batch("a"))
        assert isinstance(answer, OverloadedError)
        assert answer.retry_after == 12.5

    @pytest.mark.parametrize("name", ["small", "large"])
    async def test_a_pinned_revision_in_a_batch(self, name: str) -> None:
        """The revision asked for is what comes, or FILE_CHANGED for that file; the others come."""
        store = MemoryStore({"small": SMALL, "large": LARGE})
        pinned = WantedFile(name, (await store.stat(name)).revision)
        async with self.connected(store) as transport:
            request = BatchRequest((pinned, WantedFile("small"), pinned))
            assert (await answers_of(transport, request))[2] == (await store.stat(name), SMALL if name == "small" else LARGE)
            store.put(name, SMALL)
            first, second, third = await answers_of(transport, request)
        assert isinstance(first, FileChangedError)
        assert second == (await store.stat("small"), SMALL)
        assert isinstance(third, FileChangedError)

    @given(name=st.sampled_from(["small", "large", "empty"]), data=st.data(), wish=st.none() | st.integers(1000, 2_000_000))
    @in_one_fixture
    async def test_a_file_of_a_batch_may_begin_anywhere(self, name: str, data: st.DataObject, wish: int | None) -> None:
        """With a start, the header says it, and the bytes from there to the end come; other files are whole."""
        store = MemoryStore({"small": SMALL, "empty": b"", "large": LARGE})
        info = await store.stat(name)
        start = data.draw(st.integers(0, info.size))
        request = BatchRequest((WantedFile(name, start=start), WantedFile("small")), block_size=wish)
        async with self.connected(store) as transport:
            pieces = [piece for message in await messages_of(transport, request) for piece in message]
        *of_file, last = pieces
        assert (last.index, last.frame and last.frame.block) == (1, Block(0, SMALL, crc32c(SMALL)))
        frames = [piece.frame for piece in of_file if piece.frame]
        assert frames[0].header == Header(info, start, info.size - start)
        blocks = [frame.block for frame in frames if frame.block]
        assert b"".join(block.data for block in blocks) == {"small": SMALL, "empty": b"", "large": LARGE}[name][start:]
        assert all(crc32c(block.data) == block.crc32c for block in blocks)
        assert frames[-1].summary == Summary(info.size, at_end=True, crc32c=info.crc32c)

    @pytest.mark.parametrize("name", ["small", "large"])
    async def test_a_start_that_is_none_ends_its_file_only(self, name: str) -> None:
        """A start beyond the end is that file's error, FILE_CHANGED comes before it, and a negative start before that."""
        store = MemoryStore({"small": SMALL, "large": LARGE})
        wanted = (
            WantedFile(name, start=(await store.stat(name)).size + 1),
            WantedFile(name, "another", start=-1),
            WantedFile("missing", start=-1),
            WantedFile(name, "another", start=1 << 40),
            WantedFile("small"),
        )
        async with self.connected(store) as transport:
            *wrong, right = await answers_of(transport, BatchRequest(wanted))
        assert [type(answer) for answer in wrong] == [
            StartPastEndError,
            InvalidRangeError,
            InvalidRangeError,
            FileChangedError,
        ]
        assert right == (await store.stat("small"), SMALL)

    @given(data=st.data(), wish=st.none() | st.sampled_from([1000, 70_000, 1 << 30]))
    @in_one_fixture
    async def test_a_batch_may_ask_for_spans(self, data: st.DataObject, wish: int | None) -> None:
        """Any spans of any files, and whole files among them, come as a read of each alone would have them, in their order."""
        files = {"small": SMALL, "empty": b"", "large": LARGE}
        store = MemoryStore(files)
        wanted: list[WantedFile] = []
        for name in data.draw(st.lists(st.sampled_from(list(files)), max_size=8)):
            start = data.draw(st.integers(0, len(files[name])))
            length = data.draw(st.none() | st.sampled_from([0, 1, 70_000, 600_000, 2 * len(LARGE)]))
            wanted.append(WantedFile(name, start=start, length=length))
        async with self.connected(store) as transport:
            pieces = [p for m in await messages_of(transport, BatchRequest(tuple(wanted), block_size=wish)) for p in m]
        assert [piece.index for piece in pieces if piece.ends_file] == list(range(len(wanted)))
        for index, file in enumerate(wanted):
            whole, info = files[file.name], await store.stat(file.name)
            stop = info.size if file.length is None else min(file.start + file.length, info.size)
            frames = [piece.frame for piece in pieces if piece.index == index and piece.frame]
            assert frames[0].header == Header(info, file.start, stop - file.start)
            blocks = [frame.block for frame in frames if frame.block]
            assert b"".join(block.data for block in blocks) == whole[file.start : stop]
            assert all(crc32c(block.data) == block.crc32c for block in blocks)
            assert frames[-1].summary == Summary(stop, stop == info.size, info.crc32c)

    async def test_spans_share_messages(self) -> None:
        """Many spans of one large file are few messages, and no more is read than was asked for."""
        store = FaultyStore(MemoryStore({"large": LARGE}))
        wanted = [WantedFile("large", start=start, length=1000) for start in range(0, len(LARGE) - 1000, 5000)]
        async with self.connected(MemoryStore({"large": LARGE})) as transport:
            messages = await messages_of(transport, BatchRequest(tuple(wanted)))
        assert len(messages) < 10
        async with self.connected(store) as transport:
            await messages_of(transport, BatchRequest(tuple(wanted)))
        assert store.bytes_read == 1000 * len(wanted)

    @pytest.mark.parametrize("name", ["small", "large"])
    async def test_a_span_that_is_none_ends_its_part_only(self, name: str) -> None:
        """A negative length, a start beyond the end, another revision: each is that span's error, and the rest come."""
        store = MemoryStore({"small": SMALL, "large": LARGE})
        wanted = (
            WantedFile(name, length=-1),
            WantedFile(name, start=-1, length=1 << 62),
            WantedFile(name, start=len(LARGE) + 1, length=1),
            WantedFile(name, "another", start=1 << 62, length=1 << 62),
            WantedFile("missing", start=1, length=0),
            WantedFile("small", length=1 << 62),
        )
        async with self.connected(store) as transport:
            *wrong, right = await answers_of(transport, BatchRequest(wanted))
        assert [type(answer) for answer in wrong] == [
            InvalidRangeError,
            InvalidRangeError,
            StartPastEndError,
            FileChangedError,
            NotFoundError,
        ]
        assert right == (await store.stat("small"), SMALL)

    async def test_what_the_client_has_is_not_sent_again(self) -> None:
        """A file at `unless_revision` is a header and a summary at its end, whatever the start: no byte is sent, or read."""
        store = FaultyStore(MemoryStore({"small": SMALL, "empty": b"", "large": LARGE}))
        infos = [await store.stat(name) for name in ("small", "large", "empty")]
        wanted = [
            WantedFile(info.name, start=start, unless_revision=info.revision) for info in infos for start in (0, 3, 1 << 40)
        ]
        async with self.connected(store) as transport:
            messages = await messages_of(transport, BatchRequest(tuple(wanted)))
        assert [piece for message in messages for piece in message] == [
            Piece(index, Frame(Header(info, info.size, 0), summary=Summary(info.size, at_end=True, crc32c=info.crc32c)))
            for index, info in enumerate(info for info in infos for _ in range(3))
        ]
        assert store.bytes_read == 0

    @pytest.mark.parametrize("name", ["small", "large"])
    async def test_what_has_changed_since_is_sent(self, name: str) -> None:
        """A file that is not at `unless_revision` comes as if nothing had been said; a pin is looked at first."""
        store = MemoryStore({"small": SMALL, "large": LARGE})
        old, data = await store.stat(name), {"small": SMALL, "large": LARGE}[name]
        new = store.put(name, data)
        wanted = (
            WantedFile(name, unless_revision=old.revision),
            WantedFile(name, old.revision, unless_revision=old.revision),
            WantedFile(name, old.revision, unless_revision=new.revision),
            WantedFile("missing", unless_revision=old.revision),
        )
        async with self.connected(store) as transport:
            came, *wrong = await answers_of(transport, BatchRequest(wanted))
        assert came == (new, data)
        assert [type(answer) for answer in wrong] == [FileChangedError, FileChangedError, NotFoundError]

    async def test_no_files_are_no_pieces(self) -> None:
        """A batch of nothing ends at once, and well."""
        async with self.connected(MemoryStore()) as transport:
            assert await messages_of(transport, BatchRequest(())) == []

    async def test_too_many_files_are_refused(self) -> None:
        """A thousand files are a batch; one more is refused as a whole, before any is read."""
        store = FaultyStore(MemoryStore({"a": SMALL}))
        async with self.connected(store) as transport:
            assert len(await answers_of(transport, batch(*["a"] * 1000))) == 1000
            read = store.bytes_read
            with pytest.raises(InvalidRequestError, match="1001 files are asked for at once: at most 1000"):
                await messages_of(transport, batch(*["a"] * 1001))
        assert store.bytes_read == read

    async def test_names_of_any_length_fit(self) -> None:
        """A thousand of the longest names, with errors that say them, stay well below gRPC's limit for a message."""
        names = [f"{number:03}" + "x" * (MAX_NAME_BYTES - 3) for number in range(1000)]
        async with self.connected(MemoryStore(dict.fromkeys(names[::2], SMALL))) as transport:
            messages = await messages_of(transport, batch(*names))
        assert [type(piece.error) for message in messages for piece in message] == [type(None), NotFoundError] * 500
        assert max(len(batchwire.encode_pieces(message)) for message in messages) <= 1 << 20

    async def test_closing_ends_the_batch(self) -> None:
        """When nobody wants more of a batch, the store's file is closed, and the rest is not read."""
        store = FaultyStore(MemoryStore({"large": LARGE * 10, "small": SMALL}))
        async with self.connected(store) as transport:
            async with aclosing(transport.read_files(batch(*["large"] * 50))) as messages:
                await anext(messages)
            await until(lambda: not store.open_files)
        assert store.bytes_read < 500 * len(LARGE)

    async def test_cancelling_passes_through_a_batch(self) -> None:
        """Who is cancelled while waiting for a piece gets CancelledError and nothing else, and the store's file is closed."""
        store = FaultyStore(MemoryStore({"a": SMALL}))
        store.pause()
        async with self.connected(store) as transport:
            reading = asyncio.create_task(messages_of(transport, batch("a", "a")))
            await store.until_paused()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await until(lambda: not store.open_files)

    async def test_a_checksum_is_learned_from_a_batch(self) -> None:
        """A small file's checksum is known from the moment it was read, to every other call."""
        async with self.connected(GatedStore({"a": SMALL})) as transport:
            assert (await transport.stat("a")).crc32c is None
            ((_, data),) = [answer for answer in await answers_of(transport, batch("a")) if isinstance(answer, tuple)]
            assert data == SMALL
            assert (await transport.stat("a")).crc32c == crc32c(SMALL)
            frames: list[Frame] = await frames_of(transport, ReadRequest("a"))
        assert frames[0].header is not None
        assert frames[0].header.info is not None
        assert frames[0].header.info.crc32c == crc32c(SMALL)
