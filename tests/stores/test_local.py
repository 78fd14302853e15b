"""A directory as a store follows the contract; the descriptions of its files, and errors of its root."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path

import pytest

from stores.disk import descriptors_below, overwrite, replace
from unspool.core.model import Span
from unspool.errors import InvalidRequestError, NotFoundError, UnreachableError
from unspool.stores import LocalStore, open_store
from unspool.testing.stock import BYTES, Stock, listed, read, read_file
from unspool.testing.storecontract import StoreContract


@asynccontextmanager
async def stocked(directory: Path, change: Callable[[Path, bytes], None]) -> AsyncIterator[Stock]:
    """Open an empty directory as a store."""
    root = directory / "root"
    root.mkdir()
    store = LocalStore(root, hidden=True)
    yield Stock(store, put=lambda name, data: change(root / name, data), remove=lambda name: (root / name).unlink())
    await store.aclose()


class TestLocalStore(StoreContract):
    """The contract, for files that are overwritten in place."""

    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """See `StoreContract.stocked`."""
        return stocked(directory, overwrite)


class TestLocalStoreOfReplacedFiles(StoreContract):
    """The contract, for files that are replaced by renaming."""

    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """See `StoreContract.stocked`."""
        return stocked(directory, replace)


@pytest.mark.usefixtures("cold")
class TestLocalStoreOfFilesOnADisk(StoreContract):
    """The contract, for files that are not in memory: threads read them, one run ahead."""

    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """See `StoreContract.stocked`."""
        return stocked(directory, overwrite)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.txt", "text/plain"),
        ("dir.txt/a", ""),
        ("A.JSON", "application/json"),
        ("a.unheard-of", ""),
        (".html", ""),
        ("data:text/html,a", ""),
        ("a.tar", "application/x-tar"),
        ("a.tar.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.csv.bz2", "application/x-bzip2"),
        ("a.xz", "application/x-xz"),
        ("a.Z", ""),
    ],
)
async def test_the_content_type_is_that_of_the_bytes(root: Path, name: str, content_type: str) -> None:
    """The content type follows from the name's ending, and is that of the file itself, not of the contents of an archive."""
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(b"")
    async with aclosing(LocalStore(root, hidden=True)) as store:
        assert (await store.stat(name)).attributes.content_type == content_type


@pytest.mark.parametrize(("mode", "executable"), [(0o644, False), (0o755, True), (0o500, True), (0o655, False)])
async def test_a_file_is_executable_if_its_owner_may_run_it(
    root: Path, store: LocalStore, mode: int, *, executable: bool
) -> None:
    """The owner's executable bit decides, in a listing too."""
    (root / "tool").write_bytes(b"#!")
    (root / "tool").chmod(mode)
    assert (await store.stat("tool")).attributes.executable is executable
    assert (await listed(store))[0]["tool"].attributes.executable is executable


@pytest.mark.parametrize("modified_ns", [0, 1, 1_700_000_000_123_456_789, -1_000_000_001])
async def test_the_modified_time_is_the_files(root: Path, store: LocalStore, modified_ns: int) -> None:
    """The modification time is exact to the nanosecond, also before 1970."""
    (root / "a").write_bytes(b"")
    os.utime(root / "a", ns=(0, modified_ns))
    info = await store.stat("a")
    assert info.attributes.modified_ns == (root / "a").stat().st_mtime_ns == modified_ns


async def test_offsets_beyond_4_gib_are_exact(root: Path, store: LocalStore) -> None:
    """Bytes beyond 4 GiB, and across that edge, are read from the right offsets."""
    size, edge = 5 << 30, 4 << 30
    with (root / "large").open("wb") as file:
        file.truncate(size)
        for offset in (edge - 1000, size - 1000):
            file.seek(offset)
            file.write(BYTES[:1000])
        file.seek(edge)
        file.write(BYTES[:500])
    async with aclosing(await store.open("large")) as large:
        assert large.info.size == size
        assert await read(large, Span(edge - 1000, edge + 500), 400) == BYTES[:1000] + BYTES[:500]
        assert await read(large, Span(edge + 250, edge + 600), 1000) == BYTES[250:500] + bytes(100)
        assert await read(large, Span(size - 1000, size), 1 << 20) == BYTES[:1000]


async def test_the_root_is_what_it_was_when_it_was_opened(tmp_path: Path) -> None:
    """A store keeps using the directory that it opened, even if another one has its path later."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"old")
    store = LocalStore(tmp_path / "root")
    (tmp_path / "root").rename(tmp_path / "moved")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"new")
    assert (await read_file(store, "a"))[1] == b"old"
    await store.aclose()


async def test_a_root_that_was_removed_is_no_empty_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the directory is removed, its files are unavailable, even if another one has its path: no listing is empty."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"old")
    store = LocalStore(tmp_path / "root")
    shutil.rmtree(tmp_path / "root")
    (tmp_path / "root").mkdir()
    for asking in (listed(store), store.stat("a"), store.open("a")):
        with pytest.raises(UnreachableError, match="was removed: the server must be restarted"):
            await asking
    (small,) = await store.read_small(["a"], 10)
    (span,) = await store.read_spans([("a", 0, 1)], 10)
    assert isinstance(small, UnreachableError)
    assert isinstance(span, UnreachableError)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'root'}, which is served, was removed: restart the server"
    ]
    await store.aclose()


async def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    """The root may be given by a symbolic link: only links below the root are checked."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"inside")
    (tmp_path / "link").symlink_to(tmp_path / "root")
    store = LocalStore(tmp_path / "link")
    assert (await read_file(store, "a"))[1] == b"inside"
    await store.aclose()


def test_a_root_that_is_no_directory_is_said_to_be_none(tmp_path: Path) -> None:
    """A missing root and a file as root are different errors; neither leaves a file open."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotFoundError, match="missing: no such directory"):
        LocalStore(tmp_path / "missing")
    with pytest.raises(NotFoundError, match="file: is not a directory"):
        LocalStore(tmp_path / "file")
    assert descriptors_below(tmp_path) == []


@pytest.mark.parametrize("prefix", ["", "file://"])
async def test_a_directory_is_opened_by_path_or_url(root: Path, prefix: str) -> None:
    """A store is given by a directory's path, or by the same after file://."""
    (root / "a").write_bytes(b"x")
    store = open_store(f"{prefix}{root}")
    assert (await store.stat("a")).size == 1
    await store.aclose()


def test_there_is_no_store_of_an_unknown_kind() -> None:
    """An unknown kind of store is an error that says so."""
    with pytest.raises(InvalidRequestError, match="'ftp'"):
        open_store("ftp://bucket/key")
