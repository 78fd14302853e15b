"""Files written through fsspec, to a real server: each is there whole when it was closed, or not at all."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import fsspec
import pytest
from fsspec.callbacks import Callback

from filesystem.conftest import Served, served_in_a_thread
from processes import eventually
from unspool import RetryPolicy, TransferOptions
from unspool.client.feed import Feed
from unspool.errors import (
    AlreadyExistsError,
    FileChangedError,
    IncompleteTreeError,
    InvalidRequestError,
    UnspoolError,
    UnsupportedError,
)
from unspool.filesystem import UnspoolFileSystem

LARGE = Random(0).randbytes(3_000_000)
BLOCK = 1 << 20
"""A file of more bytes is uploaded while it is written."""


def names(served: Served) -> list[str]:
    """Return the names of the files that are served."""
    return sorted(
        str(path.relative_to(served.root))
        for path in served.root.rglob("*")
        if path.is_file() and ".unspool-uploads" not in path.parts
    )


def unfinished(served: Served) -> int:
    """Return how many uploads the server keeps that have no name yet."""
    return sum(path.name.endswith("-part") for path in (served.root / ".unspool-uploads").rglob("*"))


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_a_file_is_there_when_it_was_closed(writable: Served, fs: UnspoolFileSystem, content: bytes) -> None:
    """Before it is closed the name has what it had, and afterwards all that was written."""
    (writable.root / "a").write_bytes(b"before")
    with fs.open(writable.url("a"), "wb", block_size=BLOCK) as file:
        for start in range(0, len(content), 700_000):
            file.write(content[start : start + 700_000])
        assert file.tell() == len(content)
        assert (writable.root / "a").read_bytes() == b"before"
    assert (writable.root / "a").read_bytes() == content
    assert fs.cat_file(writable.url("a")) == content


@pytest.mark.parametrize("size", [5, len(LARGE)])
def test_an_exception_discards_the_file(writable: Served, fs: UnspoolFileSystem, size: int) -> None:
    """A file that is left by an exception is not written, and the server keeps nothing of it."""

    def write(name: str, mode: str, content: Any, **more: Any) -> None:
        with fs.open(writable.url(name), mode, block_size=BLOCK, **more) as file:
            file.write(content)
            raise KeyError

    for name, mode, content in (("new/a", "wb", LARGE[:size]), ("new/b", "w", "text"), ("new/c.gz", "wb", LARGE[:size])):
        with pytest.raises(KeyError):
            write(name, mode, content, compression="infer")
    assert names(writable) == []
    eventually(lambda: unfinished(writable) == 0)


@pytest.mark.parametrize("size", [5, len(LARGE)])
def test_a_file_that_was_never_closed_is_not_written(writable: Served, fs: UnspoolFileSystem, size: int) -> None:
    """Half of a file may be all that a program wrote of it, so it is discarded, with a warning."""
    with pytest.warns(RuntimeWarning, match="never closed"):
        fs.open(writable.url("a"), "wb", block_size=BLOCK).write(LARGE[:size])
    gc.collect()
    assert names(writable) == []


def test_text_and_compressed_files(writable: Served, fs: UnspoolFileSystem) -> None:
    """Text is encoded as asked for, and compressors write all of the file before it has its name."""
    with fs.open(writable.url("a.txt"), "w", encoding="latin-1") as file:
        file.write("für\n")
    with fs.open(writable.url("b.gz"), "wt", compression="gzip") as file:
        file.write("in short")
    with fsspec.open(writable.url("c.xz"), "wt", compression="infer") as file:
        file.write("in shorter")
    assert (writable.root / "a.txt").read_bytes() == "für\n".encode("latin-1")
    assert fs.open(writable.url("b.gz"), "rt", compression="gzip").read() == "in short"
    assert fs.open(writable.url("c.xz"), "rt", compression="infer").read() == "in shorter"


@pytest.mark.parametrize("size", [5, len(LARGE)])
def test_an_exclusive_file_replaces_none(writable: Served, fs: UnspoolFileSystem, size: int) -> None:
    """A file that appears while another one of its name is written exclusively stays, and the writer is told."""
    with pytest.raises(FileExistsError, match="a: "), fs.open(writable.url("a"), "xb", block_size=BLOCK) as file:  # noqa: PT012
        file.write(LARGE[:size])
        fs.pipe_file(writable.url("a"), b"quicker")
    assert (writable.root / "a").read_bytes() == b"quicker"
    with pytest.raises(AlreadyExistsError, match="a file of this name"):
        fs.open(writable.url("a"), "xb")


@pytest.mark.parametrize("size", [5, len(LARGE)])
def test_a_transaction_names_its_files_at_its_end(writable: Served, fs: UnspoolFileSystem, size: int) -> None:
    """Files that were closed in a transaction are not there before it ends, and never if it ends with an exception."""
    with fs.transaction:
        for name in ("a", "b"):
            with fs.open(writable.url(name), "wb", block_size=BLOCK) as file:
                file.write(LARGE[:size])
        assert names(writable) == []
    assert [(writable.root / name).read_bytes() for name in names(writable)] == [LARGE[:size]] * 2
    with pytest.raises(KeyError), fs.transaction:  # noqa: PT012
        with fs.open(writable.url("c"), "wb", block_size=BLOCK) as file:
            file.write(LARGE[:size])
        raise KeyError
    assert names(writable) == ["a", "b"]


def test_many_files_are_open_at_once(writable: Served) -> None:
    """More large files than calls at the same time may be open, and read calls go on meanwhile."""
    fs = UnspoolFileSystem(streams=2, skip_instance_cache=True)
    files = [fs.open(writable.url(f"{number}"), "wb", block_size=BLOCK) for number in range(6)]
    for file in files:
        file.write(LARGE)
    fs.pipe_file(writable.url("other"), b"x")
    assert fs.cat_file(writable.url("other")) == b"x"
    for file in files:
        file.close()
    assert {(writable.root / f"{number}").read_bytes() for number in range(6)} == {LARGE}


def test_a_server_that_takes_no_files_says_so(served: Served, fs: UnspoolFileSystem, tmp_path: Path) -> None:
    """Every way to write to a read-only server raises the same clear error, soon, and changes nothing."""
    (tmp_path / "local").write_bytes(b"x")

    def write(size: int) -> None:
        with fs.open(served.url("new"), "wb", block_size=BLOCK) as file:
            for _ in range(20):
                file.write(LARGE[:size])

    writes: list[Callable[[], object]] = [
        lambda: write(1),
        lambda: write(len(LARGE)),
        lambda: fs.pipe(served.url("new"), b"x"),
        lambda: fs.put(str(tmp_path / "local"), served.url("new")),
        lambda: fs.put(str(tmp_path), served.url("new"), recursive=True),
        lambda: fs.touch(served.url("new")),
        lambda: fs.cp_file(served.url("a.bin"), served.url("new")),
    ]
    for each in writes:
        with pytest.raises(UnsupportedError, match="takes no files"):
            each()
    assert sorted(path.name for path in served.root.iterdir()) == ["a.bin", "dir", "empty"]


def test_what_cannot_be_is_refused_with_a_sentence(writable: Served, fs: UnspoolFileSystem) -> None:
    """Appending, setting only a time, unknown modes, and names that are none raise an error that says so at once."""
    url = writable.url("a")
    fs.pipe_file(url, b"x")
    with pytest.raises(UnsupportedError, match="written as a whole"):
        fs.open(url, "ab")
    with pytest.raises(UnsupportedError, match="sets only the time"):
        fs.touch(url, truncate=False)
    with pytest.raises(InvalidRequestError, match="'create' or 'overwrite'"):
        fs.pipe_file(url, b"x", mode="append")
    with pytest.raises(FileNotFoundError, match="no file is named"):
        fs.open(writable.url(), "wb")
    with pytest.raises(UnsupportedError, match="directories stay"):
        fs.rmdir(url)
    assert (writable.root / "a").read_bytes() == b"x"


def test_a_server_that_goes_away_ends_the_writer(tmp_path: Path) -> None:
    """A program that writes to a server that is gone gets the error from `write` or `close`, and does not wait for ever."""
    options = TransferOptions(retry=RetryPolicy(budget=0))
    fs = UnspoolFileSystem(options=options, skip_instance_cache=True)
    with served_in_a_thread(tmp_path, writable=True) as served:
        file = fs.open(served.url("a"), "wb", block_size=BLOCK)
        file.write(LARGE)

    def write() -> None:
        for _ in range(20):
            file.write(LARGE)

    with pytest.raises(UnspoolError) as caught:
        write()
    assert caught.value.retryable
    file.close()
    assert not (tmp_path / "a").exists()


def test_the_upload_waits_for_no_more_than_one_part() -> None:
    """`put` returns when the part before was taken, and says when nobody takes any more; `read` waits only for a moment."""
    feed, taken = Feed(), list[Any]()
    assert feed.read(10) is None

    def read() -> None:
        while (part := feed.read(2)) != b"":
            taken.append(part)

    assert feed.put(b"abc")
    second = threading.Thread(target=feed.put, args=[b"de"])
    second.start()
    second.join(0.05)
    assert second.is_alive()
    reader = threading.Thread(target=read)
    reader.start()
    second.join(10)
    feed.finish()
    reader.join(10)
    assert b"".join(filter(None, taken)) == b"abcde"
    feed.close()
    assert not feed.put(b"f")


class Counting(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int | None, int]] = []

    def call(self, *_: Any, **__: Any) -> None:
        """See fsspec."""
        self.seen.append((self.size, self.value))


def test_put_is_an_upload(writable: Served, tmp_path: Path) -> None:
    """A file keeps its time, its progress is told, and the mode "create" replaces nothing."""
    fs = UnspoolFileSystem(upload_key=str(tmp_path / "key"), skip_instance_cache=True)
    (tmp_path / "local").write_bytes(LARGE)
    os.utime(tmp_path / "local", (1_000_000, 1_000_000))
    told = Counting()
    fs.put_file(str(tmp_path / "local"), writable.url("in/a"), callback=told)
    assert (writable.root / "in/a").read_bytes() == LARGE
    assert (writable.root / "in/a").stat().st_mtime == 1_000_000
    assert told.seen[-1] == (len(LARGE), len(LARGE))
    assert (tmp_path / "key").stat().st_size == 32
    (tmp_path / "local").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        fs.put_file(str(tmp_path / "local"), writable.url("in/a"), mode="create")


def test_put_of_a_directory_is_a_tree(writable: Served, fs: UnspoolFileSystem, tmp_path: Path) -> None:
    """Small files go many with one call, a second `put` sends none, and what cannot be uploaded is named."""
    local = tmp_path / "local"
    (local / "deep").mkdir(parents=True)
    for number in range(50):
        (local / "deep" / f"{number}").write_bytes(b"%d" % number)
    writable.calls(0)
    fs.put(str(local), writable.url("there"), recursive=True)
    assert fs.cat_file(writable.url("there/deep/49")) == b"49"
    assert len(fs.find(writable.url("there"))) == 50
    assert len([call for call in writable.calls(3) if call.method.startswith("Write")]) <= 4
    fs.put(str(local), writable.url("there"), recursive=True)  # it is there by now, so the directory goes below it
    assert len(fs.find(writable.url("there/local"))) == 50
    (local / "outside").symlink_to("/etc/hostname")
    with pytest.raises(IncompleteTreeError, match=r"1 name cannot be uploaded, first outside \(LINK_OUTSIDE\)"):
        fs.put(f"{local}/", writable.url("there"), recursive=True)


def test_a_copy_goes_through_this_machine(writable: Served, fs: UnspoolFileSystem) -> None:
    """A file is copied whole, with its time, and a missing one is missing."""
    fs.pipe_file(writable.url("a"), LARGE)
    os.utime(writable.root / "a", (1_000_000, 1_000_000))
    fs.cp_file(writable.url("a"), writable.url("b/c"))
    assert (writable.root / "b/c").read_bytes() == LARGE
    assert (writable.root / "b/c").stat().st_mtime == 1_000_000
    with pytest.raises(FileNotFoundError):
        fs.cp_file(writable.url("nothing"), writable.url("d"))
    assert names(writable) == ["a", "b/c"]


def test_files_and_directories_are_deleted(writable: Served, fs: UnspoolFileSystem) -> None:
    """By name, by pattern, in a list, and all below a directory; what is not there is FileNotFoundError, and a server stays."""
    for name in ("a", "b.csv", "c.csv", "dir/x", "dir/deep/y", "other/z"):
        fs.pipe_file(writable.url(name), b"x")
    fs.rm(writable.url("a"))
    fs.rm_file(writable.url("b.csv"))
    fs.rm(writable.url("*.csv"))
    left = {str(path.relative_to(writable.root)) for path in writable.root.rglob("*") if path.is_file()}
    assert not left & {"a", "b.csv", "c.csv"}
    assert left >= {"dir/x", "dir/deep/y", "other/z"}
    with pytest.raises(FileNotFoundError):
        fs.rm(writable.url("a"))
    with pytest.raises(FileNotFoundError):
        fs.rm(writable.url("dir"))
    fs.rm([writable.url("dir"), writable.url("other/z")], recursive=True)
    assert not fs.exists(writable.url("dir/x"))
    assert not fs.exists(writable.url("other/z"))
    with pytest.raises(InvalidRequestError, match="all that the server has"):
        fs.rm(writable.url(), recursive=True)


def test_a_move_copies_and_then_deletes(writable: Served, fs: UnspoolFileSystem) -> None:
    """A file, or all files below a directory, get another name; a missing file is missing, the same name changes nothing."""
    fs.pipe({writable.url(name): name.encode() for name in ("a", "dir/b", "dir/deep/c")})
    fs.mv(writable.url("a"), writable.url("new"))
    fs.mv(writable.url("dir"), writable.url("other"), recursive=True)
    fs.mv(writable.url("new"), writable.url("new"))
    assert fs.find(writable.url()) == [fs._strip_protocol(writable.url(name)) for name in ("new", "other/b", "other/deep/c")]
    assert fs.cat_file(writable.url("new")) == b"a"
    with pytest.raises(FileNotFoundError):
        fs.mv(writable.url("a"), writable.url("b"))


def test_a_move_keeps_what_came_after_the_copy(
    writable: Served, fs: UnspoolFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is replaced or appears after the copy stays; one that somebody else deletes is moved all the same."""
    fs.pipe({writable.url(f"from/{name}"): b"old" for name in "abc"})
    copy = fs.copy

    def late(*paths: str, **options: Any) -> None:
        copy(*paths, **options)
        fs.pipe_file(writable.url("from/a"), b"newer")
        fs.pipe_file(writable.url("from/d"), b"appeared")
        fs.rm_file(writable.url("from/b"))

    monkeypatch.setattr(fs, "copy", late)
    with pytest.raises(FileChangedError, match="from/a"):
        fs.mv(writable.url("from"), writable.url("to"), recursive=True)
    left = {path.rpartition("/")[2]: fs.cat_file(path) for path in fs.find(writable.url("from"))}
    assert left == {"a": b"newer", "d": b"appeared"}
    assert len(fs.find(writable.url("to"))) == 3
