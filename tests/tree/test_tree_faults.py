"""Trees over a bad network, and from servers that lie: every file is the server's, whole and verified, or it is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.lab import Wrapper
from tree.treelab import FILES, Batchless, Listing, Tampering, TreeLab, files_in, own_files_in
from unspool.client.events import Retrying
from unspool.client.transport import Transport
from unspool.core.checksum import crc32c
from unspool.core.model import (
    HEARTBEAT,
    Attributes,
    BatchRequest,
    Block,
    FileInfo,
    Frame,
    ListRequest,
    Pack,
    Page,
    Piece,
    WantedFile,
)
from unspool.errors import (
    FileMismatchError,
    InvalidNameError,
    PermissionDeniedError,
    ProtocolError,
    SequenceError,
    ServerError,
    StalledError,
    UnauthenticatedError,
    UnreachableError,
    UnspoolError,
)

SMALL = {name: data for name, data in FILES.items() if len(data) <= 1 << 20}

UNFINISHED = {"z/big.bin.unspool-part", "z/big.bin.unspool-journal"}
"""What the large file may leave when it is cut."""


@settings(max_examples=settings().max_examples // 2)
@given(script=st.text(st.sampled_from("....xE!<>2~zvh"), max_size=30), budget=st.integers(1, 4))
async def test_whatever_happens_what_is_here_is_right(script: str, budget: int) -> None:
    """After any faults, each file is complete and of one revision, or absent; the same call again completes the tree."""
    lab = TreeLab(FILES, script, budget=budget)
    with TemporaryDirectory() as directory:
        here = Path(directory) / "out"
        try:
            result = await lab.get(here)
            assert result.fetched + result.kept + result.failed == result.files
        except UnspoolError as error:
            assert error.exit_code in (6, 7), error  # noqa: PT017 - any other end is a bug
        for name, data in files_in(here).items():
            assert data in (FILES.get(name), b"changed" if name == "a.txt" else None) or name in UNFINISHED, name
        result = await lab.get(here, transport=lab.faulty._inner)
        assert result.failed == 0
        assert files_in(here) == {name: lab.store._files[name][1] for name in FILES}
        assert own_files_in(here) == ["lock", "record.sqlite"]


@pytest.mark.parametrize("fault", "xE!<>2~zh")
async def test_each_fault_is_ridden_out(tmp_path: Path, fault: str) -> None:
    """One fault of each kind, at every piece in turn, costs a retry at most: the tree arrives."""
    files = {name: data for name, data in SMALL.items() if len(data) > 1}  # one byte less than one is another fault
    for at in range(len(files)):
        lab = TreeLab(files, "." * at + fault)
        result = await lab.get(tmp_path / f"{at}")
        assert lab.faulty.fired == (fault if fault != "~" or at < len(files) - 1 else "")
        assert (result.fetched, result.failed) == (len(files), 0)
        assert files_in(tmp_path / f"{at}") == files


async def test_what_has_arrived_is_named_while_nothing_more_comes(tmp_path: Path) -> None:
    """Small files that arrived wait two seconds for others at most: a kill while the server stalls does not cost them."""

    class Stalling(Wrapper):
        async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
            async with aclosing(self.inner.read_files(request)) as messages:
                async for pieces in messages:
                    yield pieces[:3]
                    stalls.set()
                    await asyncio.Event().wait()

    stalls = asyncio.Event()
    lab = TreeLab(SMALL)
    getting = asyncio.create_task(lab.get(tmp_path / "out", transport=Stalling(lab.faulty)))
    await stalls.wait()
    await lab.clock.sleep(1.9)
    assert files_in(tmp_path / "out") == {}
    await lab.clock.sleep(0.1)
    async with asyncio.timeout(30):
        while len(files_in(tmp_path / "out")) < 3:
            await asyncio.sleep(0)
    assert not getting.done()
    getting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await getting
    assert files_in(tmp_path / "out").items() <= SMALL.items()


async def test_only_what_is_missing_is_asked_for_again(tmp_path: Path) -> None:
    """A stream that breaks after two files is asked for the others, and what arrived is not sent twice."""
    lab = TreeLab(SMALL, "..x")
    result = await lab.get(tmp_path)
    first, second = lab.faulty.batches
    assert second.files == first.files[2:]
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.transfer_id == second.transfer_id
    assert result.bytes_received == sum(map(len, SMALL.values()))
    assert len(lab.told(Retrying)) == 1


MIB_FILE = {"a": b"a", "large": bytes(1 << 20), "z": b"z"}
"""In messages of 64 KiB the one in the middle is sixteen pieces."""


def in_blocks_of_64_kib(files: Mapping[str, bytes], script: str, **options: Any) -> TreeLab:
    """Return a lab that asks for small blocks, so that a file of a batch comes in many pieces."""
    return TreeLab(files, script, block_size=65536, **options)


async def test_a_file_of_a_batch_goes_on_where_the_stream_broke(tmp_path: Path) -> None:
    """Blocks of a file that arrived before the stream broke are kept and count as progress; only the rest is requested."""
    lab = in_blocks_of_64_kib(MIB_FILE, "." + "..x" * 7, budget=1)
    result = await lab.get(tmp_path)
    assert (result.fetched, result.failed) == (3, 0)
    assert files_in(tmp_path) == MIB_FILE
    assert [batch.files[0].start for batch in lab.faulty.batches[1:]] == [65536 * (2 * at + 2) for at in range(7)]


async def test_a_block_that_was_damaged_costs_no_block_before_it(tmp_path: Path) -> None:
    """A file of a batch with a damaged block is asked for again from that block on; the files after it have come."""
    lab = in_blocks_of_64_kib(MIB_FILE, "....!")
    assert (await lab.get(tmp_path)).failed == 0
    assert files_in(tmp_path) == MIB_FILE
    assert lab.faulty.fired == "!"
    assert [(file.name, file.start) for file in lab.faulty.batches[1].files] == [("large", 3 * 65536)]


class WithoutStarts(Wrapper):
    """An older server, which ignores unknown fields of a request. `starts` are those of the first file asked for."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.starts: list[int] = []

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        self.starts.append(request.files[0].start)
        request = replace(request, files=tuple(WantedFile(file.name, file.revision) for file in request.files))
        async with aclosing(self.inner.read_files(request)) as messages:
            async for pieces in messages:
                yield pieces


