"""Blocking calls do what the client's methods do, from any thread, and wherever a loop runs."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import unspool
from blocking.conftest import Served
from unspool.client.events import Event, Started
from unspool.client.portal import portal
from unspool.errors import FileChangedError, FileMismatchError, InvalidRequestError, NotFoundError
from unspool.testing import Recorder


def test_get(served: Served, tmp_path: Path) -> None:
    """`unspool.get` blocks until the file is there, tells observers and progress, and raises the errors of unspool."""
    told = Recorder[Event]()
    calls: list[tuple[int, int | None]] = []
    result = unspool.get(
        served.url("a.bin"), tmp_path, observers=[told], progress=lambda done, total: calls.append((done, total))
    )
    assert result.path == str(tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == served.data
    assert [event.name for event in told if isinstance(event, Started)] == ["a.bin"]
    assert calls[-1] == (len(served.data), len(served.data))
    with pytest.raises(NotFoundError):
        unspool.get(served.url("nope"), tmp_path)


def test_read_many(served: Served) -> None:
    """Spans of files of one server are returned; a URL with a name is refused."""
    assert unspool.read_many(served.url(), [("a.bin", 1, 2), ("dir/b.txt", 0, 3)]) == [served.data[1:3], b"one"]
    with pytest.raises(InvalidRequestError, match="name the server only"):
        unspool.read_many(served.url("a.bin"), [("a.bin", 1, 2)])


def test_an_interrupt_before_the_call_has_begun_ends_it(served: Served) -> None:
    """Ctrl-C at the very beginning of a call, as it happens in a loop of small reads, is raised at once."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    loop = portal().loop
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        loop.call_soon_threadsafe(time.sleep, 0.5)  # the loop is busy with another call
        signal.setitimer(signal.ITIMER_REAL, 0.1, 10)  # the second interrupt would not wait
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            unspool.read(served.url("a.bin"))
        assert time.monotonic() - began < 9
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert unspool.read(served.url("a.bin"), length=1) == served.data[:1]


def test_get_tree(served: Served, tmp_path: Path) -> None:
    """A tree is fetched into a directory."""
    result = unspool.get_tree(served.url("dir"), tmp_path / "tree")
    assert (result.files, result.fetched, result.failed) == (2, 2, 0)
    assert (tmp_path / "tree" / "b.txt").read_bytes() == b"one\ntwo\nthree"


def test_verify_tree(served: Served, tmp_path: Path) -> None:
    """A directory is compared with a tree; filters choose what is compared."""
    unspool.get_tree(served.url("dir"), tmp_path)
    (tmp_path / "b.txt").write_bytes(b"other")
    result = unspool.verify_tree(served.url("dir"), tmp_path)
    assert (result.files, result.same) == (2, 1)
    assert [failure.name for failure in result.failures] == ["dir/b.txt"]
    assert unspool.verify_tree(served.url("dir"), tmp_path, filters=[("exclude", "b.txt")]).failed == 0


def test_a_part_of_a_tree_without_a_record(served: Served, tmp_path: Path) -> None:
    """Filters and the choice of a record reach the client."""
    result = unspool.get_tree(served.url(), tmp_path / "tree", filters=[("include", "*.txt")], record=False)
    assert result.files == result.fetched == 1
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == ["dir"]


@pytest.mark.parametrize("call", ["get", "get_tree", "stat", "exists", "list", "read", "verify", "verify_tree"])
def test_blocking_calls_have_all_options_of_the_client(call: str) -> None:
    """A blocking call takes every keyword that the method of `Client` takes, with the same default."""
    blocking = inspect.signature(getattr(unspool, call)).parameters
    for name, parameter in inspect.signature(getattr(unspool.Client, call)).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert blocking[name].default == parameter.default, name
            assert blocking[name].annotation == parameter.annotation, name


