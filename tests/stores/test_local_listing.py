"""Listings of a directory: they are streamed, omit names that no client could request, and survive changes."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.model import ListRequest
from unspool.core.names import check_name
from unspool.errors import DataLossError, InvalidNameError, NotFoundError, OverloadedError
from unspool.stores import LocalStore
from unspool.testing.stock import in_one_fixture, listed, read_file


class Scan:
    """Wraps the result of `os.scandir`, and counts.

    Attributes:
        given: how many entries it has returned.
    """

    def __init__(self, entries: Iterator[os.DirEntry[str]], fail_after: int | None = None, error: int = errno.EIO) -> None:
        self.given = 0
        self._entries = entries
        self._fail_after = fail_after
        self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._entries.close()  # type: ignore[attr-defined]  # the iterator of scandir has it

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self

    def __next__(self) -> os.DirEntry[str]:
        if self.given == self._fail_after:
            raise OSError(self._error, os.strerror(self._error))
        entry = next(self._entries)
        self.given += 1
        return entry


def fill(directory: Path, count: int) -> None:
    """Make a directory of many names, cheaply: hard links to a few files."""
    directory.mkdir(parents=True, exist_ok=True)
    for start in range(0, count, 10_000):
        first = directory / f"file-{start:06}"
        first.write_bytes(b"x")
        for number in range(start + 1, min(start + 10_000, count)):
            os.link(first, directory / f"file-{number:06}")


async def test_a_hundred_thousand_files_stream_in_flat_memory(root: Path, store: LocalStore) -> None:
    """A very large directory is listed page by page, in constant memory."""
    fill(root / "many", 100_000)
    seen = 0
    tracemalloc.start()
    try:
        async with aclosing(store.list(ListRequest("many", recursive=True, page_size=1000))) as pages:
            async for page in pages:
                assert len(page.files) <= 1000
                seen += len(page.files)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == 100_000
    assert peak < 8 << 20


async def test_the_first_page_is_short(root: Path, store: LocalStore) -> None:
    """The first page of a listing has a hundred entries, so that the client can begin; the others are as long as wanted."""
    fill(root / "many", 1200)
    async with aclosing(store.list(ListRequest("many", recursive=True, page_size=1000))) as pages:
        assert [len(page.files) async for page in pages] == [100, 1000, 100]


@pytest.mark.parametrize("recursive", [True, False])
async def test_at_most_one_page_is_looked_for_ahead(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, *, recursive: bool
) -> None:
    """The first page is sent before the second one is read. From then on at most one page is read before it is asked for."""
    fill(root, 100)
    scans: list[Scan] = []
    real = os.scandir

    def scan(descriptor: int) -> Scan:
        scans.append(Scan(real(descriptor)))
        return scans[-1]

    monkeypatch.setattr(os, "scandir", scan)
    async with aclosing(store.list(ListRequest(recursive=recursive, page_size=30))) as pages:
        await anext(pages)
        assert [scan.given for scan in scans] == [30]
        for least, most in itertools.pairwise((60, 90, 100, 100)):
            await anext(pages)
            assert all(least <= scan.given <= most for scan in scans)


@given(listing=st.sets(st.binary(min_size=1, max_size=6).filter(lambda name: not {0, ord("/")} & {*name}), max_size=5))
@in_one_fixture
async def test_exactly_the_names_that_can_be_asked_for_are_listed(root: Path, store: LocalStore, listing: set[bytes]) -> None:
    """For any bytes as names on disk, valid names are listed and can be opened, and the others are not listed."""
    listing -= {b".", b".."}
    for name in listing:
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(name)
    expected = set()
    for name in listing:
        try:
            check_name(os.fsdecode(name))
            expected.add(os.fsdecode(name))
        except InvalidNameError:
            pass
    files, _ = await listed(store)
    for info in files.values():
        assert await read_file(store, info.name) == (info, os.fsencode(info.name))
    for name in listing:
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).unlink()
    assert set(files) == expected


@pytest.mark.parametrize("odd", [b"caf\xe9", b"back\\slash", b"lone\xed\xa0\x80"])
@pytest.mark.parametrize("recursive", [True, False])
async def test_names_nobody_can_ask_for_are_left_out_and_logged(
    root: Path, store: LocalStore, caplog: pytest.LogCaptureFixture, odd: bytes, *, recursive: bool
) -> None:
    """A file, or a whole directory, with an invalid name is omitted from a listing, and the log says so."""
    directory = Path(os.fsdecode(os.fsencode(root) + b"/dir-" + odd))
    directory.mkdir()
    (directory / "file").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(root) + b"/" + odd)).write_bytes(b"x")
    (root / "plain").write_bytes(b"x")
    with caplog.at_level(logging.INFO, "unspool.stores"):
        assert await listed(store, recursive=recursive) == ({"plain": await store.stat("plain")}, set())
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert record.levelno == logging.WARNING
        assert record.getMessage().isprintable()


async def test_a_name_that_cannot_be_listed_is_logged_once(
    root: Path, store: LocalStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a directory is listed, the log mentions each such name once, up to a limit."""
    for number in range(3):
        (root / f"back\\slash {number}").touch()
    for _ in range(3):
        await listed(store, recursive=True)
    assert len(caplog.records) == 3
    monkeypatch.setattr("unspool.stores.local._LOGGED", 2)
    caplog.clear()
    another = LocalStore(root)
    await listed(another, recursive=True)
    await another.aclose()
    assert len(caplog.records) == 2


