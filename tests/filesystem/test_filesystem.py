"""The file systems for fsspec, against a real server that counts."""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest
from fsspec.callbacks import Callback

from filesystem.conftest import Served, served_in_a_thread
from processes import free_port
from unspool import CallEnd
from unspool.errors import (
    ConnectError,
    FileChangedError,
    IncompleteTreeError,
    InvalidRequestError,
    ProtocolError,
    UnsupportedError,
)
from unspool.filesystem import SecureUnspoolFileSystem, UnspoolFileSystem
from unspool.options import LimitOptions, ServerOptions, TransferOptions


def test_the_schemes_are_known_to_fsspec(served: Served) -> None:
    """A URL is enough: fsspec finds the file system, and the server in the path."""
    with fsspec.open(served.url("dir/b.txt"), "rt") as file:
        assert file.readlines() == ["one\n", "two\n", "three"]
    assert isinstance(fsspec.filesystem("unspools"), SecureUnspoolFileSystem)
    assert fsspec.core.url_to_fs(served.url("a"))[1] == served.path("a")


def test_info_says_what_is_there(served: Served, fs: UnspoolFileSystem) -> None:
    """A file has its size and revision; a directory and a server are directories; all else is not found."""
    info = fs.info(served.url("a.bin"))
    assert (info["name"], info["size"], info["type"]) == (served.path("a.bin"), 3_000_000, "file")
    assert info["mtime"] == pytest.approx((served.root / "a.bin").stat().st_mtime)
    for path in (served.url("dir"), served.url("dir/"), served.url("empty"), served.url()):
        assert fs.info(path) == {"name": path.removeprefix("unspool://").rstrip("/"), "size": 0, "type": "directory"}
    with pytest.raises(FileNotFoundError):
        fs.info(served.url("nothing"))
    assert [fs.exists(served.url(name)) for name in ("a.bin", "dir", "empty", "", "nothing")] == [True] * 4 + [False]
    assert [fs.isdir(served.url(name)) for name in ("a.bin", "dir", "empty", "", "nothing")] == [False, True, True, True, False]
    assert [fs.isfile(served.url(name)) for name in ("a.bin", "dir", "nothing")] == [True, False, False]


def test_a_server_that_is_away_has_no_answer(fs: UnspoolFileSystem) -> None:
    """`exists`, `isfile` and `isdir` raise if no server answers: False would say that there is no such file."""
    with free_port() as port:
        for ask in (fs.exists, fs.isfile, fs.isdir):
            with pytest.raises(ConnectError):
                ask(f"unspool://127.0.0.1:{port}/a.bin")


@pytest.mark.parametrize("cache_type", sorted({*filter(None, fsspec.caching.caches)} - {"mmap", "parts"}))
def test_every_cache_of_fsspec_reads_the_file(served: Served, fs: UnspoolFileSystem, cache_type: str) -> None:
    """Spans are the same with each. Not tried: `mmap`, which leaves a file open, and `parts`, for what was read before."""
    data = (served.root / "a.bin").read_bytes()
    with fs.open(served.url("a.bin"), cache_type=cache_type, block_size=100_000) as file:
        for start, end in ((12_345, 12_350), (99_990, 399_990), (2_999_990, 3_000_010), (4_000_000, 4_000_001)):
            file.seek(start)
            assert file.read(end - start) == data[start:end]


def test_listings(served: Served, fs: UnspoolFileSystem) -> None:
    """`ls`, `glob`, `walk` and `du` see the files and the directories, with the server in every path."""
    below = served.path
    assert fs.ls(served.url(), detail=False) == [below("a.bin"), below("dir"), below("empty")]
    assert [one["type"] for one in fs.ls(served.url())] == ["file", "directory", "directory"]
    assert fs.ls(served.url("a.bin"), detail=False) == [below("a.bin")]
    assert fs.glob(served.url("dir/*")) == [below("dir/b.txt"), below("dir/deep")]
    assert fs.glob(served.url("**/c")) == [below("dir/deep/c")]
    assert list(fs.walk(served.url("dir"))) == [(below("dir"), ["deep"], ["b.txt"]), (below("dir/deep"), [], ["c"])]
    assert fs.du(served.url()) == 3_000_013
    with pytest.raises(FileNotFoundError):
        fs.ls(served.url("nothing"))