def test_stat_exists_and_read(served: Served) -> None:
    """What is asked is answered."""
    info = unspool.stat(served.url("a.bin"))
    assert (info.name, info.size) == ("a.bin", len(served.data))
    assert unspool.exists(served.url("dir/b.txt"))
    assert not unspool.exists(served.url("dir"))
    assert unspool.read(served.url("a.bin"), start=10, length=20, revision=info.revision) == served.data[10:30]
    with pytest.raises(FileChangedError):
        unspool.read(served.url("a.bin"), revision="another")
    with pytest.raises(FileNotFoundError):
        unspool.stat(served.url("nope"))


def test_verify(served: Served, tmp_path: Path) -> None:
    """A local file is compared."""
    (tmp_path / "b").write_bytes(served.data)
    assert unspool.verify(served.url("a.bin"), tmp_path / "b").name == "a.bin"
    (tmp_path / "b").write_bytes(served.data[:-1])
    with pytest.raises(FileMismatchError):
        unspool.verify(served.url("a.bin"), tmp_path / "b")


@pytest.mark.parametrize("page_size", [1, None])
def test_list(served: Served, page_size: int | None) -> None:
    """Entries come one by one, however they come in pages; an iterator that is left is closed with its connection."""
    assert {entry.name for entry in unspool.list(served.url(), page_size=page_size)} == {"a.bin", "dir/"}
    names = {info.name for info in unspool.list(served.server.address, recursive=True, page_size=page_size)}
    assert names == {"a.bin", "dir/b.txt", "dir/deep/c"}
    left = unspool.list(served.url(), page_size=page_size)
    next(left)
    del left
    with pytest.raises(NotFoundError):
        next(unspool.list(served.url("nope")))


async def test_where_a_loop_runs(served: Served) -> None:
    """In a coroutine, and so in a notebook, a blocking call works; the loop waits meanwhile."""
    asyncio.get_running_loop()
    assert unspool.read(served.url("dir/b.txt")) == b"one\ntwo\nthree"
    assert unspool.open(served.url("dir/b.txt")).read() == b"one\ntwo\nthree"


def test_all_threads_share_one_thread(served: Served) -> None:
    """However many threads ask, there is one thread with one loop."""
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(unspool.read, [served.url("dir/b.txt")] * 24)) == [b"one\ntwo\nthree"] * 24
    assert sum(thread.name == "unspool" for thread in threading.enumerate()) == 1


def test_a_call_from_within_is_refused(served: Served, tmp_path: Path) -> None:
    """In an observer or a progress function a blocking call would wait for itself: it is an error, and not a hang."""
    with pytest.raises(InvalidRequestError, match="would wait for itself"):
        unspool.get(served.url("a.bin"), tmp_path / "b", progress=lambda *_: unspool.stat(served.url("a.bin")))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_what_a_callback_raises_reaches_the_caller(served: Served, tmp_path: Path, kind: type[BaseException]) -> None:
    """Whatever a progress function raises is raised where the call was made, and the next call works."""

    def progress(_done: int, _total: int | None) -> None:
        raise kind

    with pytest.raises(kind):
        unspool.get(served.url("a.bin"), tmp_path / "b", progress=progress)
    assert unspool.exists(served.url("a.bin"))


def test_the_callers_context_is_known_inside() -> None:
    """A context variable that the caller has set, for its log say, is seen by what runs for it."""
    variable = contextvars.ContextVar("variable", default="")
    variable.set("mine")

    async def seen() -> str:
        return variable.get()

    assert portal().call(seen) == "mine"


@pytest.mark.parametrize(
    "call", [unspool.stat, unspool.exists, unspool.read, unspool.open, unspool.list, lambda url: unspool.get(url, "x")]
)
@pytest.mark.parametrize("url", ["", 5, "http://localhost/a", "localhost:port/a"])
def test_what_names_no_server_is_refused_at_once(call: Callable[[object], object], url: object) -> None:
    """A URL that is none is an error of every function, before anything is dialled."""
    with pytest.raises(InvalidRequestError):
        call(url)