async def test_an_older_server_sends_a_file_again(tmp_path: Path) -> None:
    """If the server ignores the start, the file is received from its first byte, and is correct."""
    lab = in_blocks_of_64_kib(MIB_FILE, ".....x")
    older = WithoutStarts(lab.faulty)
    result = await lab.get(tmp_path, transport=older)
    assert (result.fetched, result.failed) == (3, 0)
    assert files_in(tmp_path) == MIB_FILE
    assert older.starts == [0, 4 * 65536]


async def test_the_same_bytes_again_and_again_are_no_progress(tmp_path: Path) -> None:
    """An older server that breaks in the middle of a file every time is given up when the budget is spent."""
    lab = in_blocks_of_64_kib({"large": bytes(1 << 20)}, "....x" * 20, budget=3)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path, transport=WithoutStarts(lab.faulty))
    assert len(lab.faulty.batches) == 1 + 3  # the first brings new blocks


async def test_a_piece_that_says_nothing_is_ignored_with_its_index(tmp_path: Path) -> None:
    """A piece without header, block, summary and error changes nothing, whichever file it says it is of."""

    class Chatty(Wrapper):
        async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
            async with aclosing(self.inner.read_files(request)) as messages:
                async for pieces in messages:
                    for piece in pieces:
                        yield (Piece(4, HEARTBEAT), piece, Piece(0, HEARTBEAT), Piece(-1, HEARTBEAT), Piece(1 << 20, HEARTBEAT))

    lab = in_blocks_of_64_kib(MIB_FILE, "")
    assert (await lab.get(tmp_path, transport=Chatty(lab.faulty))).failed == 0
    assert files_in(tmp_path) == MIB_FILE
    assert len(lab.faulty.batches) == 1


async def test_files_that_arrive_refill_the_budget(tmp_path: Path) -> None:
    """A connection that breaks after every file still completes the tree, because each file, even an empty one, is progress."""
    files = {f"{number:02}": b"" for number in range(20)}
    lab = TreeLab(files, ".x" * 19, budget=1)
    assert (await lab.get(tmp_path)).fetched == 20
    assert lab.faulty.fired == "x" * 19


async def test_a_batch_that_does_not_move_ends_the_tree(tmp_path: Path) -> None:
    """With the budget spent on a line that brings nothing the tree ends; what arrived before is kept, and not asked again."""
    lab = TreeLab(SMALL, ".." + "x" * 10, budget=3)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path)
    assert len(files_in(tmp_path)) == 2
    result = await lab.get(tmp_path, transport=lab.faulty._inner)
    assert (result.kept, result.fetched) == (2, len(SMALL) - 2)


