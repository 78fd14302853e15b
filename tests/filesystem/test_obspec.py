"""A server in the shape of obspec's protocols: what each method returns, and that readers written for obspec read it."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from filesystem.conftest import Served, served_in_a_thread
from processes import ENVIRONMENT, serving
from unspool.client.obspec import ObspecStore
from unspool.errors import (
    FileChangedError,
    InvalidRangeError,
    InvalidRequestError,
    NotFoundError,
    StartPastEndError,
    UnsupportedError,
)

DATA = bytes(number * 7 % 251 for number in range(3_000_000))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a few files."""
    root = tmp_path_factory.mktemp("obspec")
    (root / "dir" / "deep").mkdir(parents=True)
    (root / "a.bin").write_bytes(DATA)
    (root / "dir" / "b.txt").write_bytes(b"one\ntwo\n")
    (root / "dir" / "deep" / "c").write_bytes(b"")
    (root / "dir2").mkdir()
    (root / "dir2" / "d").write_bytes(b"d")
    with served_in_a_thread(root) as served:
        yield served


@pytest.fixture
def store(server: Served) -> Iterator[ObspecStore]:
    """Return a store, with nothing counted yet."""
    server.calls(0)
    store = ObspecStore(server.address)
    yield store
    store.close()


def test_head_says_what_a_file_is(server: Served, store: ObspecStore) -> None:
    """A file has its path, size, time and revision; a missing one is an error that obspec knows by its name."""
    meta = store.head("a.bin")
    modified = datetime.fromtimestamp((server.root / "a.bin").stat().st_mtime, UTC)
    assert (meta["path"], meta["size"], meta["version"]) == ("a.bin", len(DATA), None)
    assert abs((meta["last_modified"] - modified).total_seconds()) < 0.001
    assert meta["e_tag"]
    with pytest.raises(NotFoundError):
        store.head("nope")


def test_a_get_is_whole_or_a_span(store: ObspecStore) -> None:
    """A get has the whole file, a span, all from an offset on, or the end; the range that it has is said."""
    assert store.get("a.bin").buffer() == DATA
    for asked, start, stop in (
        ((5, 17), 5, 17),
        ([2_999_990, 4_000_000], 2_999_990, 3_000_000),
        ({"offset": 2_999_000}, 2_999_000, 3_000_000),
        ({"suffix": 100}, 2_999_900, 3_000_000),
        ({"suffix": 10_000_000}, 0, 3_000_000),
    ):
        got = store.get("a.bin", options={"range": asked})
        assert (got.range, got.buffer()) == ((start, stop), DATA[start:stop])
    empty = store.get("dir/deep/c")
    assert (empty.range, empty.buffer(), list(empty)) == ((0, 0), b"", [])
    head = store.get("dir/b.txt", options={"head": True, "if_match": None})
    assert (head.range, head.buffer(), head.meta["size"], head.attributes) == ((0, 0), b"", 8, {"Content-Type": "text/plain"})


def test_what_cannot_be_is_refused(store: ObspecStore) -> None:
    """Empty spans, spans beyond the end, options that a server has not and arguments that contradict each other are errors."""
    with pytest.raises(StartPastEndError, match="has 3000000 bytes"):
        store.get("a.bin", options={"range": {"offset": 3_000_000}})
    for wrong in ({"range": (5, 5)}, {"range": (-1, 5)}):
        with pytest.raises(InvalidRangeError, match="are no span"):
            store.get("a.bin", options=wrong)
    with pytest.raises(UnsupportedError, match="no if_none_match"):
        store.get("a.bin", options={"if_none_match": "*"})
    with pytest.raises(InvalidRangeError, match="either the end or the length"):
        store.get_range("a.bin", start=0)
    for starts, ends, lengths in (([0], [1, 2], None), ([0], None, None), ([0], [1], [1])):
        with pytest.raises(InvalidRangeError, match="as many ends as starts"):
            store.get_ranges("a.bin", starts=starts, ends=ends, lengths=lengths)
    with pytest.raises(InvalidRequestError, match="unspools://"):
        ObspecStore("h:1", ca="ca.pem")


def test_spans_come_with_few_requests(server: Served, store: ObspecStore) -> None:
    """A span is one request, and so are many; one beyond the end has what there is."""
    assert store.get_range("a.bin", start=7, end=1000) == DATA[7:1000]
    assert store.get_range("a.bin", start=2_999_999, length=10) == DATA[-1:]
    assert len(server.calls(2)) == 2
    starts = [0, 2_000_000, 100, 2_000_050]
    found = store.get_ranges("a.bin", starts=starts, lengths=[50] * 4)
    assert found == [DATA[start : start + 50] for start in starts]
    assert store.get_ranges("a.bin", starts=starts, ends=[start + 50 for start in starts]) == found
    assert [call.method for call in server.calls(2)] == ["ReadFiles"] * 2
    assert store.get_ranges("a.bin", starts=[], lengths=[]) == []


