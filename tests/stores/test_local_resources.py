"""Resources of the local store: no descriptor stays open or is closed too early, and no stream waits for another."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from stores.disk import Stuck, descriptors_below, overwrite, until
from unspool.core.model import ListRequest, Span
from unspool.errors import FileChangedError, OverloadedError, ServerError, UnspoolError
from unspool.stores import LocalStore, local
from unspool.testing.stock import BYTES, listed, read, read_file

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open descriptors are counted in /proc")

WHOLE = Span(0, len(BYTES))


@pytest.fixture
def tree(root: Path) -> Path:
    """A root with files of all kinds."""
    for name in ("a.bin", "b.bin", "dir/c.bin", "dir/sub/d.bin"):
        overwrite(root / name, BYTES)
    os.mkfifo(root / "fifo")
    for link, target in {"link": "dir/c.bin", "out": "../x", "self": "self", "up": "dir/../dir/sub/../c.bin"}.items():
        (root / link).symlink_to(target)
    return root


async def only_the_root_is_open(tree: Path) -> None:
    """Wait until only the root itself is open, once; fail if that does not happen."""
    with suppress(TimeoutError):
        await until(lambda: descriptors_below(tree) == [str(tree)], seconds=10)
    assert descriptors_below(tree) == [str(tree)]


async def test_answers_and_errors_leave_nothing_open(tree: Path, store: LocalStore) -> None:
    """After any mix of answers and errors, only the root is open."""
    for name in ("a.bin", "link", "up", "fifo", "dir", "out", "self", "missing", "dir/missing", "a.bin/x", "", "x" * 256):
        for asking in (store.stat(name), read_file(store, name), listed(store, name), listed(store, name, recursive=False)):
            with suppress(UnspoolError):
                await asking
    await only_the_root_is_open(tree)


@pytest.mark.usefixtures("either_way")
async def test_failing_reads_leave_nothing_open(tree: Path, store: LocalStore) -> None:
    """A file whose reading ended with an error is closed like any other."""
    for _ in range(20):
        async with aclosing(await store.open("a.bin")) as file:
            overwrite(tree / "a.bin", BYTES)
            with pytest.raises(FileChangedError):
                await read(file)
    await only_the_root_is_open(tree)


async def test_a_system_out_of_descriptors_leaves_nothing_open(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If any call that opens something fails, everything opened before it is closed."""
    for call in ("open", "fstat", "scandir", "stat"):
        real = getattr(os, call)
        for failing in range(8):
            calls = iter(range(100))

            def fail(*arguments: Any, _real: Any = real, _calls: Any = calls, _failing: int = failing, **keywords: Any) -> Any:
                if next(_calls) == _failing:
                    raise OSError(24, os.strerror(24))
                return _real(*arguments, **keywords)

            for asking in (read_file(store, "dir/sub/d.bin"), listed(store)):
                with monkeypatch.context() as patched, suppress(OverloadedError):
                    patched.setattr(os, call, fail)
                    await asking
    await only_the_root_is_open(tree)


@pytest.mark.usefixtures("either_way")
async def test_abandoned_work_leaves_nothing_open(tree: Path, store: LocalStore) -> None:
    """Whatever is cancelled, at any step, leaves nothing open once its threads have ended."""

    async def leave_open() -> None:
        file = await store.open("dir/sub/d.bin")
        try:
            await read(file, block_size=100)
        finally:
            await file.aclose()

    def work() -> list[Coroutine[Any, Any, object]]:
        return [leave_open(), store.stat("dir/c.bin"), listed(store, page_size=1)]

    for steps in range(40):
        tasks = [asyncio.ensure_future(begun) for begun in work()]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await only_the_root_is_open(tree)


async def test_a_listing_that_is_left_closes_its_directories(tree: Path, store: LocalStore) -> None:
    """A listing that is closed after any of its pages leaves no directory open."""
    for pages_taken in range(5):
        pages = store.list(ListRequest(recursive=True, page_size=1))
        for _ in range(pages_taken):
            await anext(pages)
        await pages.aclose()
    await only_the_root_is_open(tree)