async def test_a_stall_is_noticed_and_the_connection_renewed(tmp_path: Path) -> None:
    """A batch on which nothing comes for the idle timeout is asked for again, over another connection."""

    class Renewed(Tampering):
        renewed = 0

        def renew(self, window: int | None = None) -> None:
            self.renewed += 1

    lab = TreeLab(SMALL, "..z", idle_timeout=30.0)
    transport = Renewed(lab.faulty)
    assert (await lab.get(tmp_path, transport=transport)).fetched == len(SMALL)
    assert transport.renewed == 1
    (retrying,) = lab.told(Retrying)
    assert isinstance(retrying.error, StalledError)
    assert lab.clock.now >= 30.0


# No way around verification


def damaged(frame: Frame) -> Frame:
    """Flip a bit of the data."""
    assert frame.block is not None
    data = bytes(frame.block.data)
    return replace(frame, block=replace(frame.block, data=bytes([data[0] ^ 1]) + data[1:]))


def forged(frame: Frame) -> Frame:
    """Change the data and its checksum, so that only the checksum of the whole file detects it."""
    assert frame.block is not None
    data = b"\0" * len(frame.block.data)
    return replace(frame, block=Block(frame.block.offset, data, crc32c(data)))


def unsummed(frame: Frame) -> Frame:
    """Leave out the summary."""
    return replace(frame, summary=None)


def headless(frame: Frame) -> Frame:
    """Leave out the header."""
    return replace(frame, header=None)


def bare(frame: Frame) -> Frame:
    """Say nothing of the file."""
    assert frame.header is not None
    return replace(frame, header=replace(frame.header, info=None, length=None))


def renamed(frame: Frame) -> Frame:
    """Offer another file's bytes."""
    assert frame.header is not None
    assert frame.header.info is not None
    return replace(frame, header=replace(frame.header, info=replace(frame.header.info, name="other")))


def another_revision(frame: Frame) -> Frame:
    """Offer another revision than was asked for."""
    assert frame.header is not None
    assert frame.header.info is not None
    return replace(frame, header=replace(frame.header, info=replace(frame.header.info, revision="other")))


def another_size(frame: Frame) -> Frame:
    """Say that the file is shorter than was listed, and send that much."""
    assert frame.header is not None
    assert frame.header.info is not None
    assert frame.block is not None
    data = frame.block.data[:-1]
    info = replace(frame.header.info, size=len(data), crc32c=crc32c(data))
    return Frame(replace(frame.header, info=info, length=len(data)), Block(0, data, crc32c(data)), None)


@pytest.mark.parametrize(
    "lie", [damaged, forged, unsummed, headless, bare, renamed, another_size], ids=lambda lie: str(lie.__name__)
)
async def test_no_fast_path_escapes_verification(tmp_path: Path, lie: Callable[[Frame], Frame]) -> None:
    """In a batch, file by file or as a download: what a server always gets wrong about a file never gets that file's name."""

    class Lying(Tampering):
        def tamper(self, name: str, frame: Frame) -> Frame:
            lies = name == "sub/b.bin" and frame.header is not None and (frame.block is not None or lie is unsummed)
            return lie(frame) if lies else frame

    lab = TreeLab(SMALL, budget=2)
    try:
        result = await lab.get(tmp_path, transport=Lying(lab.faulty))
    except UnspoolError as error:
        assert error.exit_code in (6, 7)  # noqa: PT017 - either end is right, but for the file
    else:
        assert [failure.name for failure in result.failures] == ["sub/b.bin"]
        assert files_in(tmp_path) == {name: data for name, data in SMALL.items() if name != "sub/b.bin"}
    assert "sub/b.bin" not in files_in(tmp_path)


async def test_a_revision_that_was_not_asked_for_is_never_taken_for_the_one_that_was(tmp_path: Path) -> None:
    """If the server offers another revision, the file is recorded with that revision, not with the listed one."""

    class Lying(Tampering):
        def tamper(self, name: str, frame: Frame) -> Frame:
            return another_revision(frame) if name == "sub/b.bin" and frame.header is not None else frame

    lab = TreeLab(SMALL)
    result = await lab.get(tmp_path, transport=Lying(lab.faulty))
    assert result.failed == 0
    assert b"sub/b.bin" not in (tmp_path / ".unspool-tree" / "record.sqlite").read_bytes()


