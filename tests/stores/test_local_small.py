"""Small files of a directory, many at a time: each follows the rules for a file that is opened alone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stores.disk import Stuck, descriptors_below, overwrite, replace, until
from unspool.errors import (
    DataLossError,
    FileChangedError,
    NotAFileError,
    NotFoundError,
    OutsideRootError,
    PermissionDeniedError,
    ServerError,
    UnspoolError,
)
from unspool.stores import LocalStore, localfile, localsmall
from unspool.stores.base import SmallFile
from unspool.testing.stock import BYTES, good, read_all_small

OTHER = bytes(byte ^ 0xFF for byte in BYTES)
MUCH = 1 << 20


@pytest.fixture
def tree(root: Path) -> Path:
    """A directory with files in two directories, and a file beside it that is not served."""
    for name in ("a", "b", "dir/a", "dir/b", "dir/sub/a"):
        overwrite(root / name, name.encode())
    overwrite(root.parent / "elsewhere" / "a", b"secret")
    return root


async def texts(store: LocalStore, *names: str, most: int = MUCH) -> list[str]:
    """Return the answer for each name: the text, or the error's class."""
    answers = await store.read_small(names, most)
    return [type(each).__name__ if isinstance(each, UnspoolError) else good(each)[1].decode() for each in answers]


async def test_directories_are_changed_as_the_names_do(tree: Path, store: LocalStore) -> None:
    """Names of several directories, in any order, each lead to their own file, although a directory is kept open."""
    names = ["dir/a", "dir/b", "a", "dir/sub/a", "b", "dir/a", "a"]
    assert await texts(store, *names) == names


async def test_links_are_followed_below_the_root_only(tree: Path, store: LocalStore) -> None:
    """Links to files and directories are followed; one that leads out is refused, and so are names below it."""
    (tree / "to-file").symlink_to("dir/b")
    (tree / "dir" / "up").symlink_to("../a")
    (tree / "to-dir").symlink_to("dir/sub")
    (tree / "to-nothing").symlink_to("nothing")
    (tree / "round").symlink_to("round")
    (tree / "out").symlink_to("../elsewhere/a")
    (tree / "out-dir").symlink_to("../elsewhere")
    (tree / "absolute").symlink_to(tree / "a")
    names = ["to-file", "dir/up", "to-dir/a", "to-dir", "to-nothing", "round", "out", "out-dir/a", "absolute", "dir/a"]
    assert await texts(store, *names) == [
        "dir/b",
        "a",
        "dir/sub/a",
        NotAFileError.__name__,
        NotFoundError.__name__,
        NotFoundError.__name__,
        OutsideRootError.__name__,
        OutsideRootError.__name__,
        OutsideRootError.__name__,
        "dir/a",
    ]


