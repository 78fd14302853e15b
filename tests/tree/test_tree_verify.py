"""Comparing a directory with a tree: `verify_tree`, and `get_tree(checksum=True)`, which fetches what differs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from client.lab import Wrapper
from damaging import damage
from tree.treelab import FILES, Batchless, TreeLab, files_in
from unspool.client.batchedchecksums import add_checksums
from unspool.client.client import Client
from unspool.client.events import FileFailed, TreeAdvanced
from unspool.client.seams import Seams
from unspool.client.transfer import Transfer
from unspool.client.transport import Transport
from unspool.client.treeresults import TreeVerification
from unspool.core.model import BatchRequest, FileInfo, ListRequest, Page, Piece
from unspool.errors import (
    FileMismatchError,
    LocalFileError,
    NotFoundError,
    TruncatedError,
    UnauthenticatedError,
    UnspoolError,
    UnsupportedError,
)
from unspool.local import spool

ALL = len(FILES)
BIG = "z/big.bin"
SMALL = "sub/b.bin"


def client_of(lab: TreeLab, transport: Transport | None = None) -> Client:
    """Return a client of the lab's server."""
    return Client(transport=transport or lab.faulty, clock=lab.clock, random=Random(0), options=lab.options)


async def verify(
    lab: TreeLab, directory: Path, prefix: str = "", transport: Transport | None = None, **arguments: Any
) -> TreeVerification:
    """Compare a directory with the lab's tree."""
    return await client_of(lab, transport).verify_tree(prefix, directory, observers=[lab], **arguments)


class Unsummed(Wrapper):
    """A server that lists no checksums."""

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        async with aclosing(self.inner.list(request)) as pages:
            async for page in pages:
                yield replace(page, files=tuple(replace(info, crc32c=None) for info in page.files))


def errors_of(result: TreeVerification) -> dict[str, type[UnspoolError]]:
    """Return what each failed file failed with."""
    return {failure.name: type(failure.error) for failure in result.failures}


@pytest.fixture
async def here(tmp_path: Path) -> Path:
    """A directory with the lab's tree."""
    result = await TreeLab().get(tmp_path / "here")
    assert result.fetched == ALL
    return tmp_path / "here"


# Fetching what differs


@pytest.mark.parametrize("name", [SMALL, BIG])
async def test_damage_under_the_record_is_found_and_mended(here: Path, name: str) -> None:
    """A file whose size, time and inode are the record's is skipped; with `checksum` it is compared, and fetched again."""
    lab = TreeLab()
    damage(here / name)
    assert (await lab.get(here)).kept == ALL
    assert files_in(here) != FILES
    result = await client_of(lab).get_tree("", here, checksum=True)
    assert (result.fetched, result.kept) == (1, ALL - 1)
    assert files_in(here) == FILES


async def test_a_preview_finds_damage_too(here: Path) -> None:
    """With `checksum`, a preview reads the files, and names those that differ."""
    damage(here / SMALL)
    damage(here / BIG)
    wanted = [info.name async for page in client_of(TreeLab()).preview_tree("", here, checksum=True) for info in page.wanted]
    assert sorted(wanted) == [SMALL, BIG]


# verify_tree


async def test_the_servers_bytes_are_the_same(here: Path) -> None:
    """A tree as it was fetched is the same, whatever else is in the directory, and nothing is changed."""
    (here / "mine").write_bytes(b"only here")
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    result = await verify(TreeLab(), here)
    assert (result.files, result.same, result.failed, result.failures) == (ALL, ALL, 0, ())
    assert (result.size, result.path, result.prefix) == (sum(map(len, FILES.values())), str(here), "")
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before