async def test_a_wrong_whole_is_a_mismatch(tmp_path: Path) -> None:
    """A file whose blocks are correct, but whose checksum differs from the summary's, fails."""

    class Lying(Tampering):
        def tamper(self, name: str, frame: Frame) -> Frame:
            return forged(frame) if name == "sub/b.bin" else frame

    lab = TreeLab(SMALL)
    lab.faulty._inner = Tampering(lab.faulty._inner)
    result = await lab.get(tmp_path, transport=Lying(lab.faulty))
    assert [type(failure.error) for failure in result.failures] == [FileMismatchError]


async def test_without_a_checksum_of_the_whole_the_result_says_so(tmp_path: Path) -> None:
    """A server that has no checksums of whole files gets `blocks`, and its files arrive."""

    class Ignorant(Tampering):
        async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
            async with aclosing(self.inner.list(request)) as pages:
                async for page in pages:
                    yield replace(page, files=tuple(replace(info, crc32c=None) for info in page.files))

        def tamper(self, name: str, frame: Frame) -> Frame:
            assert frame.header is not None
            assert frame.header.info is not None
            assert frame.summary is not None
            info = replace(frame.header.info, crc32c=None)
            return replace(frame, header=replace(frame.header, info=info), summary=replace(frame.summary, crc32c=None))

    lab = TreeLab(SMALL)
    result = await lab.get(tmp_path, transport=Ignorant(lab.faulty))
    assert (result.fetched, result.failed, result.verified) == (len(SMALL), 0, "blocks")
    assert files_in(tmp_path) == SMALL


# Servers that do not keep to the order


class Packing(Wrapper):
    """A server that sends packs, in the first of which it damages what it is told to."""

    damage: Callable[[Pack], object] | None = None

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        async with aclosing(self.inner.read_files(request)) as messages:
            async for pieces in messages:
                blocks = [piece.frame.block for piece in pieces if piece.frame is not None and piece.frame.block is not None]
                if not len(blocks) == len(pieces) > 0:
                    yield pieces
                    continue
                data = memoryview(bytearray(b"".join(block.data for block in blocks)))
                sizes, checksums = [len(block.data) for block in blocks], [block.crc32c for block in blocks]
                pack = Pack(pieces[0].index, request.files, sizes, checksums, data)
                damage, self.damage = self.damage, None
                if damage is not None:
                    damage(pack)
                yield pack


def _flip_last(pack: Pack) -> None:
    pack.data[-1] ^= 1


def _wrong_checksum(pack: Pack) -> None:
    pack.checksums = [pack.checksums[0] ^ 1, *pack.checksums[1:]]


def _one_by_one_more(pack: Pack) -> None:
    pack.sizes = [pack.sizes[0] + 1, pack.sizes[1] - 1, *pack.sizes[2:]]


@pytest.mark.parametrize(
    ("damage", "failed"), [(None, []), (_flip_last, []), (_wrong_checksum, []), (_one_by_one_more, ["0.bin", "1.bin"])]
)
async def test_a_damaged_pack_costs_its_damaged_files_only(
    tmp_path: Path, damage: Callable[[Pack], object] | None, failed: list[str]
) -> None:
    """A file of a pack whose bytes or checksum is wrong is requested again, and one of another size fails, as without packs.

    The others are taken.
    """
    files = {f"{number}.bin": bytes([number]) * (10 + number) for number in range(6)}
    lab = TreeLab(files)
    transport = Packing(lab.faulty)
    transport.damage = damage
    result = await lab.get(tmp_path / "out", transport=transport)
    assert [failure.name for failure in result.failures] == failed
    assert (result.fetched, result.verified) == (len(files) - len(failed), "file")
    assert files_in(tmp_path / "out") == {name: data for name, data in files.items() if name not in failed}
    assert len(lab.told(Retrying)) == (damage is not None and not failed)


class Disorderly(Tampering):
    """A server that sends its pieces as it is told to."""

    pieces: Callable[[Sequence[Piece]], Sequence[Piece]]

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        async with aclosing(self.inner.read_files(request)) as messages:
            async for pieces in messages:
                yield self.pieces(pieces)