async def test_a_listing_that_is_cancelled_while_the_disk_is_stuck_closes_its_directories(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that is cancelled in the middle of a page ends at once; its directories are closed when the disk answers."""
    stuck = Stuck(monkeypatch, "open", lambda path, *_, **__: path == "sub")
    listing = asyncio.ensure_future(listed(store))
    await stuck.until_reached()
    listing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listing
    assert len(descriptors_below(tree)) > 1
    stuck.release()
    await only_the_root_is_open(tree)


async def test_a_file_that_nobody_waits_for_any_more_is_closed(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An `open` that is cancelled while the disk does not answer ends at once; the file that is opened later is closed."""
    stuck = Stuck(monkeypatch, "open", lambda path, *_, **__: path == "c.bin")
    opening = asyncio.ensure_future(store.open("dir/c.bin"))
    await stuck.until_reached()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    stuck.release()
    await only_the_root_is_open(tree)


@pytest.mark.usefixtures("cold")
async def test_a_stuck_disk_keeps_only_its_own_stream_waiting(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk of one file does not answer, other files are opened, read and listed, and the event loop runs."""
    inode = (tree / "a.bin").stat().st_ino
    stuck = Stuck(monkeypatch, "pread", lambda descriptor, *_: os.fstat(descriptor).st_ino == inode)
    waiting = asyncio.ensure_future(read_file(store, "a.bin"))
    await stuck.until_reached()
    assert (await read_file(store, "b.bin"))[1] == BYTES
    assert set((await listed(store, "dir"))[0]) == {"dir/c.bin", "dir/sub/d.bin"}
    assert not waiting.done()
    stuck.release()
    assert (await waiting)[1] == BYTES


@pytest.mark.parametrize("call", ["open", "stat", "fstat", "dup", "readlink", "scandir", "close"])
@pytest.mark.usefixtures("either_way")
async def test_every_call_of_the_file_system_leaves_the_event_loop_alone(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whichever call the disk does not answer, it is not made on the event loop, and the work completes once it answers.

    One call is an exception: after bytes in memory were read, the status of their descriptor, which is in memory too.
    """
    event_loop = threading.get_ident()
    on_the_loop: list[object] = []
    in_memory: list[int] = []
    read_at_once = os.preadv

    def preadv(descriptor: int, *rest: Any) -> int:
        count = read_at_once(descriptor, *rest)
        in_memory.append(descriptor)
        return count

    def waits(what: object, *_: object, **__: object) -> bool:
        if threading.get_ident() != event_loop:
            return True
        if call == "fstat" and what in in_memory:
            in_memory.remove(what)
        else:
            on_the_loop.append(what)
        return False

    monkeypatch.setattr(os, "preadv", preadv)
    stuck = Stuck(monkeypatch, call, waits)
    work = asyncio.gather(read_file(store, "link"), listed(store))
    await stuck.until_reached()
    stuck.release()
    (_, data), (files, _) = await work
    assert on_the_loop == []
    assert data == BYTES
    assert "dir/sub/d.bin" in files


@pytest.mark.usefixtures("cold")
async def test_a_descriptor_is_not_closed_under_a_thread(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is closed while threads read from it keeps its descriptor until the last of them has ended."""
    file = await store.open("a.bin")
    stuck = Stuck(monkeypatch, "pread")
    readers = [asyncio.ensure_future(read(file, Span(at, at + 10))) for at in (0, 100)]
    await stuck.until_reached()
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await file.aclose()
    assert str(tree / "a.bin") in descriptors_below(tree)
    stuck.release()
    await only_the_root_is_open(tree)


@pytest.mark.usefixtures("cold")
async def test_a_read_left_behind_keeps_the_descriptor(tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that was left while it reads ahead still counts as reading, even after another read."""
    file = await store.open("a.bin")
    stuck = Stuck(monkeypatch, "pread", lambda _, size, offset: offset == 100)
    async with aclosing(file.read(WHOLE, lambda _: 100)) as runs:
        await anext(runs)
        await stuck.until_reached()
    assert await read(file, Span(500, 900)) == BYTES[500:900]
    await file.aclose()
    await store.stat("b.bin")
    assert str(tree / "a.bin") in descriptors_below(tree)
    stuck.release()
    await only_the_root_is_open(tree)


async def test_the_root_is_not_closed_under_a_walk(tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is closed while a thread begins a walk keeps its root open until the walk has its own descriptor."""
    stuck = Stuck(monkeypatch, "dup")
    asking = asyncio.ensure_future(store.stat("dir/c.bin"))
    await stuck.until_reached()
    await store.aclose()
    assert descriptors_below(tree) == [str(tree)]
    stuck.release()
    assert (await asking).size == len(BYTES)
    await until(lambda: descriptors_below(tree) == [])


@pytest.mark.usefixtures("either_way")
async def test_a_closed_store_says_so(tree: Path, store: LocalStore) -> None:
    """After a store was closed, every call to it and to its open files raises an error of unspool."""
    file = await store.open("a.bin")
    runs = file.read(WHOLE, lambda _: 100)
    await anext(runs)
    pages = store.list(ListRequest(recursive=True, page_size=1))
    await anext(pages)
    await store.aclose()
    for asking in (store.stat("a.bin"), store.open("a.bin"), listed(store), read(file), anext(pages)):
        with pytest.raises(ServerError, match="closed"):
            await asking
    with pytest.raises(ServerError, match="closed"):
        async for _ in runs:
            pass
    await file.aclose()
    await until(lambda: descriptors_below(tree) == [])


async def test_work_that_waits_for_a_thread_is_not_lost_when_the_store_closes(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that waits for a thread when the store is closed ends with an error of unspool, not with a cancellation."""
    monkeypatch.setattr(local, "_THREADS", 1)
    store = LocalStore(tree)
    stuck = Stuck(monkeypatch, "fstat")
    work: list[asyncio.Future[Any]] = [asyncio.ensure_future(store.stat("a.bin"))]
    await stuck.until_reached()
    work += [asyncio.ensure_future(read_file(store, "b.bin")), asyncio.ensure_future(listed(store))]
    await asyncio.sleep(0)
    await store.aclose()
    stuck.release()
    answers = await asyncio.gather(*work, return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["FileInfo", "ServerError", "ServerError"]
    await until(lambda: descriptors_below(tree) == [])