async def test_a_tree_deeper_than_a_name_is_long_is_listed_as_far_as_names_go(root: Path, store: LocalStore) -> None:
    """Directories nested beyond the longest name do not break the listing of the rest."""
    part = "d" * 250
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(18):
        for name in (part, "file"):
            if name == "file":
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
            else:
                os.mkdir(name, dir_fd=descriptor)
        inner = os.open(part, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    files, _ = await listed(store)
    assert {len(name) for name in files} == {251 * depth + 4 for depth in range(17)}
    for name, info in files.items():
        assert await store.stat(name) == info


@pytest.mark.parametrize("below", ["", "/sub"])
async def test_a_directory_that_is_removed_meanwhile_has_nothing_more(root: Path, store: LocalStore, below: str) -> None:
    """The listing of a directory that is emptied and removed meanwhile ends there; the rest is listed."""
    gone = root / f"dir{below}"
    fill(gone, 3000)  # more than the system reads ahead
    async with aclosing(store.list(ListRequest("dir", recursive=True, page_size=10))) as pages:
        seen = [info.name for info in (await anext(pages)).files]
        for file in gone.iterdir():
            file.unlink()
        gone.rmdir()
        if below:
            (root / "dir" / "late").write_bytes(b"x")
        seen += [info.name async for page in pages for info in page.files]
    assert len(seen) == len(set(seen)) < 3000
    if not below:
        with pytest.raises(NotFoundError):
            await listed(store, "dir")


async def test_files_that_are_removed_meanwhile_are_left_out(root: Path, store: LocalStore) -> None:
    """Files that are removed before they are examined are left out, without an error."""
    fill(root, 50)
    async with aclosing(store.list(ListRequest(recursive=True, page_size=10))) as pages:
        first = {info.name for info in (await anext(pages)).files}
        for number in range(0, 50, 2):
            (root / f"file-{number:06}").unlink()
        rest = {info.name async for page in pages for info in page.files}
    assert len(first) == 10
    assert rest == {f"file-{number:06}" for number in range(1, 50, 2)} - first


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, DataLossError), (errno.EMFILE, OverloadedError)])
async def test_what_cannot_be_listed_is_not_left_out_in_silence(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    """A directory that cannot be read, or not opened for lack of descriptors, ends the listing with an error."""
    fill(root / "dir" / "sub", 10)
    real_scan, real_open = os.scandir, os.open
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", lambda descriptor: Scan(real_scan(descriptor), fail_after=1, error=number))
        with pytest.raises(kind) as caught:
            await listed(store)
        assert str(root) not in str(caught.value), "where the root is, is nobody's business"

    def fail_to_open(path: str, flags: int, *, dir_fd: int) -> int:
        if path == "sub":
            raise OSError(number, os.strerror(number))
        return real_open(path, flags, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", fail_to_open)
        with pytest.raises(kind):
            await listed(store)
    assert len((await listed(store))[0]) == 10


async def test_an_empty_directory_lists_nothing(root: Path, store: LocalStore) -> None:
    """An empty directory is listed as a prefix, and its own listing is empty."""
    (root / "empty").mkdir()
    assert await listed(store, "empty") == ({}, set())
    assert await listed(store, recursive=False) == ({}, {"empty/"})


async def test_a_recursive_listing_tells_of_empty_directories(root: Path, store: LocalStore) -> None:
    """In a recursive listing, exactly the directories without listed files are prefixes, except the requested one."""
    for directory in ("empty", "a/b/empty", "a/full", "only-empty/inner", "odd"):
        (root / directory).mkdir(parents=True)
    (root / "a/full/file").write_bytes(b"x")
    os.mkfifo(root / "odd/pipe")
    files, prefixes = await listed(store)
    assert (set(files), prefixes) == ({"a/full/file"}, {"empty/", "a/b/empty/", "only-empty/inner/", "odd/"})
    assert await listed(store, "empty") == ({}, set())
    assert (await listed(store, "a", page_size=1))[1] == {"a/b/empty/"}
