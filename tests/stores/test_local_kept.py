"""Files that are kept open for the next read: what is read is what the name leads to now, and nothing stays open for long."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from stores.disk import descriptors_below, overwrite, replace, until
from unspool.core.model import Span
from unspool.errors import NotAFileError, NotFoundError, OutsideRootError, UnspoolError
from unspool.stores import LocalStore, keptfiles, localfile
from unspool.stores.localfile import LocalFile
from unspool.testing.stock import BYTES, good, read_file

OTHER = bytes(byte ^ 0xFF for byte in BYTES)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened."""
    names: list[str] = []
    real = LocalStore._open

    def noted(self: LocalStore, name: str, *more: object) -> LocalFile:
        names.append(name)
        return real(self, name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalStore, "_open", noted)
    monkeypatch.setattr(localfile, "every_write_shows", lambda *_: True)
    return names


@pytest.fixture
def tree(root: Path) -> Path:
    """A directory with two files whose change would show."""
    for name in ("a", "dir/b"):
        overwrite(root / name, BYTES)
    return root


async def spans(store: LocalStore, *wanted: tuple[str, int, int]) -> list[bytes | UnspoolError]:
    """Return the bytes of each span, or its error, in as many calls as it takes."""
    answers: list[bytes | UnspoolError] = []
    while len(answers) < len(wanted):
        more = await store.read_spans(wanted[len(answers) :], 1 << 20)
        answers += [one if isinstance(one, UnspoolError) else good(one)[1] for one in more]
    return answers


async def until_a_write_shows(store: LocalStore) -> None:
    """Read all files, which waits until a write would show, and again, which keeps them."""
    for name in ("a", "dir/b") * 2:
        await read_file(store, name)


async def test_a_file_is_opened_once(tree: Path, store: LocalStore, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads, spans and stats that follow a read of a file use the open file, and no thread."""
    await until_a_write_shows(store)
    opened.clear()
    submitted: list[object] = []
    monkeypatch.setattr(store._threads, "submit", submitted.append)
    for name in ("a", "dir/b", "a"):
        assert (await read_file(store, name))[1] == BYTES
        assert await spans(store, (name, 1, 2), (name, 3, 4)) == [BYTES[1:3], BYTES[3:7]]
        assert (await store.stat(name)).name == name
    assert opened == []
    assert submitted == []


@pytest.mark.parametrize("name", ["a", "dir/b"])
async def test_what_has_changed_is_opened_again(tree: Path, store: LocalStore, opened: list[str], name: str) -> None:
    """A file that was overwritten, replaced or touched is found at its new revision; a removed one is not found."""
    await until_a_write_shows(store)
    before = (await store.stat(name)).revision
    overwrite(tree / name, OTHER)
    assert await spans(store, (name, 1, 2), (name, 3, 4)) == [OTHER[1:3], OTHER[3:7]]
    assert (await store.stat(name)).revision != before
    await read_file(store, name)
    replace(tree / name, BYTES)
    assert (await read_file(store, name))[1] == BYTES
    os.utime(tree / name, ns=(1, 1))
    assert (await store.stat(name)).attributes.modified_ns == 1
    await read_file(store, name)
    (tree / name).unlink()
    with pytest.raises(NotFoundError):
        await store.open(name)
    assert isinstance((await spans(store, (name, 1, 2)))[0], NotFoundError)


async def test_the_way_to_a_file_is_looked_at_each_time(tree: Path, store: LocalStore, opened: list[str]) -> None:
    """A directory on the way that is moved out, or becomes a link that leads out, ends the file's being served at once."""
    await until_a_write_shows(store)
    (tree / "dir").rename(tree.parent / "moved")
    with pytest.raises(NotFoundError):
        await store.open("dir/b")
    (tree / "dir").symlink_to(tree.parent / "moved")
    with pytest.raises(OutsideRootError):
        await store.stat("dir/b")
    (tree / "dir").unlink()
    (tree.parent / "moved").rename(tree / "dir")
    await read_file(store, "dir/b")
    (tree / "dir" / "b").unlink()
    (tree / "dir" / "b").mkdir()
    with pytest.raises(NotAFileError):
        await store.open("dir/b")


async def test_nothing_is_kept_for_long(
    tree: Path, store: LocalStore, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is closed a moment after its last read, and when others take its place; a running read is not disturbed."""
    monkeypatch.setattr(keptfiles, "MOMENT", 0.02)
    await until_a_write_shows(store)
    await until(lambda: descriptors_below(tree) == [str(tree)])
    monkeypatch.setattr(keptfiles, "MOST", 1)
    async with aclosing(await store.open("a")) as file:
        await until_a_write_shows(store)
        assert str(tree / "dir" / "b") in descriptors_below(tree)
        async with aclosing(file.read(Span(0, 9), lambda _: 9)) as runs:
            assert [bytes(run) async for run in runs] == [BYTES[:9]]
    await until(lambda: descriptors_below(tree) == [str(tree)])


async def test_a_store_that_is_closed_keeps_nothing(tree: Path, opened: list[str]) -> None:
    """Closing the store closes what it keeps, and a file that is closed afterwards is closed indeed."""
    store = LocalStore(tree)
    await until_a_write_shows(store)
    file = await store.open("a")
    await store.aclose()
    await file.aclose()
    await file.aclose()
    await until(lambda: descriptors_below(tree) == [])


async def test_a_file_of_which_a_write_may_not_show_is_not_kept(
    tree: Path, store: LocalStore, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that somebody may be writing without a trace is opened, and looked at, for each read."""
    monkeypatch.setattr(localfile, "every_write_shows", lambda *_: False)
    for _ in range(2):
        await until_a_write_shows(store)
        async with aclosing(await store.open("a")) as file:
            assert not await file.steady()
    assert opened == ["a", "dir/b", "a", "dir/b", "a"] * 2


async def test_spans_that_are_not_in_memory_are_read_by_a_thread(
    tree: Path, store: LocalStore, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the page cache has not the bytes, a thread reads all spans that fit; one span of a file opens it for no other."""
    await until_a_write_shows(store)
    overwrite(tree / "a", OTHER)
    await asyncio.sleep(0)
    monkeypatch.setattr(LocalFile, "read_in_memory", lambda *_: None)
    assert await spans(store, ("a", 1, 2), ("a", 3, 4), ("dir/b", 0, 1), ("a", 9, 0)) == [
        OTHER[1:3],
        OTHER[3:7],
        BYTES[:1],
        b"",
    ]