def test_a_get_is_read_as_it_arrives(server: Served, store: ObspecStore) -> None:
    """Iterating yields the bytes in pieces; leaving it early ends the stream."""
    assert b"".join(map(bytes, store.get("a.bin"))) == DATA
    pieces = iter(store.get("a.bin"))
    assert DATA.startswith(bytes(next(pieces)))
    del pieces
    server.reads(2)
    assert store._calls == 0


def test_one_get_is_of_one_version(tmp_path: Path) -> None:
    """If the file is replaced after a get, its bytes are refused; `if_match` wants a revision."""
    (tmp_path / "a").write_bytes(b"old")
    with served_in_a_thread(tmp_path) as served:
        store = ObspecStore(served.address)
        got = store.get("a")
        assert store.get("a", options={"if_match": got.meta["e_tag"]}).buffer() == b"old"
        (tmp_path / "a").write_bytes(b"newer")
        with pytest.raises(FileChangedError):
            got.buffer()
        with pytest.raises(FileChangedError, match="is at revision"):
            store.get("a", options={"if_match": got.meta["e_tag"]})
        store.close()


def test_listings_are_of_path_segments(store: ObspecStore) -> None:
    """A listing is recursive; a prefix is a directory and not the beginning of a name; a missing one is empty."""

    def names(prefix: str | None = None, offset: str | None = None) -> set[str]:
        return {meta["path"] for page in store.list(prefix, offset=offset) for meta in page}

    assert names() == {"a.bin", "dir/b.txt", "dir/deep/c", "dir2/d"}
    assert names("dir") == names("dir/") == {"dir/b.txt", "dir/deep/c"}
    assert names(offset="dir/b.txt") == {"dir/deep/c", "dir2/d"}
    assert names("nope") == names("a.bin") == set()
    level = store.list_with_delimiter()
    assert sorted(level["common_prefixes"]) == ["dir", "dir2"]
    assert [meta["path"] for meta in level["objects"]] == ["a.bin"]
    assert store.list_with_delimiter("dir")["common_prefixes"] == ["dir/deep"]
    assert store.list_with_delimiter("nope") == {"common_prefixes": [], "objects": []}


def test_methods_are_awaited_in_any_loop(server: Served, store: ObspecStore) -> None:
    """The asynchronous methods return what the blocking ones return, in one event loop after the other."""

    async def main() -> None:
        assert await store.head_async("a.bin") == store.head("a.bin")
        got = await store.get_async("a.bin", options={"range": (0, 10)})
        assert await got.buffer_async() == DATA[:10]
        assert b"".join([bytes(data) async for data in got]) == DATA[:10]
        assert await store.get_range_async("a.bin", start=3, length=4) == DATA[3:7]
        assert await store.get_ranges_async("a.bin", starts=[3], lengths=[4]) == [DATA[3:7]]
        assert [page async for page in store.list_async("dir2")] == list(store.list("dir2"))
        assert await store.list_with_delimiter_async() == store.list_with_delimiter()

    asyncio.run(main())
    asyncio.run(main())


FORKING = """
import os, sys
from unspool.client.obspec import ObspecStore

store = ObspecStore(sys.argv[1])
assert store.get_range("b.txt", start=0, end=3) == b"one"
child = os.fork()
assert store.get_range("b.txt", start=4, end=7) == b"two"
if not child:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_uses_a_connection_of_its_own(server: Served, tmp_path: Path) -> None:
    """After a fork, parent and child both go on."""
    with serving(server.root / "dir", tmp_path / "log") as other:
        command = [sys.executable, "-c", FORKING, other.address]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


READING = ("Get", "GetRange", "GetRanges", "Head", "List", "ListWithDelimiter")


def test_it_has_the_methods_of_the_protocols(store: ObspecStore) -> None:
    """Each method of obspec's protocols for reading is there, with the same arguments."""
    obspec = pytest.importorskip("obspec")
    found = 0
    for protocol in [getattr(obspec, f"{name}{kind}") for name in READING for kind in ("", "Async")]:
        for name, method in vars(protocol).items():
            if name.startswith("_"):
                continue
            ours = inspect.signature(getattr(ObspecStore, name)).parameters
            theirs = inspect.signature(method).parameters
            assert [(one.name, one.kind, one.default) for one in ours.values()] == [
                (one.name, one.kind, one.default) for one in theirs.values()
            ], name
            found += 1
    assert found == 2 * len(READING)


def test_readers_written_for_obspec_read_it(store: ObspecStore) -> None:
    """The readers of obspec-utils, and its glob, take the store."""
    readers = pytest.importorskip("obspec_utils.readers")
    glob = pytest.importorskip("obspec_utils.glob").glob
    for kind in (readers.BufferedStoreReader, readers.BlockStoreReader, readers.EagerStoreReader):
        reader = kind(store, "a.bin")
        reader.seek(1_500_000)
        assert bytes(reader.read(100_000)) == DATA[1_500_000:1_600_000]
    assert sorted(glob(store, "dir/**")) == ["dir/b.txt", "dir/deep/c"]
