"""Trees as a user of the client has them: everything arrives, what is here is skipped, what fails stops nothing else."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from client.lab import Wrapper
from tree.treelab import FILES, MODIFIED, Batchless, Listing, Tampering, TreeLab, files_in, own_files_in
from unspool.client.client import Client
from unspool.client.events import Event, FileFailed, TreeAdvanced
from unspool.client.transport import Transport
from unspool.core.model import Attributes, BatchRequest, Frame, ListRequest, Page, Piece, ReadRequest
from unspool.errors import (
    BusyError,
    DataLossError,
    DestinationExistsError,
    FileChangedError,
    LocalFileError,
    NotFoundError,
    UnreachableError,
    UnsupportedError,
)
from unspool.testing import FaultyTransport, StoreTransport

SIZE = sum(map(len, FILES.values()))


async def test_a_tree_arrives(tmp_path: Path) -> None:
    """Every file below the prefix has its place, its bytes and its time, and nothing else is there."""
    lab = TreeLab()
    result = await lab.get(tmp_path / "out")
    assert files_in(tmp_path / "out") == FILES
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == MODIFIED for name in FILES)
    assert own_files_in(tmp_path / "out") == ["lock", "record.sqlite"]
    assert (result.files, result.fetched, result.kept, result.failed, result.left_out) == (len(FILES), len(FILES), 0, 0, 0)
    assert (result.size, result.bytes_received, result.verified) == (SIZE, SIZE, "file")
    assert (result.prefix, result.path, result.failures) == ("", str(tmp_path / "out"), ())


async def test_small_files_share_a_stream_and_large_ones_do_not(tmp_path: Path) -> None:
    """One batch brings all small files; the large one is a download of its own."""
    lab = TreeLab()
    await lab.get(tmp_path / "out")
    (batch,) = lab.faulty.batches
    assert [file.name for file in batch.files] == [name for name, data in FILES.items() if len(data) <= 1 << 20]
    assert {request.name for request in lab.faulty.requests} == {"z/big.bin"}


@pytest.mark.parametrize("prefix", ["sub", "sub/"])
async def test_a_prefix_is_the_top_of_the_tree(tmp_path: Path, prefix: str) -> None:
    """Names below a prefix have their places directly below the destination."""
    await TreeLab().get(tmp_path, prefix)
    assert files_in(tmp_path) == {name.removeprefix("sub/"): data for name, data in FILES.items() if name.startswith("sub/")}


async def test_a_prefix_that_is_a_file_is_a_tree_of_one(tmp_path: Path) -> None:
    """The name of a file brings that file, under the last part of its name."""
    await TreeLab().get(tmp_path, "sub/b.bin")
    assert files_in(tmp_path) == {"b.bin": FILES["sub/b.bin"]}


async def test_a_prefix_that_is_not_there_makes_no_directory(tmp_path: Path) -> None:
    """Nothing is there: that is said, and nothing is made here."""
    with pytest.raises(NotFoundError):
        await TreeLab().get(tmp_path / "out", "nope")
    assert not (tmp_path / "out").exists()


async def test_an_empty_tree_is_an_empty_directory(tmp_path: Path) -> None:
    """A server without files is success, and the directory is there."""
    result = await TreeLab({}).get(tmp_path / "out")
    assert (result.files, result.failed) == (0, 0)
    assert files_in(tmp_path / "out") == {}


async def test_what_is_here_already_is_skipped(tmp_path: Path) -> None:
    """A second run fetches nothing and touches nothing: the record says what is here."""
    lab = TreeLab()
    await lab.get(tmp_path)
    before = {name: (tmp_path / name).stat() for name in FILES}
    lab.faulty.batches.clear()
    lab.faulty.requests.clear()
    result = await lab.get(tmp_path)
    assert (result.fetched, result.kept, result.bytes_received) == (0, len(FILES), 0)
    assert (lab.faulty.batches, lab.faulty.requests) == ([], [])
    for name, status in before.items():
        now = (tmp_path / name).stat()
        assert (now.st_ino, now.st_ctime_ns) == (status.st_ino, status.st_ctime_ns)


async def test_what_changed_on_the_server_is_fetched_again(tmp_path: Path) -> None:
    """Only what is at another revision moves: the same size and time do not deceive."""
    lab = TreeLab()
    await lab.get(tmp_path)
    lab.store.put("a.txt", b"omega")
    lab.store.put("new/e", b"new")
    result = await lab.get(tmp_path)
    assert (result.fetched, result.kept) == (2, len(FILES) - 1)
    assert files_in(tmp_path) == {**FILES, "a.txt": b"omega", "new/e": b"new"}
    assert (await lab.get(tmp_path)).fetched == 0


async def test_what_changed_here_is_fetched_again(tmp_path: Path) -> None:
    """A file that was edited, cut or removed here is what the server has again after the next run."""
    lab = TreeLab()
    await lab.get(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"ALPHA")
    (tmp_path / "sub/b.bin").write_bytes(b"")
    (tmp_path / "sub/deeper/c").unlink()
    (tmp_path / "z/big.bin").write_bytes(b"x" * len(FILES["z/big.bin"]))
    result = await lab.get(tmp_path)
    assert (result.fetched, result.kept) == (4, len(FILES) - 4)
    assert files_in(tmp_path) == FILES


async def test_files_without_a_record_are_compared(tmp_path: Path) -> None:
    """What was copied here by other means is compared by checksum, kept, dated and noted; what differs is fetched."""
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "a.txt").write_bytes(b"aleph")
    lab = TreeLab()
    result = await lab.get(tmp_path)
    assert (result.fetched, result.kept, result.bytes_received) == (1, len(FILES) - 1, 5)
    assert files_in(tmp_path) == FILES
    assert all((tmp_path / name).stat().st_mtime_ns == MODIFIED for name in FILES)
    assert (await lab.get(tmp_path)).kept == len(FILES)


async def test_without_resume_the_record_is_not_believed(tmp_path: Path) -> None:
    """With resume off every file is read again, here or on the server, so an edit that hides from the record shows."""
    lab = TreeLab()
    await lab.get(tmp_path)
    status = (tmp_path / "a.txt").stat()
    (tmp_path / "a.txt").write_bytes(b"ALPHA")
    os.utime(tmp_path / "a.txt", ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert (await lab.get(tmp_path)).fetched == 0, "what the record cannot see"
    lab.options = replace(lab.options, resume=False)
    result = await lab.get(tmp_path)
    assert (result.fetched, result.kept) == (1, len(FILES) - 1)
    assert files_in(tmp_path) == FILES


async def test_nothing_is_ever_removed(tmp_path: Path) -> None:
    """What is here and not on the server stays, also what was fetched from there once."""
    lab = TreeLab()
    await lab.get(tmp_path)
    (tmp_path / "mine").write_bytes(b"mine")
    lab.store.remove("sub/b.bin")
    await lab.get(tmp_path)
    assert files_in(tmp_path) == {**FILES, "mine": b"mine"}


async def test_a_different_file_stays_if_it_may_not_be_replaced(tmp_path: Path) -> None:
    """With overwrite off a different file here is that file's failure; equal ones are kept and new ones appear."""
    for name in ("a.txt", "z/big.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "empty").write_bytes(b"")
    lab = TreeLab(overwrite=False)
    result = await lab.get(tmp_path)
    assert (result.fetched, result.kept, result.failed) == (len(FILES) - 3, 1, 2)
    assert {failure.name for failure in result.failures} == {"a.txt", "z/big.bin"}
    assert all(isinstance(failure.error, DestinationExistsError) for failure in result.failures)
    assert files_in(tmp_path) == {**FILES, "a.txt": b"mine", "z/big.bin": b"mine"}
    assert "a.txt" not in {file.name for batch in lab.faulty.batches for file in batch.files}, "nor is it fetched for nothing"


@pytest.mark.parametrize("name", ["sub/b.bin", "z/big.bin"])
async def test_a_file_that_went_away_fails_alone(tmp_path: Path, name: str) -> None:
    """A file that is removed between listing and reading is a failure of its own, told at once, and stops no other."""
    lab = TreeLab()
    infos = [replace(await lab.store.stat(each), attributes=Attributes(MODIFIED)) for each in FILES]
    lab.store.remove(name)
    result = await lab.get(tmp_path, transport=Listing(lab.faulty, infos))
    assert (result.fetched, result.failed) == (len(FILES) - 1, 1)
    assert files_in(tmp_path) == {each: data for each, data in FILES.items() if each != name}
    (failed,) = lab.told(FileFailed)
    assert failed.name == result.failures[0].name == name
    assert isinstance(failed.error, NotFoundError)


@pytest.mark.parametrize("name", ["a.txt", "z/big.bin"])
async def test_a_file_that_changed_since_it_was_listed_is_taken_as_it_is_now(tmp_path: Path, name: str) -> None:
    """A file that changes between listing and reading is fetched at its new revision, and never mixed."""
    lab = TreeLab()
    infos = [await lab.store.stat(each) for each in FILES]
    lab.store.put(name, b"changed and longer than before" * 100_000)
    result = await lab.get(tmp_path, transport=Listing(lab.faulty, infos))
    assert (result.fetched, result.failed) == (len(FILES), 0)
    assert files_in(tmp_path) == {**FILES, name: b"changed and longer than before" * 100_000}
    assert (await lab.get(tmp_path)).kept == len(FILES), "it is compared then, not fetched again"


async def test_a_file_that_changed_fails_if_that_was_asked_for(tmp_path: Path) -> None:
    """With `on_change` fail, a small file that is not what was listed is a failure of its own."""
    lab = TreeLab(on_change="fail")
    infos = [await lab.store.stat(each) for each in FILES]
    lab.store.put("a.txt", b"changed")
    result = await lab.get(tmp_path, transport=Listing(lab.faulty, infos))
    assert (result.fetched, result.failed) == (len(FILES) - 1, 1)
    assert isinstance(result.failures[0].error, FileChangedError)
    assert not (tmp_path / "a.txt").exists()


async def test_a_file_the_store_cannot_read_fails_alone(tmp_path: Path) -> None:
    """Bytes that the server has lost are one file's failure, and the others of its batch arrive."""

    class Lossy(Tampering):
        async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
            async with aclosing(self.inner.read_files(request)) as messages:
                async for pieces in messages:
                    yield tuple(
                        Piece(piece.index, error=DataLossError("sub/b.bin: the disk is broken", name="sub/b.bin"))
                        if request.files[piece.index].name == "sub/b.bin"
                        else piece
                        for piece in pieces
                    )

    lab = TreeLab()
    result = await lab.get(tmp_path, transport=Lossy(lab.faulty))
    assert (result.fetched, result.failed) == (len(FILES) - 1, 1)
    assert isinstance(result.failures[0].error, DataLossError)
    assert len(lab.faulty.batches) == 1, "it is not asked for again"


async def test_a_server_without_batches_is_read_file_by_file(tmp_path: Path) -> None:
    """If the server does not support batches, the tree still arrives, and only one batch is requested."""
    files = {f"{number}": str(number).encode() * number for number in range(1200)}
    lab = TreeLab(files)
    transport = Batchless(lab.faulty, UnsupportedError("no such method"))
    result = await lab.get(tmp_path, transport=transport)
    assert (result.fetched, result.failed, result.verified) == (len(files), 0, "file")
    assert files_in(tmp_path) == files
    assert transport.asked == 1


async def test_a_dialect_that_cannot_list_is_an_error(tmp_path: Path) -> None:
    """The tutorial's dialect has no listing: this is an error at once, and nothing is created."""
    from unspool.rpc.demotransport import DemoTransport  # noqa: PLC0415 - loads the tutorial's protocol

    with pytest.raises(UnsupportedError):
        await TreeLab().get(tmp_path / "out", transport=DemoTransport("localhost:1"))
    assert not (tmp_path / "out").exists()


async def test_two_at_a_time_are_told_apart(tmp_path: Path) -> None:
    """While one process downloads to a directory, another one gets BusyError at once; afterwards it may download."""
    one, other = TreeLab(), TreeLab()

    class Slow(Tampering):
        async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
            with pytest.raises(BusyError, match="another process"):
                await other.get(tmp_path)
            async with aclosing(self.inner.read_files(request)) as messages:
                async for pieces in messages:
                    yield pieces

    assert (await one.get(tmp_path, transport=Slow(one.faulty))).fetched == len(FILES)
    assert (await other.get(tmp_path)).kept == len(FILES)


async def test_progress_is_told_and_ends_where_the_result_is(tmp_path: Path) -> None:
    """Files and bytes only grow, never exceed what was listed, and end at the whole tree."""
    lab = TreeLab()
    await lab.get(tmp_path)
    told = lab.told(TreeAdvanced)
    assert [event.files for event in told] == sorted(event.files for event in told)
    assert [event.good for event in told] == sorted(event.good for event in told)
    assert all(event.files <= event.listed_files and event.good <= event.listed_bytes for event in told)
    last = told[-1]
    assert (last.files, last.good, last.listed_files, last.listed_bytes, last.listed_all) == (
        *(len(FILES), SIZE),
        *(len(FILES), SIZE, True),
    )
    assert not told[0].listed_all


async def test_the_totals_are_told_while_files_are_still_being_fetched(tmp_path: Path) -> None:
    """The totals are reported when the listing is complete, even if many files wait for a worker."""
    files = {f"{number:02}": bytes((1 << 20) + 1 + number) for number in range(20)}
    lab = TreeLab(files)
    listed = asyncio.Event()

    class Held(Wrapper):
        async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
            async with asyncio.timeout(10):
                await listed.wait()
            async with aclosing(self.inner.read(request)) as frames:
                async for frame in frames:
                    yield frame

    class Watch:
        def notify(self, event: Event) -> None:
            lab.notify(event)
            if isinstance(event, TreeAdvanced) and event.listed_all:
                listed.set()

    client = Client(transport=Held(lab.faulty), clock=lab.clock, random=Random(0), options=lab.options)
    await client.get_tree("", tmp_path, observers=[Watch()])
    complete = next(event for event in lab.told(TreeAdvanced) if event.listed_all)
    assert (complete.files, complete.good) == (0, 0)
    assert (complete.listed_files, complete.listed_bytes) == (len(files), sum(map(len, files.values())))


async def test_what_an_earlier_run_left_is_told_apart_from_what_is_fetched(tmp_path: Path) -> None:
    """`good - kept` of a tree's progress is what this run has fetched, of small files and of large ones that it resumed."""
    name = "z/big.bin"
    lab = TreeLab({**FILES, name: bytes(40 << 20)}, script=f"{'.' * 30}x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path)
    lab.events.clear()
    result = await lab.get(tmp_path)
    told = lab.told(TreeAdvanced)
    assert all(0 <= event.kept <= event.good for event in told)
    assert told[-1].kept > 16 << 20
    assert told[-1].good - told[-1].kept == result.bytes_received


@pytest.mark.parametrize("jobs", [1, 3, None])
async def test_many_batches_arrive_with_any_number_of_jobs(tmp_path: Path, jobs: int | None) -> None:
    """More files than fit into one batch are fetched in several batches of limited size, and all arrive."""
    files = {f"d{number % 7}/{number}": str(number).encode() for number in range(2100)}
    lab = TreeLab(files, jobs=jobs)
    result = await lab.get(tmp_path)
    assert (result.fetched, result.failed) == (2100, 0)
    assert files_in(tmp_path) == files
    assert sorted(file.name for batch in lab.faulty.batches for file in batch.files) == sorted(files)
    assert max(len(batch.files) for batch in lab.faulty.batches) <= 1000


async def test_what_is_listed_is_fetched_while_the_listing_goes_on(tmp_path: Path) -> None:
    """Files of the first page of a slow listing are requested before the second page arrives."""
    asked = asyncio.Event()

    class Slow(Listing):
        async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
            async for page in super().list(request):
                yield page
                await asyncio.wait_for(asked.wait(), 10)

        def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
            asked.set()
            return super().read_files(request)

    lab = TreeLab()
    transport = Slow(lab.faulty, [await lab.store.stat(name) for name in FILES], page_size=2)
    assert (await lab.get(tmp_path, transport=transport)).fetched == len(FILES)
    assert len(lab.faulty.batches) > 1


async def test_batches_are_bounded_in_bytes(tmp_path: Path) -> None:
    """However many files there are, one batch is of 17 MiB at most."""
    files = {f"{number:02}": bytes(1 << 20) for number in range(40)}
    lab = TreeLab(files)
    assert (await lab.get(tmp_path)).fetched == 40
    assert len(lab.faulty.batches) >= 3
    assert max(len(batch.files) for batch in lab.faulty.batches) <= 17


async def test_a_destination_that_cannot_be_is_said_to_be_none(tmp_path: Path) -> None:
    """A file as destination, a missing parent directory and an invalid name are local errors."""
    (tmp_path / "file").write_bytes(b"mine")
    for destination in (tmp_path / "file", tmp_path / "no" / "out", tmp_path / "a\0b"):
        with pytest.raises(LocalFileError):
            await TreeLab().get(destination)
    assert (tmp_path / "file").read_bytes() == b"mine"


async def test_a_link_that_takes_a_directorys_place_leads_no_large_file_out(tmp_path: Path) -> None:
    """A directory swapped for a symbolic link while a large file goes into it: nothing of it is written where that leads."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()

    class Swapping(Tampering):
        """Swaps the directory when the first block comes."""

        def tamper(self, name: str, frame: Frame) -> Frame | None:
            """See `Tampering.tamper`."""
            if name == "z/big.bin" and frame.block is not None and not (out / "z").is_symlink():
                (out / "z").rename(out / "elsewhere")
                (out / "z").symlink_to(outside)
            return frame

    lab = TreeLab()
    result = await lab.get(out, transport=Swapping(lab.faulty))
    assert (out / "z").is_symlink()
    assert files_in(outside) == {}
    assert [failure.name for failure in result.failures] == ["z/big.bin"]
    assert "its directory was moved" in result.failures[0].error.message
    assert not (out / "elsewhere" / "big.bin").exists()


# Attributes


class Program:
    """A server's tree of a small program and a large one, and the directory that it is fetched into."""

    def __init__(self, out: Path, **options: Any) -> None:
        self.out = out
        self.lab = TreeLab({}, **options)
        self.lab.faulty = FaultyTransport(StoreTransport(self.lab.store), clock=self.lab.clock)  # it tells what the store does
        self.serve(Attributes(MODIFIED, executable=True))

    def serve(self, attributes: Attributes, *, touch: bool = False) -> None:
        """Have the server tell this, of new revisions if `touch` says so."""
        for name, data in PROGRAMS.items():
            if touch or self.lab.store.revision_of(name) is None:
                self.lab.store.put(name, data, attributes)
            else:
                info = self.lab.store._files[name][0]
                self.lab.store._files[name] = (replace(info, attributes=attributes), data)

    async def get(self) -> int:
        """Fetch the tree; return the bytes that came."""
        result = await self.lab.get(self.out)
        assert (result.failed, files_in(self.out)) == (0, PROGRAMS)
        return result.bytes_received

    @property
    def executable(self) -> set[str]:
        """Which of the local files are executable."""
        return {name for name in PROGRAMS if (self.out / name).stat().st_mode & 0o100}

    @property
    def dated(self) -> set[str]:
        """Which of the local files have the server's time."""
        return {name for name in PROGRAMS if (self.out / name).stat().st_mtime_ns == MODIFIED}


PROGRAMS = {"small": b"#!/bin/sh\n", "large": bytes((1 << 20) + 1)}
BOTH = set(PROGRAMS)


@pytest.mark.parametrize(
    ("options", "executable", "dated"),
    [({}, BOTH, BOTH), ({"times": False}, BOTH, set()), ({"executable": False}, set(), BOTH)],
)
async def test_files_get_what_was_not_declined(
    tmp_path: Path, options: dict[str, bool], executable: set[str], dated: set[str]
) -> None:
    """Small and large files have the server's time and are executable if they are so there, unless that was declined."""
    program = Program(tmp_path, **options)
    await program.get()
    assert (program.executable, program.dated) == (executable, dated)


async def test_attributes_are_mended_without_a_transfer(tmp_path: Path) -> None:
    """A file whose bytes are here gets what was declined before, or was taken from it here; no byte moves."""
    program = Program(tmp_path, times=False, executable=False)
    await program.get()
    program.lab.options = replace(program.lab.options, times=True, executable=True)
    assert await program.get() == 0
    assert (program.executable, program.dated) == (BOTH, BOTH)
    for name in PROGRAMS:
        (tmp_path / name).chmod(0o644)
        os.utime(tmp_path / name, ns=(1, 1))
    assert await program.get() == 0
    assert (program.executable, program.dated) == (BOTH, BOTH)
    before = [(tmp_path / name).stat().st_ctime_ns for name in PROGRAMS]
    assert await program.get() == 0
    assert [(tmp_path / name).stat().st_ctime_ns for name in PROGRAMS] == before, "and then it is left alone"


@pytest.mark.parametrize("touch", [False, True])
async def test_what_we_made_executable_is_so_no_longer_when_the_server_says_so(tmp_path: Path, *, touch: bool) -> None:
    """The record remembers that unspool made a file executable, at the same revision and at another one."""
    program = Program(tmp_path)
    await program.get()
    program.serve(Attributes(MODIFIED, executable=False), touch=touch)
    await program.get()
    assert program.executable == set()


@pytest.mark.parametrize("touch", [False, True])
async def test_what_a_user_made_executable_stays_so(tmp_path: Path, *, touch: bool) -> None:
    """A file that is not executable on the server and was made so here keeps that, also when it is replaced."""
    program = Program(tmp_path)
    program.serve(Attributes(MODIFIED, executable=False))
    await program.get()
    for name in PROGRAMS:
        (tmp_path / name).chmod(0o755)
    program.serve(Attributes(MODIFIED, executable=False), touch=touch)
    await program.get()
    assert program.executable == BOTH


async def test_a_record_of_version_1_is_thrown_away(tmp_path: Path) -> None:
    """A record without attributes is not misread: its files are compared or fetched, and recorded again."""
    program = Program(tmp_path)
    await program.get()
    with closing(sqlite3.connect(tmp_path / ".unspool-tree" / "record.sqlite")) as database:
        database.execute("PRAGMA user_version=1")
    await program.get()
    with closing(sqlite3.connect(tmp_path / ".unspool-tree" / "record.sqlite")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        assert database.execute("SELECT count(*) FROM files").fetchone() == (len(PROGRAMS),)


# Empty directories


class WithDirectories(Listing):
    """A server that lists empty directories, too."""

    def __init__(self, inner: Transport, *prefixes: str) -> None:
        super().__init__(inner, [])
        self.prefixes = prefixes

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        yield Page(prefixes=self.prefixes)
        async with aclosing(self.inner.list(request)) as pages:
            async for page in pages:
                yield page


async def test_empty_directories_are_made(tmp_path: Path) -> None:
    """Each empty directory is created, with its parents; a second run finds them."""
    lab = TreeLab({})
    transport = WithDirectories(lab.faulty, "empty/", "a/b/c/")
    for _ in range(2):
        result = await lab.get(tmp_path, transport=transport)
        assert (result.directories, result.files, result.failed) == (2, 0, 0)
        assert (tmp_path / "empty").is_dir()
        assert list((tmp_path / "a/b/c").iterdir()) == []


async def test_a_directory_that_cannot_be_is_a_failure_of_its_own(tmp_path: Path) -> None:
    """An obstacle, a name that leads out or one of unspool's own fails that directory only, and nothing is created outside."""
    (tmp_path / "outside").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_bytes(b"mine")
    (out / "link").symlink_to(tmp_path / "outside")
    lab = TreeLab()
    wrong = ("file/", "link/x/", "../x/", "/", "x.unspool-part/")
    result = await lab.get(out, transport=WithDirectories(lab.faulty, *wrong, ".unspool-tree/x/", "good/"))
    assert {failure.name for failure in result.failures} == set(wrong)
    assert (result.directories, result.failed, result.fetched) == (1, len(wrong), len(FILES))
    assert (out / "good").is_dir()
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (tmp_path / "x").exists()