def test_find_is_one_request(served: Served, fs: UnspoolFileSystem) -> None:
    """All files below a directory come with one listing, with or without the directories."""
    below = served.path
    files = [below("a.bin"), below("dir/b.txt"), below("dir/deep/c")]
    assert fs.find(served.url()) == files
    with_directories = sorted([*files, below("").rstrip("/"), below("dir"), below("dir/deep"), below("empty")])
    assert fs.find(served.url(), withdirs=True) == with_directories
    assert [call.method for call in served.calls(2)] == ["ListFiles", "ListFiles"]
    assert fs.find(served.url(), maxdepth=1, withdirs=True) == [
        path for path in with_directories if "deep" not in path and "b.txt" not in path
    ]
    assert fs.find(served.url("a.bin"), withdirs=True, detail=True)[below("a.bin")]["size"] == 3_000_000
    assert fs.find(served.url("nothing")) == []


@pytest.mark.parametrize(
    ("start", "end"), [(None, None), (0, 10), (5, None), (-7, None), (-9, -2), (4, -4), (10, 5), (0, 99), (99, None), (13, 14)]
)
def test_cat_file_reads_spans_as_slices(served: Served, fs: UnspoolFileSystem, start: int | None, end: int | None) -> None:
    """Any start and end means what it means for bytes in memory, also behind the end."""
    assert fs.cat_file(served.url("dir/b.txt"), start, end) == b"one\ntwo\nthree"[start:end]


def sizes(batches: list[CallEnd]) -> list[list[int]]:
    """Return the bytes of each span of each batch."""
    return [[] if one.batch is None else [span.bytes for span in one.batch.files] for one in batches]


def test_cat_ranges_merges_what_is_near(served: Served, fs: UnspoolFileSystem) -> None:
    """Near spans of a file are fetched as one; all come with one batch, in the order of the caller, and no byte twice."""
    data = (served.root / "a.bin").read_bytes()
    starts, ends = [2_000_000, 0, 100, 90, 2_900_000], [2_000_010, 10, 110, 105, 2_900_001]
    url = served.url("a.bin")
    got = fs.cat_ranges([url] * 5, starts, ends)
    assert got == [data[start:end] for start, end in zip(starts, ends, strict=True)]
    assert sizes(served.reads(1)) == [[110, 10, 1]]
    assert fs.cat_ranges([url, url], [0, 100], [10, 110], max_gap=0) == [data[:10], data[100:110]]
    assert sizes(served.reads(1)) == [[10, 10]]
    assert fs.cat_ranges([url, url, url], [None, -5, 7], [3, None, 7]) == [data[:3], data[-5:], b""]


def test_cat_ranges_says_which_span_failed(served: Served, fs: UnspoolFileSystem) -> None:
    """An error is in the place of its span, or raised if the caller wants that."""
    paths = [served.url("dir/b.txt"), served.url("nothing"), served.url("nothing")]
    good, bad, same = fs.cat_ranges(paths, 0, [3, 4, 5])
    assert good == b"one"
    assert isinstance(bad, FileNotFoundError)
    assert isinstance(same, FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 0, 3, on_error="raise")
    with pytest.raises(TypeError):
        fs.cat_ranges(served.url("a.bin"), 0, 3)
    with pytest.raises(ValueError, match="one length"):
        fs.cat_ranges(paths, [0], 3)


def test_calls_at_once_stay_below_the_servers_limit(tmp_path: Path) -> None:
    """However many coroutines fsspec starts, no more streams than `streams` are open, so that none is refused."""
    for number in range(60):
        (tmp_path / f"{number}").write_bytes(bytes(100_000))
    refusing = ServerOptions(limits=LimitOptions(streams_per_peer=4))
    with served_in_a_thread(tmp_path, refusing) as served:
        fs = UnspoolFileSystem(streams=4, skip_instance_cache=True)
        assert {len(data) for data in fs.cat([served.path(f"{number}") for number in range(60)]).values()} == {100_000}
        assert {call.outcome for call in served.calls(60)} == {"OK"}


def test_random_reads_are_exact_and_sequential_ones_read_ahead(served: Served, fs: UnspoolFileSystem) -> None:
    """A seek and a read fetch those bytes and no more; reads one after the other take few requests."""
    data = (served.root / "a.bin").read_bytes()
    with fs.open(served.url("a.bin")) as file:
        for start in (2_000_000, 10, 1_000_000):
            file.seek(start)
            assert file.read(1000) == data[start : start + 1000]
        assert [(read.start, read.bytes) for read in served.reads(3)] == [(2_000_000, 1000), (10, 1000), (1_000_000, 1000)]
        file.seek(0)
        assert b"".join(iter(lambda: file.read(8192), b"")) == data
    reads = served.reads(10)
    assert len(reads) <= 12
    assert sum(read.bytes for read in reads) == len(data)


