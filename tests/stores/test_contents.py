"""Revisions made of the content: equal on every machine, computed once, and never of other bytes than are served."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path

import pytest

from stores.disk import overwrite, replace
from unspool.answers.kept import KeptChecksums, Row
from unspool.core.checksum import crc32c
from unspool.core.model import FileInfo, ListRequest
from unspool.errors import FileChangedError, InvalidRequestError
from unspool.stores import LocalStore, contents, open_store
from unspool.stores.base import Store
from unspool.stores.contents import Contents
from unspool.testing.stock import Stock
from unspool.testing.storecontract import StoreContract


@asynccontextmanager
async def stocked(directory: Path) -> AsyncIterator[Stock]:
    """Open an empty directory as a store whose revisions are made of the content."""
    root = directory / "root"
    root.mkdir()
    store = LocalStore(root, hidden=True, contents=Contents(directory / "contents.db"))
    yield Stock(store, put=lambda name, data: replace(root / name, data), remove=lambda name: (root / name).unlink())
    await store.aclose()


class TestLocalStoreOfContents(StoreContract):
    """The contract of stores."""

    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """See `StoreContract.stocked`."""
        return stocked(directory)


class Reads:
    """Counts how often files are read for their revisions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        whole = contents._read

        def counted(name: str, descriptor: int, status: os.stat_result) -> contents.Content:
            self.names.append(name)
            return whole(name, descriptor, status)

        monkeypatch.setattr(contents, "_read", counted)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that nobody has open for writing, as far as can be seen."""
    monkeypatch.setattr(contents, "every_write_shows", lambda *_: True)


def tree(directory: Path) -> Path:
    """Make a directory with some files."""
    directory.mkdir()
    for name, data in {"a": b"alpha", "empty": b"", "large": bytes(3 << 20), "run": b"#!/bin/sh"}.items():
        (directory / name).write_bytes(data)
    (directory / "run").chmod(0o755)
    return directory


async def listing(store: Store) -> dict[str, FileInfo]:
    """Return what a listing says of each file."""
    async with aclosing(store.list(ListRequest("", recursive=True, page_size=100))) as pages:
        return {info.name: info async for page in pages for info in page.files}


async def all_of(store: Store) -> dict[str, FileInfo]:
    """Return what a listing, `stat`, `open` and `read_small` say of each file, which must be the same."""
    infos = await listing(store)
    for name, info in infos.items():
        assert await store.stat(name) == info
        async with aclosing(await store.open(name, info.revision)) as file:
            assert file.info == info
        ((small, _, _),) = await store.read_small([name], 4 << 20)  # type: ignore[misc]
        assert small == info
    return infos


@pytest.mark.usefixtures("steady")
async def test_copies_of_a_directory_have_the_same_revisions(tmp_path: Path) -> None:
    """Equal files have equal revisions, whatever their inodes and times, and the CRC32C is known from the start."""
    found = []
    for number, name in enumerate(("one", "other")):
        root = tree(tmp_path / name)
        os.utime(root / "a", (number, number))
        async with aclosing(LocalStore(root, contents=Contents())) as store:
            found.append(await all_of(store))
    assert {name: info.revision for name, info in found[0].items()} == {name: info.revision for name, info in found[1].items()}
    one = found[0]["a"]
    assert one.revision == f"sha256-{hashlib.sha256(b'alpha').hexdigest()}"
    assert one.crc32c == crc32c(b"alpha")
    assert found[0]["run"].revision.endswith("-x")


@pytest.mark.usefixtures("steady")
async def test_a_file_is_read_once_for_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After that, and after a restart, its revision is known, until its identity changes."""
    reads = Reads(monkeypatch)
    root, kept = tree(tmp_path / "root"), tmp_path / "kept.db"
    for _ in range(2):
        async with aclosing(open_store(str(root), revision="content", checksums=kept)) as store:
            await all_of(store)
        assert sorted(reads.names) == ["a", "empty", "large", "run"]
    overwrite(root / "a", b"gamma")
    async with aclosing(open_store(str(root), revision="content", checksums=kept)) as store:
        info = await store.stat("a")
        assert info.revision == f"sha256-{hashlib.sha256(b'gamma').hexdigest()}"
    assert reads.names.count("a") == 2