@pytest.mark.parametrize("index", [-1, 5, 1 << 31])
async def test_a_piece_of_no_file_costs_what_comes_after_it(tmp_path: Path, index: int) -> None:
    """A piece of a file that was not requested is refused; files that arrived before it are kept."""
    lab = TreeLab(SMALL)
    transport = Disorderly(lab.faulty)
    transport.pieces = lambda pieces: (*pieces[:2], replace(pieces[2], index=index), *pieces[3:])
    result = await lab.get(tmp_path, transport=transport)
    assert (result.fetched, result.failed) == (len(SMALL), 0)
    assert files_in(tmp_path) == SMALL
    assert [request.name for request in lab.faulty.requests] == list(SMALL)[2:], "those are read file by file"


async def test_a_file_that_comes_again_later_is_out_of_order(tmp_path: Path) -> None:
    """A server that goes back to an earlier file is out of order: complete files are kept, and the rest is requested again."""
    lab = TreeLab(SMALL)
    transport = Disorderly(lab.faulty)
    transport.pieces = lambda pieces: (*pieces[:2], *pieces[:1], *pieces[2:])
    result = await lab.get(tmp_path, transport=transport)
    assert (result.fetched, result.failed) == (len(SMALL), 0)
    assert files_in(tmp_path) == SMALL
    assert result.bytes_received == sum(map(len, SMALL.values()))
    assert {type(retrying.error) for retrying in lab.told(Retrying)} == {SequenceError}


async def test_pieces_in_reverse_do_no_harm(tmp_path: Path) -> None:
    """Pieces in the wrong order are detected, and cost only time."""
    lab = TreeLab(SMALL, budget=2)
    transport = Disorderly(lab.faulty)
    transport.pieces = lambda pieces: pieces[::-1]
    result = await lab.get(tmp_path, transport=transport)
    assert (result.fetched, result.failed) == (len(SMALL), 0)
    assert files_in(tmp_path) == SMALL


async def test_pieces_after_a_files_end_do_no_harm(tmp_path: Path) -> None:
    """A file that is sent twice is written once."""
    lab = TreeLab(SMALL, budget=2)
    transport = Disorderly(lab.faulty)
    transport.pieces = lambda pieces: tuple(piece for piece in pieces for _ in range(2))
    result = await lab.get(tmp_path, transport=transport)
    assert (result.fetched, result.failed) == (len(SMALL), 0)
    assert files_in(tmp_path) == SMALL


# Errors that concern one file, and errors that concern all


@pytest.mark.parametrize(
    ("error", "others_arrive"),
    [
        (PermissionDeniedError("sub/b.bin: not yours"), True),
        (ServerError("sub/b.bin: internal error"), True),
        (UnauthenticatedError("who are you"), False),
        (UnreachableError("gone"), False),
    ],
)
async def test_what_would_stop_all_files_ends_the_tree(tmp_path: Path, error: UnspoolError, *, others_arrive: bool) -> None:
    """An error that the stream ends with, file by file as well, is one file's unless the server would say it of every file."""

    class Failing(Tampering):
        async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
            raise error
            yield ()

        def tamper(self, name: str, frame: Frame) -> Frame:
            if name == "sub/b.bin":
                raise error
            return frame

    lab = TreeLab(SMALL, budget=2)
    if others_arrive:
        result = await lab.get(tmp_path, transport=Failing(lab.faulty))
        assert [failure.error for failure in result.failures] == [error]
        assert result.fetched == len(SMALL) - 1
    else:
        with pytest.raises(type(error)):
            await lab.get(tmp_path, transport=Failing(lab.faulty))
        assert files_in(tmp_path) == {}


# Listings


class Breaking(Listing):
    """A listing that breaks after so many pages, once."""

    breaks_after = 1
    broken = 0
    error: UnspoolError = UnreachableError("the connection broke")

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        pages = 0
        async for page in super().list(request):
            if pages == self.breaks_after and not self.broken:
                self.broken += 1
                raise self.error
            pages += 1
            yield page


async def test_a_listing_that_breaks_is_begun_again(tmp_path: Path) -> None:
    """A listing that breaks in the middle is asked for again, and what it had brought is not fetched twice."""
    lab = TreeLab(SMALL)
    infos = [replace(await lab.store.stat(name), crc32c=None) for name in SMALL]  # so that only the record can tell
    transport = Breaking(lab.faulty, infos, page_size=2)
    result = await lab.get(tmp_path, transport=transport)
    assert transport.broken == 1
    assert (result.files, result.fetched, result.kept, result.failed) == (len(SMALL), len(SMALL), 0, 0)
    assert files_in(tmp_path) == SMALL
    assert result.bytes_received == sum(map(len, SMALL.values()))
    assert len(lab.told(Retrying)) == 1