def test_lines_are_read_in_few_requests(served: Served, fs: UnspoolFileSystem) -> None:
    """A text of many lines is read as one goes, in binary and as text."""
    text = "".join(f"line {number}\n" for number in range(200_000))
    (served.root / "lines.txt").write_text(text)
    with fs.open(served.url("lines.txt")) as file:
        assert b"".join(file) == text.encode()
    assert len(served.reads(1)) <= 10
    with fs.open(served.url("lines.txt"), "rt") as file:
        assert list(file) == text.splitlines(keepends=True)
    assert len(served.reads(1)) <= 15
    with fs.open(served.url("lines.txt")) as file:
        assert [file.readline(3), file.readline(9), file.readline()] == [b"lin", b"e 0\n", b"line 1\n"]


def test_a_file_keeps_its_revision(served: Served, fs: UnspoolFileSystem) -> None:
    """A file that is replaced while open fails to read, rather than give bytes of two versions; a copy from a pickle too."""
    file = fs.open(served.url("a.bin"))
    assert file.read(10) == (served.root / "a.bin").read_bytes()[:10]
    revision = fs.info(served.url("a.bin"))["revision"]
    copied = pickle.dumps(file)
    again = pickle.loads(copied)
    assert again.tell() == 10
    assert again.read(5) == (served.root / "a.bin").read_bytes()[10:15]
    (served.root / "new").write_bytes(b"x" * 3_000_000)
    (served.root / "new").rename(served.root / "a.bin")
    file.seek(100)
    with pytest.raises(FileChangedError):
        file.read(10)
    with pytest.raises(FileChangedError):
        pickle.loads(copied)
    with pytest.raises(FileChangedError):
        fs.open(served.url("a.bin"), revision=revision)
    with pytest.raises(FileChangedError):
        fs.cat_file(served.url("a.bin"), 0, 5, revision=revision)


def test_get_resumes_and_tells_its_progress(served: Served, fs: UnspoolFileSystem, tmp_path: Path) -> None:
    """A download is that of `Client.get`: what is here already is not fetched again, and a callback hears of the bytes."""
    heard = Callback()
    fs.get_file(served.url("a.bin"), str(tmp_path / "a.bin"), callback=heard)
    assert (tmp_path / "a.bin").read_bytes() == (served.root / "a.bin").read_bytes()
    assert (heard.size, heard.value) == (3_000_000, 3_000_000)
    served.calls(1)
    fs.get(served.url("a.bin"), str(tmp_path / "a.bin"))
    assert sum(call.bytes for call in served.calls(1)) == 0
    with (tmp_path / "other").open("wb") as out:
        fs.get_file(served.url("dir/b.txt"), out)
    assert (tmp_path / "other").read_bytes() == b"one\ntwo\nthree"
    with pytest.raises(FileNotFoundError):
        fs.get_file(served.url("nothing"), str(tmp_path / "nothing"))
    with pytest.raises(IsADirectoryError):
        fs.get_file(served.url("a.bin"), str(tmp_path))


