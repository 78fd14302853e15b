"""unspool.open: a file of Python's whose bytes are on a server."""

from __future__ import annotations

import gc
import io
import os
import shutil
import zipfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import unspool
from blocking.conftest import Served
from processes import eventually
from unspool.client.remotefile import RemoteFile
from unspool.errors import FileChangedError, InvalidRangeError, NotFoundError, UnsupportedError

SIZE = 3_000_000

positions = st.integers(0, SIZE + 100)
steps = st.one_of(
    st.tuples(st.just("seek"), positions),
    st.tuples(st.just("read"), st.integers(0, 5000)),
    st.tuples(st.just("readinto"), st.integers(0, 5000)),
    st.tuples(st.just("read1"), st.integers(1, 5000)),
    st.tuples(st.just("back"), st.integers(0, 5000)),
    st.tuples(st.just("readline"), st.integers(0, 300)),
)


@given(steps=st.lists(steps, max_size=8), buffer_size=st.sampled_from([64, 1000, 1 << 20]))
@settings(max_examples=30)
def test_it_reads_as_a_local_file_does(served: Served, steps: list[tuple[str, int]], buffer_size: int) -> None:
    """Whatever is read and wherever to is seeked, bytes and positions are those of the same file in memory."""
    local = io.BytesIO(served.data)
    with unspool.open(served.url("a.bin"), buffer_size=buffer_size) as file:
        for step, number in steps:
            match step:
                case "seek":
                    assert file.seek(number) == local.seek(number)
                case "back":
                    assert file.seek(-number, os.SEEK_END) == local.seek(-number, os.SEEK_END)
                case "readinto":
                    ours, theirs = bytearray(number), bytearray(number)
                    assert file.readinto(ours) == local.readinto(theirs)
                    assert ours == theirs
                case "read1":
                    some = file.read1(number)
                    assert some == local.read(len(some))
                case _:
                    assert getattr(file, step)(number) == getattr(local, step)(number)
            assert file.tell() == local.tell()


def reads_of(served: Served, name: str) -> list[dict[str, object]]:
    """Return the reads of a file that the server's log has."""
    return [entry for entry in served.server.reads() if entry["name"] == name and entry["method"] == "ReadFile"]


def test_reading_here_and_there_costs_what_is_read(served: Served) -> None:
    """Twenty reads in different places come to twenty requests for a buffer each, and not for the rest of the file."""
    shutil.copy(served.root / "a.bin", served.root / "seeked.bin")
    random = Random(1)
    with unspool.open(served.url("seeked.bin"), buffer_size=4096) as file:
        for _ in range(20):
            place = random.randrange(SIZE - 100)
            file.seek(place)
            assert file.read(100) == served.data[place : place + 100]
    reads = eventually(lambda: found if len(found := reads_of(served, "seeked.bin")) >= 20 else [])
    assert len(reads) == 20
    assert sum(int(str(entry["bytes"])) for entry in reads) <= 20 * 4096


def test_reading_on_is_one_stream(served: Served) -> None:
    """A file that is read from its beginning to its end costs two requests: the first buffer, and the rest."""
    shutil.copy(served.root / "a.bin", served.root / "read.bin")
    with unspool.open(served.url("read.bin"), buffer_size=100_000) as file:
        assert b"".join(iter(lambda: file.read(10_000), b"")) == served.data
    reads = eventually(lambda: found if len(found := reads_of(served, "read.bin")) >= 2 else [])
    assert [entry["start"] for entry in reads] == [0, 100_000]


def test_a_whole_file_is_read_at_once(served: Served) -> None:
    """`read()` takes all that is left."""
    with unspool.open(served.url("a.bin")) as file:
        assert file.read(5) == served.data[:5]
        assert file.read() == served.data[5:]
        assert file.read() == b""


def test_it_is_a_file_to_others(served: Served) -> None:
    """What takes a file of Python's takes this one: zipfile finds the directory at the end, TextIOWrapper finds lines."""
    with zipfile.ZipFile(served.root / "a.zip", "w") as made:
        made.writestr("one.bin", served.data)
        made.writestr("two.txt", "two")
    with unspool.open(served.url("a.zip")) as file, zipfile.ZipFile(file) as archive:
        assert archive.read("two.txt") == b"two"
    with io.TextIOWrapper(unspool.open(served.url("dir/b.txt"))) as text:
        assert list(text) == ["one\n", "two\n", "three"]
    with unspool.open(served.url("dir/deep/c")) as empty:
        assert empty.read() == b""


def test_what_it_says_of_itself(served: Served) -> None:
    """Readable, seekable, not writable; its raw file knows what the file is."""
    with unspool.open(f"unspool://{served.url('a.bin')}") as file:
        assert (file.readable(), file.seekable(), file.writable(), file.mode) == (True, True, False, "rb")
        assert file.name == served.url("a.bin")
        assert isinstance(file.raw, RemoteFile)
        assert file.raw.info == unspool.stat(served.url("a.bin"))
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
        for offset, whence in ((-1, os.SEEK_SET), (-SIZE - 1, os.SEEK_END), (0, 9)):
            with pytest.raises(ValueError, match=r"seek|whence") as caught:
                file.seek(offset, whence)
            assert isinstance(caught.value, InvalidRangeError) or whence == 9
    with pytest.raises(ValueError, match="closed"):
        file.read()
    with pytest.raises(ValueError, match="closed"):
        file.raw.seek(0)
    file.close()


def test_one_revision(served: Served, tmp_path: Path) -> None:
    """A file that changes after it was opened is an error when it is read, and never bytes of two versions."""
    path = served.root / "changing.bin"
    path.write_bytes(served.data)
    url = served.url("changing.bin")
    with unspool.open(url, buffer_size=1000) as file:
        assert file.read(500) == served.data[:500]
        Path(shutil.copy(served.root / "dir" / "b.txt", tmp_path / "new")).replace(path)
        file.seek(2_000_000)
        for _ in range(2):
            with pytest.raises(FileChangedError):
                file.read(10)
            assert file.tell() == 2_000_000
    there = unspool.stat(url).revision
    with unspool.open(url, revision=there) as file:
        assert file.read(3) == b"one"
    with pytest.raises(FileChangedError, match=there):
        unspool.open(url, revision="another")


def test_what_cannot_be_opened(served: Served) -> None:
    """A missing file is found missing when it is opened, and nothing is left open."""
    with pytest.raises(NotFoundError):
        unspool.open(served.url("nope"))
    with pytest.raises(FileNotFoundError):
        unspool.open(served.url("dir"))
    gc.collect()


def test_the_tutorials_dialect_has_no_files_to_open(served: Served) -> None:
    """Where a file cannot be pinned it is got, and not opened."""
    with pytest.raises(UnsupportedError):
        unspool.read(served.url("a.bin"), dialect="demo", revision="r")
    assert unspool.read(served.url("dir/b.txt"), dialect="demo") == b"one\ntwo\nthree"