async def test_what_is_no_regular_file_is_not_opened(tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO, whose opening might hang or be noticed by others, is refused before it is opened."""
    os.mkfifo(tree / "fifo")
    opened: list[Any] = []
    real = os.open

    def noted(path: Any, *rest: Any, **keywords: Any) -> int:
        opened.append(path)
        return real(path, *rest, **keywords)

    monkeypatch.setattr(os, "open", noted)
    assert await texts(store, "fifo", "a") == [NotAFileError.__name__, "a"]
    assert "a" in opened
    assert "fifo" not in opened


async def test_a_file_that_becomes_a_link_is_not_followed(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replacement between the check and the opening is not followed out of the root."""
    real = os.stat

    def look_and_replace(path: Any, **keywords: Any) -> os.stat_result:
        status = real(path, **keywords)
        if path == "b":
            (tree / "dir" / "b").unlink()
            (tree / "dir" / "b").symlink_to("../../elsewhere/a")
        return status

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", look_and_replace)
        assert await texts(store, "dir/a", "dir/b") == ["dir/a", NotFoundError.__name__]
    assert await texts(store, "dir/b") == [OutsideRootError.__name__]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_what_may_not_be_read_is_refused(tree: Path, store: LocalStore) -> None:
    """A file without permission is an error of its own."""
    (tree / "a").chmod(0)
    assert await texts(store, "a", "b") == [PermissionDeniedError.__name__, "b"]


CHANGES: dict[str, tuple[Callable[[Path], object], type[UnspoolError] | None]] = {
    "overwritten": (lambda path: overwrite(path, OTHER), FileChangedError),
    "truncated": (lambda path: os.truncate(path, 5), FileChangedError),
    "grown": (lambda path: overwrite(path, BYTES + b"!"), FileChangedError),
    "replaced": (lambda path: replace(path, OTHER), None),
    "removed": (Path.unlink, None),
}


@pytest.mark.parametrize(("change", "kind"), CHANGES.values(), ids=CHANGES)
async def test_a_change_under_the_reading_never_mixes_two_versions(
    tree: Path,
    store: LocalStore,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    kind: type[UnspoolError] | None,
) -> None:
    """A change between the opening and the end of the reading is an error, or returns the old bytes if they are complete."""
    overwrite(tree / "dir" / "a", BYTES)
    before = await store.stat("dir/a")
    real = os.pread

    def change_and_read(descriptor: int, size: int, offset: int) -> bytes:
        if size == len(BYTES):
            change(tree / "dir" / "a")
        return real(descriptor, size, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", change_and_read)
        first, second = await read_all_small(store, ["dir/a", "dir/b"], MUCH)  # a busy machine may need a moment for the first
    assert good(second)[1] == b"dir/b"
    if kind is None:
        assert good(first) == (before, BYTES)
    else:
        assert type(first) is kind


async def test_the_first_read_waits_until_a_write_would_show(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has just changed is not read within the same tick of the file system's clock; an old one is read at once."""
    ages: list[int] = []
    slept: list[float] = []
    real_read, real_sleep = os.pread, time.sleep

    def noted(descriptor: int, size: int, offset: int) -> bytes:
        ages.append(time.time_ns() - os.fstat(descriptor).st_ctime_ns)
        return real_read(descriptor, size, offset)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        real_sleep(seconds)

    monkeypatch.setattr(os, "pread", noted)
    monkeypatch.setattr(time, "sleep", sleep)
    overwrite(tree / "a", BYTES)
    assert good((await store.read_small(["a"], MUCH))[0])[1] == BYTES
    assert min(ages) >= 20_000_000
    slept.clear()
    await store.read_small(["a", "dir/a", "dir/b"], MUCH)
    assert slept == []


async def test_bytes_that_are_missing_are_a_loss(tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with fewer bytes than its size is an error; short reads are continued."""
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: real(descriptor, min(size, 2), offset))
    assert await texts(store, "dir/a") == ["dir/a"]
    monkeypatch.setattr(
        os, "pread", lambda descriptor, size, offset: real(descriptor, min(size, 2), offset) if not offset else b""
    )
    assert await texts(store, "dir/a", "a") == [DataLossError.__name__, "a"]


async def test_a_file_that_grows_beyond_the_room_is_not_read(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has grown between the check and the opening is left to `open`: it is not read beyond the limit."""
    reads: list[int] = []
    real_stat, real_read = os.stat, os.pread

    def look_and_grow(path: Any, **keywords: Any) -> os.stat_result:
        status = real_stat(path, **keywords)
        if path == "a":
            overwrite(tree / "a", bytes(100))
        return status

    def noted(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(size)
        return real_read(descriptor, size, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", look_and_grow)
        patched.setattr(os, "pread", noted)
        assert await texts(store, "b", "a", "b", most=99) == ["b"]
        assert await texts(store, "a", "b", most=99) == []
    assert reads == [1]


async def test_nobody_waits_long_for_the_first_files(tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time limit, the files read so far are returned: a slow disk does not delay the first files for the last."""
    monkeypatch.setattr(localsmall, "_MOMENT", 0.0)
    assert await texts(store, "a", "b") == ["a"]
    assert await texts(store, "missing", "b") == [NotFoundError.__name__]


async def test_nothing_stays_open(tree: Path, store: LocalStore) -> None:
    """Whatever happens to the files, no descriptor of them or of their directories stays open."""
    (tree / "out").symlink_to("../elsewhere/a")
    await store.read_small(["a", "missing", "dir/a", "missing/a", "out", "../a", "dir", "dir/sub/a", "dir/b"], MUCH)
    await store.read_small(["dir/a", "dir/sub/a"], 1)
    assert descriptors_below(tree) == [str(tree)]


async def test_a_store_that_is_closed_meanwhile(tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """On close, a running read may finish or ends with errors of unspool; a later one is refused; nothing stays open."""
    monkeypatch.setattr(localsmall, "_MOMENT", 60.0)  # or on a busy machine only the first file is read
    stuck = Stuck(monkeypatch, "pread")
    answers: list[SmallFile] = []

    async def reading() -> None:
        answers.extend(await store.read_small(["dir/a", "dir/b", "a"], MUCH))

    task = asyncio.ensure_future(reading())
    await stuck.until_reached()
    await store.aclose()
    stuck.release()
    await task
    assert good(answers[0])[1] == b"dir/a"
    assert [isinstance(answer, ServerError) or good(answer)[1] for answer in answers[1:]] == [b"dir/b", True]
    with pytest.raises(ServerError, match="closed"):
        await store.read_small(["a"], MUCH)
    await until(lambda: descriptors_below(tree) == [])


async def test_who_is_cancelled_waits_for_no_thread(tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read whose caller was cancelled ends by itself and leaves nothing open."""
    stuck = Stuck(monkeypatch, "pread")
    task = asyncio.ensure_future(store.read_small(["dir/a", "dir/b"], MUCH))
    await stuck.until_reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stuck.release()
    await until(lambda: descriptors_below(tree) == [str(tree)])


# Spans that are not in memory


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in the page cache."""
    monkeypatch.setattr(localfile.LocalFile, "read_in_memory", lambda *_: None)


async def spans(store: LocalStore, *wanted: tuple[str, int, int]) -> list[str]:
    """Return the answer for each span: the text, or the error's class."""
    answers = await store.read_spans(wanted, MUCH)
    return [type(each).__name__ if isinstance(each, UnspoolError) else good(each)[1].decode() for each in answers]


@pytest.mark.usefixtures("uncached")
async def test_spans_lead_to_their_own_files(tree: Path, store: LocalStore) -> None:
    """Spans of several files, in any order, with links and missing ones between, are each of their own file."""
    (tree / "to-file").symlink_to("dir/b")
    (tree / "out").symlink_to("../elsewhere/a")
    wanted = [("dir/a", 0, 3), ("dir/a", 4, 9), ("to-file", 4, 1), ("missing", 0, 1), ("out", 0, 9), ("dir", 0, 1), ("a", 0, 1)]
    errors = [NotFoundError.__name__, OutsideRootError.__name__, NotAFileError.__name__]
    assert await spans(store, *wanted) == ["dir", "a", "b", *errors, "a"]
    assert descriptors_below(tree) == [str(tree)]


@pytest.mark.usefixtures("uncached")
async def test_spans_of_one_file_open_it_once(tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file stays open between its spans; a span without bytes is not read."""
    opened: list[str] = []
    real = localfile.open_regular

    def noted(name: str, *more: Any) -> int:
        opened.append(name)
        return real(name, *more)

    monkeypatch.setattr(localsmall, "open_regular", noted)
    assert await spans(store, *[("dir/a", at, 1) for at in range(9)], ("b", 0, 0), ("dir/a", 0, 1)) == [
        *"dir/a",
        *[""] * 5,
        "d",
    ]
    assert opened == ["dir/a", "b", "dir/a"]


@pytest.mark.usefixtures("uncached")
@pytest.mark.parametrize("change", [overwrite, replace])
async def test_a_file_that_changes_between_two_spans(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, bytes], None]
) -> None:
    """A span of a file overwritten meanwhile is FILE_CHANGED, and the next is of the new file; a replaced one goes on."""
    overwrite(tree / "a", BYTES)
    await spans(store, ("a", 0, 1))  # from here on a write shows
    real, reads = os.pread, 0

    def change_before_the_second(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 2:
            change(tree / "a", OTHER)
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", change_before_the_second)
    first, second, third = await store.read_spans([("a", 1, 2), ("a", 3, 4), ("a", 5, 6)], MUCH)
    assert good(first)[1] == BYTES[1:3]
    if change is overwrite:
        assert isinstance(second, FileChangedError)
        info, data = good(third)
        assert (data, info.revision != good(first)[0].revision) == (OTHER[5:11], True)
    else:
        assert [good(each)[1] for each in (second, third)] == [BYTES[3:7], BYTES[5:11]]
        assert good(third)[0].revision == good(first)[0].revision


@pytest.mark.usefixtures("uncached")
async def test_nobody_waits_long_for_the_first_spans(tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time limit the spans read so far are returned, and so they are before a file that was changed just now."""
    await spans(store, ("a", 0, 1))
    overwrite(tree / "b", b"new")
    monkeypatch.setattr(
        localsmall, "seconds_until_a_write_shows", lambda changed: float(changed == (tree / "b").stat().st_ctime_ns)
    )
    assert await spans(store, ("a", 0, 1), ("b", 0, 1), ("a", 0, 1)) == ["a"]
    monkeypatch.setattr(localsmall, "_MOMENT", 0.0)
    assert await spans(store, ("a", 0, 1), ("a", 0, 1)) == ["a"]