def test_a_directory_is_fetched_as_a_tree(served: Served, fs: UnspoolFileSystem, tmp_path: Path) -> None:
    """`get` of a directory fetches it as the tree command does, leaves nothing else there, and no big file is fetched twice."""
    (served.root / "a.bin").rename(served.root / "dir" / "big")
    for number in range(20):
        (served.root / "dir" / f"{number}").write_bytes(b"x")
    heard = Callback()
    fs.get(served.url("dir"), str(tmp_path / "here"), recursive=True, callback=heard)
    names = sorted(str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*"))
    assert names == sorted(["b.txt", "big", "deep", "deep/c", *map(str, range(20))])
    assert "ReadFiles" in {call.method for call in served.calls(1)}
    assert (heard.size, heard.value) == (3_000_033, 3_000_033)
    fs.get(served.url("dir") + "/", str(tmp_path / "here"), recursive=True)
    assert sum(call.bytes for call in served.calls(1)) <= 33
    fs.get(served.url("dir"), str(tmp_path / "here"), recursive=True)
    assert (tmp_path / "here" / "dir" / "b.txt").exists()  # as `cp -r`: the directory is there now, so it goes into it


def test_a_tree_with_a_file_that_fails_says_so(served: Served, fs: UnspoolFileSystem, tmp_path: Path) -> None:
    """If some file cannot be written, the others are fetched, and an error names the first."""
    (tmp_path / "here" / "b.txt").mkdir(parents=True)
    with pytest.raises(IncompleteTreeError, match=r"1 of 2 files failed, first dir/b\.txt"):
        fs.get(served.url("dir") + "/", str(tmp_path / "here"), recursive=True)
    assert (tmp_path / "here" / "deep" / "c").exists()


def test_times(served: Served, fs: UnspoolFileSystem) -> None:
    """`modified` is the server's time; since when a file has been there nobody knows."""
    there = (served.root / "a.bin").stat().st_mtime
    assert fs.modified(served.url("a.bin")) == pytest.approx(datetime.fromtimestamp(there, UTC), abs=datetime.resolution)
    with pytest.raises(UnsupportedError, match="created"):
        fs.created(served.url("a.bin"))


def test_what_is_no_server(fs: UnspoolFileSystem) -> None:
    """A path without a server, and a URL of the other scheme, are refused."""
    with pytest.raises(InvalidRequestError, match="names no server"):
        fs.ls("unspool://")
    with pytest.raises(InvalidRequestError, match="not a URL of unspool://"):
        fs.ls("unspools://localhost:1/a")
    with pytest.raises(FileNotFoundError, match="no file is named"):
        fs.cat_file("unspool://localhost:1")


def test_threads_share_it(served: Served, fs: UnspoolFileSystem) -> None:
    """Sixteen threads read through one file system, over one client, which has few connections (decision 0073)."""
    data = (served.root / "a.bin").read_bytes()

    def read(number: int) -> bool:
        start = number * 50_000
        return bytes(fs.cat_file(served.url("a.bin"), start, start + 1000)) == data[start : start + 1000]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(50)))
    # One whose window gRPC chooses, and another whenever the number of calls, which share a window, has doubled or halved.
    assert len({call.peer for call in served.calls(50)}) < 10


async def test_in_a_running_loop(served: Served) -> None:
    """Blocking calls work where a loop runs, and an asynchronous one runs in that loop."""
    blocking = UnspoolFileSystem(skip_instance_cache=True)
    assert blocking.cat_file(served.url("dir/b.txt"), 0, 3) == b"one"
    fs = UnspoolFileSystem(asynchronous=True, skip_instance_cache=True)
    got = await asyncio.gather(*(fs._cat_file(served.path("dir/b.txt"), start, start + 1) for start in range(13)))
    assert b"".join(got) == b"one\ntwo\nthree"
    await fs.aclose()
    assert await fs._cat_file(served.path("dir/b.txt"), -5) == b"three"
    await fs.aclose()


def test_it_serves_several_loops(served: Served) -> None:
    """One that was used in a loop that has ended works in the next one."""
    fs = UnspoolFileSystem(asynchronous=True, skip_instance_cache=True)

    async def main() -> bytes:
        data: bytes = await fs._cat_file(served.path("dir/b.txt"), 0, 3)
        await fs.aclose()
        return data

    assert [asyncio.run(main()), asyncio.run(main())] == [b"one", b"one"]


def test_the_token_is_not_shown() -> None:
    """A token makes another file system, and is in no repr, cache key, or JSON without passwords; a pickle keeps it."""
    one, other = UnspoolFileSystem(token="sesame-1"), UnspoolFileSystem(token="sesame-2")
    assert one is not other
    assert UnspoolFileSystem(token="sesame-1") is one
    assert pickle.loads(pickle.dumps(one)) is one
    shown = (
        f"{one!r} {one.storage_options} {one._fs_token} {list(UnspoolFileSystem._cache)} {one.to_json(include_password=False)}"
    )
    assert "sesame" not in shown
    assert one.storage_options["token"] == "sesame-1"
    assert "sesame-1" in one.to_json()


def test_options_reach_the_client(served: Served) -> None:
    """`options` are those of every transfer."""
    with pytest.raises(ProtocolError):
        UnspoolFileSystem(options=TransferOptions(listing_limit=1), skip_instance_cache=True).ls(served.url())
    with pytest.raises(InvalidRequestError, match="for TLS"):
        UnspoolFileSystem(ca="ca.pem", skip_instance_cache=True).cat_file(served.url("dir/b.txt"))