async def test_each_difference_is_a_failure_of_its_own(here: Path, tmp_path: Path) -> None:
    """Damage unseen by the record, another size, a missing file, a link and a directory are found; the rest is the same."""
    damage(here / SMALL)
    damage(here / BIG)
    (here / "empty").write_bytes(b"no longer")
    (here / "a.txt").unlink()
    (tmp_path / "elsewhere").write_bytes(FILES["sub/deeper/c"])
    (here / "sub/deeper/c").unlink()
    (here / "sub/deeper/c").symlink_to(tmp_path / "elsewhere")
    (here / "sub/deeper/d").unlink()
    (here / "sub/deeper/d").mkdir()
    lab = TreeLab()
    result = await verify(lab, here)
    assert errors_of(result) == {
        "a.txt": FileMismatchError,
        "empty": FileMismatchError,
        SMALL: FileMismatchError,
        BIG: FileMismatchError,
        "sub/deeper/c": FileMismatchError,
        "sub/deeper/d": LocalFileError,
    }
    assert (result.same, result.failed) == (ALL - 6, 6)
    assert len(lab.told(FileFailed)) == 6


async def test_a_whole_directory_that_is_missing_is_its_files_missing(here: Path) -> None:
    """Files of a directory that is not there are missing one by one."""
    (here / BIG).unlink()
    (here / "z").rmdir()
    assert errors_of(await verify(TreeLab(), here)) == {BIG: FileMismatchError}


async def test_a_prefix_and_filters_choose_what_is_compared(here: Path) -> None:
    """Files that are not chosen may differ."""
    damage(here / SMALL)
    lab = TreeLab()
    result = await verify(lab, here, filters=[("exclude", "b.bin")])
    assert (result.files, result.same) == (ALL - 1, ALL - 1)
    result = await verify(lab, here / "sub", "sub")
    assert (result.files, result.same, errors_of(result)) == (3, 2, {SMALL: FileMismatchError})


async def test_the_sha256_is_compared_if_asked_for(here: Path) -> None:
    """With `sha256` a server that has none to give cannot confirm a file."""
    assert (await verify(TreeLab(), here, sha256=True)).same == ALL
    damage(here / SMALL)
    assert errors_of(await verify(TreeLab(), here, sha256=True)) == {SMALL: FileMismatchError}