async def test_a_listing_that_breaks_again_and_again_gets_there(tmp_path: Path) -> None:
    """Files that arrive refill the budget of the listing, too: one that breaks a page later each time comes to its end."""

    class Longer(Breaking):
        async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
            self.breaks_after += 1
            self.broken = 0
            async for page in super().list(request):
                yield page

    lab = TreeLab(SMALL, budget=1)
    transport = Longer(lab.faulty, [await lab.store.stat(name) for name in SMALL], page_size=1)
    transport.breaks_after = 0
    result = await lab.get(tmp_path, transport=transport)
    assert (result.files, result.fetched, result.kept, result.failed) == (len(SMALL), len(SMALL), 0, 0)
    assert len(lab.told(Retrying)) == len(SMALL) - 1


async def test_a_listing_that_is_refused_in_the_middle_ends_the_tree(tmp_path: Path) -> None:
    """A listing that ends with an error that is not retryable is an error; the files listed before it are here."""
    lab = TreeLab(SMALL)
    transport = Breaking(lab.faulty, [await lab.store.stat(name) for name in SMALL], page_size=2)
    transport.error = ProtocolError("this is no page")
    with pytest.raises(ProtocolError):
        await lab.get(tmp_path, transport=transport)
    assert all(FILES[name] == data for name, data in files_in(tmp_path).items())


HOSTILE = [
    "../escaped",
    "sub/../../escaped",
    "/escaped",
    "//escaped",
    "a\0b",
    "..",
    ".",
    "",
    "a\\..\\escaped",
    "\udcff",
    "x.unspool-part",
    "sub/b.bin.unspool-journal",
    "a" * 300,
    "d" * 4097,
]


async def test_a_hostile_listing_never_writes_outside(tmp_path: Path) -> None:
    """Whatever names a server lists, nothing appears outside of the destination; each fails, and the others arrive."""
    lab = TreeLab(SMALL)
    evil = [FileInfo(name, 5, "m1", crc32c=0) for name in HOSTILE]
    odd = [FileInfo("sub/b.bin.x", -1, "m1"), FileInfo("a.txt/below-a-file", 5, "m1")]
    good = [await lab.store.stat(name) for name in SMALL]
    (tmp_path / "in").mkdir()
    result = await lab.get(tmp_path / "in" / "out", transport=Listing(lab.faulty, [*good, *evil, *odd]))
    assert files_in(tmp_path / "in" / "out") == SMALL
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["out"]
    assert {failure.name for failure in result.failures} == {info.name for info in [*evil, *odd]}
    assert any(isinstance(failure.error, InvalidNameError) for failure in result.failures)


async def test_a_listing_outside_of_its_prefix_is_refused(tmp_path: Path) -> None:
    """A file that is not below the prefix asked for fails."""
    lab = TreeLab(SMALL)
    infos = [await lab.store.stat(name) for name in SMALL]
    result = await lab.get(tmp_path, "sub", transport=Listing(lab.faulty, infos))
    assert files_in(tmp_path) == {name[4:]: data for name, data in SMALL.items() if name.startswith("sub/")}
    assert {type(failure.error) for failure in result.failures} == {ProtocolError}


async def test_a_file_that_is_listed_twice_does_no_harm(tmp_path: Path) -> None:
    """A listing that repeats names leads to correct files, fetched once or more often."""
    lab = TreeLab(FILES)
    infos = [await lab.store.stat(name) for name in FILES]
    await lab.get(tmp_path, transport=Listing(lab.faulty, [*infos, *infos]))
    assert files_in(tmp_path) == FILES


async def test_times_no_file_can_have_are_left_out(tmp_path: Path) -> None:
    """A time beyond any calendar does not keep a file from arriving."""
    lab = TreeLab(SMALL)
    infos = [
        replace(await lab.store.stat(name), attributes=Attributes(modified))
        for name, modified in zip(SMALL, (-(1 << 63), (1 << 63) - 1, 1 << 80, -1, 0), strict=True)
    ]
    assert (await lab.get(tmp_path, transport=Listing(lab.faulty, infos))).failed == 0
    assert files_in(tmp_path) == SMALL


async def test_what_a_worker_does_not_get_over_ends_the_tree_at_once(tmp_path: Path) -> None:
    """A server that lists and then answers no read is tried as often as the budget says, and not again for the listing."""
    lab = TreeLab(SMALL, budget=3)
    dead = Batchless(lab.faulty, UnreachableError("nobody answers"))
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path, transport=dead)
    assert dead.asked == 3