async def test_what_was_learned_right_before_the_end_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the thread that writes had no turn yet, on a busy machine."""
    monkeypatch.setattr(contents, "every_write_shows", lambda *_: True)
    reads = Reads(monkeypatch)

    class Late(threading.Thread):
        """Begins when somebody waits for its end."""

        def start(self) -> None:
            """Do nothing yet."""

        def join(self, timeout: float | None = None) -> None:
            """Begin, and wait."""
            super().start()
            super().join(timeout)

    root, kept = tree(tmp_path / "root"), tmp_path / "kept.db"
    for kind in (Late, threading.Thread):
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Thread", kind)
            found = Contents(kept)
        descriptor = os.open(root / "a", os.O_RDONLY)
        found.learn("a", descriptor, os.fstat(descriptor))
        os.close(descriptor)
        found.close()
    assert reads.names == ["a"]


async def test_a_file_that_may_change_without_a_trace_is_read_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is kept of it."""
    monkeypatch.setattr(contents, "every_write_shows", lambda *_: False)
    reads = Reads(monkeypatch)
    async with aclosing(LocalStore(tree(tmp_path / "root"), contents=Contents())) as store:
        assert (await store.stat("a")).revision == (await store.stat("a")).revision
    assert reads.names == ["a", "a"]


@pytest.mark.usefixtures("steady")
async def test_callers_that_ask_for_one_file_wait_for_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten clients that open a file at the same time have it read once for its revision; one that leaves stops nobody."""
    reads = Reads(monkeypatch)
    async with aclosing(LocalStore(tree(tmp_path / "root"), contents=Contents())) as store:
        opening = [asyncio.create_task(store.open("large")) for _ in range(10)]
        await asyncio.sleep(0)
        opening[0].cancel()
        files = await asyncio.gather(*opening, return_exceptions=True)
        for file in files[1:]:
            assert not isinstance(file, BaseException)
            await file.aclose()
        assert isinstance(files[0], asyncio.CancelledError)
        with pytest.raises(FileChangedError):
            await store.open("large", "sha256-of-something-else")
    assert 1 <= reads.names.count("large") <= 2


@pytest.mark.usefixtures("steady")
async def test_a_file_that_changes_while_it_is_read_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening it is an error, and it is listed at a revision that it is not at when it is opened."""
    root = tree(tmp_path / "root")
    hashing = hashlib.sha256

    def changing(*arguments: bytes, **_: bool) -> object:
        overwrite(root / "a", b"other")
        return hashing(*arguments, usedforsecurity=False)

    async with aclosing(LocalStore(root, contents=Contents())) as store:
        with monkeypatch.context() as patch:
            patch.setattr(hashlib, "sha256", changing)
            with pytest.raises(FileChangedError, match="changed while it was read for its revision"):
                await store.open("a")
            revisions = {name: info.revision for name, info in (await listing(store)).items()}
        assert not revisions["a"].startswith("sha256")
        assert (await store.stat("a")).revision.startswith("sha256")


@pytest.mark.usefixtures("steady")
async def test_one_database_is_enough(tmp_path: Path) -> None:
    """The file of checksums of a server keeps revisions too, whichever is there first; another program's file is refused."""
    root = tree(tmp_path / "root")
    for first in (True, False):
        path = tmp_path / f"{first}.db"
        kept = KeptChecksums(path) if first else None
        async with aclosing(LocalStore(root, contents=Contents(path))) as store:
            await store.stat("a")
        kept = kept or KeptChecksums(path)
        kept.put(Row("a", "r", 1, None))
        kept.close()
        KeptChecksums(path).close()
        Contents(path).close()
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE theirs (x)")
    with pytest.raises(InvalidRequestError, match=r"foreign\.db: cannot be used"):
        open_store(str(root), revision="content", checksums=foreign)


@pytest.mark.usefixtures("steady")
async def test_a_damaged_row_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row whose own checksum is wrong, or a database that fails, costs another read and nothing else."""
    reads = Reads(monkeypatch)
    root, path = tree(tmp_path / "root"), tmp_path / "kept.db"
    for damage in (None, "UPDATE contents SET sha256 = zeroblob(32)", "DROP TABLE contents"):
        book = Contents(path)
        if damage is not None:
            with sqlite3.connect(path) as database:
                database.execute(damage)
        async with aclosing(LocalStore(root, contents=book)) as store:
            assert (await store.stat("a")).revision == f"sha256-{hashlib.sha256(b'alpha').hexdigest()}"
            assert (await store.stat("a")).crc32c == crc32c(b"alpha")
    assert reads.names == ["a"] * 4  # the last store has lost its database


@pytest.mark.usefixtures("steady")
async def test_the_database_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are too many rows, those that were written first go."""
    monkeypatch.setattr(contents, "_MOST", 2)
    monkeypatch.setattr(contents, "_PRUNE_EVERY", 1)
    path = tmp_path / "kept.db"
    async with aclosing(LocalStore(tree(tmp_path / "root"), contents=Contents(path))) as store:
        await all_of(store)
    with sqlite3.connect(path) as database:
        (rows,) = database.execute("SELECT count(*) FROM contents").fetchone()
    assert rows <= 4
    Contents(path).close()


async def test_an_object_store_has_revisions_of_its_own() -> None:
    """Revisions made of the content are for directories."""
    with pytest.raises(InvalidRequestError, match="has revisions of its own"):
        open_store("memory:///", revision="content")