async def test_progress_ends_where_the_result_is(here: Path) -> None:
    """The totals are known before the first file is compared, and at the end all bytes are."""
    lab = TreeLab()
    calls: list[tuple[int, int | None]] = []
    result = await verify(lab, here, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (result.size, result.size)
    assert lab.told(TreeAdvanced)[-1].files == ALL
    assert all(total == result.size for done, total in calls if done)


async def test_a_file_that_changed_since_it_was_listed_is_compared_with_what_it_is_now(here: Path) -> None:
    """Another revision with the same bytes is the same; one with others is not."""

    class Changing(Wrapper):
        async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
            async with aclosing(self.inner.list(request)) as pages:
                async for page in pages:
                    yield replace(page, files=tuple(replace(info, revision="old", crc32c=None) for info in page.files))

    lab = TreeLab()
    assert (await verify(lab, here, transport=Changing(lab.faulty))).same == ALL
    damage(here / BIG)
    damage(here / SMALL)
    assert errors_of(await verify(lab, here, transport=Changing(lab.faulty))) == {
        SMALL: FileMismatchError,
        BIG: FileMismatchError,
    }


async def test_a_file_that_went_away_since_it_was_listed_fails_alone(here: Path) -> None:
    """A file that the server lists and does not have is a failure; the others are compared."""

    class Listing(Wrapper):
        async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
            async with aclosing(self.inner.list(request)) as pages:
                async for page in pages:
                    yield replace(page, files=(*page.files, FileInfo("gone", 3, "r")))

    (here / "gone").write_bytes(b"abc")
    lab = TreeLab()
    result = await verify(lab, here, transport=Listing(lab.faulty))
    assert (result.same, errors_of(result)) == (ALL, {"gone": NotFoundError})


async def test_a_listing_that_breaks_begins_again(here: Path) -> None:
    """Files listed twice because the first listing broke are counted and compared once."""

    class Breaking(Wrapper):
        broken = 0

        async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
            async with aclosing(self.inner.list(replace(request, page_size=2))) as pages:
                async for page in pages:
                    yield page
                    if not self.broken:
                        self.broken += 1
                        raise TruncatedError("the listing broke")

    lab = TreeLab()
    breaking = Breaking(lab.faulty)
    result = await verify(lab, here, transport=breaking)
    assert (breaking.broken, result.files, result.same) == (1, ALL, ALL)


# Where the checksums come from


async def test_the_checksums_of_small_files_are_asked_for_with_one_stream(here: Path) -> None:
    """A server that lists no checksums is asked once for those of all small files, and sends none of their bytes."""
    lab = TreeLab()
    asked: list[tuple[int, ...]] = []
    sent: list[int] = []

    class Counting(Unsummed):
        async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
            asked.append(tuple(file.start for file in request.files))
            async with aclosing(self.inner.read_files(request)) as messages:
                async for message in messages:
                    sent.extend(len(piece.frame.block.data) for piece in message if piece.frame and piece.frame.block)
                    yield message

    assert (await verify(lab, here, transport=Counting(lab.faulty))).same == ALL
    assert [sorted(starts) for starts in asked] == [sorted(len(data) for name, data in FILES.items() if name != BIG)]
    assert sent == []


@pytest.mark.parametrize("error", [UnsupportedError("no batches"), TruncatedError("broken")], ids=["none", "breaks"])
async def test_without_batches_each_file_is_asked_for(here: Path, error: UnspoolError) -> None:
    """If the batch brings nothing, each checksum has a stream of its own, and damage is found all the same."""
    lab = TreeLab()
    damage(here / SMALL)
    result = await verify(lab, here, transport=Batchless(Unsummed(lab.faulty), error))
    assert (result.same, errors_of(result)) == (ALL - 1, {SMALL: FileMismatchError})


async def test_a_server_that_ignores_the_start_of_an_entry_is_believed_nothing(here: Path) -> None:
    """An older server sends the bytes; they are dropped, and the checksums are asked for one by one."""

    class Older(Unsummed):
        async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
            older = replace(request, files=tuple(replace(file, start=0) for file in request.files))
            async with aclosing(self.inner.read_files(older)) as messages:
                async for message in messages:
                    yield message

    lab = TreeLab()
    infos = [info async for info in client_of(lab).list("", recursive=True)]
    nonempty = [replace(info, crc32c=None) for info in infos if info.size]
    transport = Older(lab.faulty)
    transfer = Transfer(Seams(transport, lab.clock, Random(0)), lab.options, lab)
    assert await add_checksums(nonempty, transfer) == nonempty
    assert (await verify(lab, here, transport=Older(lab.faulty))).same == ALL


# What ends it


async def test_what_a_server_says_of_all_files_ends_it(here: Path) -> None:
    """An error that every other file would get as well is raised."""

    class Refusing(Unsummed):
        def read(self, request: object) -> AsyncGenerator[Any, None]:
            raise UnauthenticatedError("who are you?")

        def read_files(self, request: object) -> AsyncGenerator[Any, None]:
            raise UnauthenticatedError("who are you?")

    lab = TreeLab()
    with pytest.raises(UnauthenticatedError):
        await verify(lab, here, transport=Refusing(lab.faulty))


async def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A missing directory, a file in its place and a prefix that does not exist are errors, not lists of missing files."""
    with pytest.raises(LocalFileError, match="there is no such directory"):
        await verify(TreeLab(), tmp_path / "none")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalFileError, match="is not a directory; a tree needs one"):
        await verify(TreeLab(), tmp_path / "file")
    with pytest.raises(NotFoundError):
        await verify(TreeLab(), tmp_path, "none")


async def test_no_room_for_the_listing_is_a_local_error(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the temporary file cannot be made, the error says which file."""

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "TemporaryFile", full)
    with pytest.raises(LocalFileError, match="temporary file for the listing: the disk is full"):
        await verify(TreeLab(), here)
