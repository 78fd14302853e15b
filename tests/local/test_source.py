"""What is uploaded: a file that is looked at again, a stream that is kept in part, and the key of uploads."""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest

from unspool.core.checksum import crc32c
from unspool.core.model import Span
from unspool.core.segments import SEGMENT_SIZE
from unspool.core.uploadid import KEY_BYTES
from unspool.errors import InvalidRequestError, LocalFileError, SourceChangedError, TransferError
from unspool.local.source import FileSource, Source
from unspool.local.streamsource import StreamSource, check_reader
from unspool.local.uploadkey import upload_key
from unspool.local.walk import read_small

PROC = Path("/proc/version")

DATA = Random(3).randbytes(SEGMENT_SIZE + 3_000_001)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a segment and a bit."""
    path = tmp_path_factory.mktemp("source") / "a.bin"
    path.write_bytes(DATA)
    return path


def summed(source: Source, start: int, stop: int) -> int:
    """Return the checksum of a span."""
    pieces = list(source.summed(Span(start, stop)))
    assert pieces[-1][0] == stop - start
    return pieces[-1][1]


@pytest.mark.skipif(not PROC.exists(), reason="there is no /proc")
def test_a_file_that_hides_its_bytes_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    """Files of /proc have bytes and the size 0: nothing would be uploaded, and verified."""
    for read in (FileSource, lambda path: read_small(str(path), 1000)):
        with pytest.raises(LocalFileError, match="/proc/version: has bytes, but its size is 0"):
            read(PROC)
    (tmp_path / "empty").touch()
    with FileSource(tmp_path / "empty") as source:
        assert source.size == 0


def test_a_file_is_read_and_summed_in_any_order(big: Path) -> None:
    """A block has the file's bytes and their checksum, and every span has its checksum, read or not."""
    with FileSource(big) as source:
        assert source.size == len(DATA)
        assert source.checksum() is None
        block = source.read(Span(0, 1000))
        assert block.data == DATA[:1000]
        assert block.crc32c == crc32c(DATA[:1000])
        for start, stop in [
            (0, 0),
            (0, 1000),
            (0, 1500),
            (7, 900),
            (500, SEGMENT_SIZE + 5),
            (SEGMENT_SIZE, len(DATA)),
            (0, len(DATA)),
        ]:
            assert summed(source, start, stop) == crc32c(DATA[start:stop])
        assert source.checksum() == crc32c(DATA)
        source.check()
        source.forget(len(DATA))


def test_what_is_in_memory_is_read_at_once(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting come the same blocks, in a buffer that they share, and they are summed once."""
    monkeypatch.setattr("unspool.system.pagecache._NO_WAIT", 0)  # as if every file were in memory
    with FileSource(big) as source:
        for start in range(0, len(DATA), 1 << 20):
            span = Span(start, min(start + (1 << 20), len(DATA)))
            block = source.read_at_once(span)
            assert block is not None
            assert (block.offset, bytes(block.data)) == (start, DATA[start : span.stop])
            assert block.crc32c == crc32c(DATA[start : span.stop])
        assert source.checksum() == crc32c(DATA)
        assert source.read_at_once(Span(len(DATA) - 1, len(DATA) + 1)) is None, "it is for `read` to say that it is shorter"


def test_what_is_not_in_memory_is_not_read_at_once(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a block that a disk has to fetch nothing is returned or summed; a disk that fails is an error."""
    monkeypatch.setattr("unspool.system.pagecache._NO_WAIT", 0)
    with FileSource(big) as source:
        monkeypatch.setattr(os, "preadv", lambda *_: 5)
        assert source.read_at_once(Span(0, len(DATA))) is None
        assert source.checksum() is None
        monkeypatch.setattr(os, "preadv", partial(_raise, OSError(errno.EIO, "Input/output error")))
        with pytest.raises(LocalFileError, match="cannot be read: input/output error"):
            source.read_at_once(Span(0, 10))


def _raise(error: Exception, *_: object) -> None:
    raise error


def test_what_was_read_is_not_read_again_to_be_summed(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A span whose segments were read is summed without the disk."""
    with FileSource(big) as source:
        for start in range(0, len(DATA), 1 << 20):
            source.read(Span(start, min(start + (1 << 20), len(DATA))))
        monkeypatch.setattr(os, "pread", None)
        assert summed(source, 0, len(DATA)) == crc32c(DATA)
        assert summed(source, 0, SEGMENT_SIZE) == crc32c(DATA[:SEGMENT_SIZE])


def test_a_file_keeps_its_attributes(tmp_path: Path) -> None:
    """The modification time and the executable bit are told to the server."""
    path = tmp_path / "run"
    path.write_bytes(b"x")
    path.chmod(0o700)
    os.utime(path, ns=(5, 1_700_000_000_123_456_789))
    with FileSource(path) as source:
        assert source.attributes.modified_ns == 1_700_000_000_123_456_789
        assert source.attributes.executable is True


def lengthen(path: Path) -> None:
    """Write more bytes."""
    path.write_bytes(b"longer than before")


def cut(path: Path) -> None:
    """Cut a file."""
    os.truncate(path, 2)


def touch(path: Path) -> None:
    """Give a file another time."""
    os.utime(path, ns=(1, 1))


def edit_and_hide(path: Path) -> None:
    """Edit a file, and give it its old times."""
    before = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [lengthen, cut, touch, edit_and_hide])
def test_a_file_that_changed_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Another size or time, and an edit whose time was set back, are a changed source."""
    path = tmp_path / "a"
    path.write_bytes(b"bytes")
    touch(path)
    with FileSource(path) as source:
        source.check()
        change(path)
        with pytest.raises(SourceChangedError, match="changed while it was uploaded"):
            source.check()


def test_a_file_that_became_shorter_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    """A read beyond the new end is an error, never fewer bytes."""
    path = tmp_path / "a"
    path.write_bytes(bytes(100))
    with FileSource(path) as source:
        os.truncate(path, 60)
        with pytest.raises(SourceChangedError, match="ends at byte 60"):
            source.read(Span(50, 100))


def test_a_file_that_replaces_the_opened_one_is_not_mixed_in(tmp_path: Path) -> None:
    """All bytes come from the file that was opened."""
    path = tmp_path / "a"
    path.write_bytes(b"old bytes")
    with FileSource(path) as source:
        (tmp_path / "b").write_bytes(b"new bytes")
        (tmp_path / "b").replace(path)
        assert source.read(Span(0, 9)).data == b"old bytes"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, a pipe and nothing at all: one error each, that names the path."""
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path, "put_tree"), (tmp_path / "pipe", "not a regular"), (tmp_path / "none", "no such file")):
        with pytest.raises(LocalFileError, match=said) as caught:
            FileSource(path)
        assert str(path) in caught.value.message


def read_all(source: StreamSource, size: int) -> bytes:
    """Read a stream to its end in blocks."""
    data = b""
    while (block := source.read(Span(len(data), len(data) + size))) is not None:
        assert block.offset == len(data)
        assert block.crc32c == crc32c(block.data)
        data += block.data
    return data


class Drips(io.RawIOBase):
    """A reader that returns few bytes at a time, and sometimes None."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.left = data
        self.turn = 0

    def read(self, size: int = -1, /) -> bytes | None:
        """See `io.RawIOBase`."""
        self.turn += 1
        if self.turn % 3 == 0:
            return None
        part, self.left = self.left[: min(size, 7)], self.left[min(size, 7) :]
        return part


@pytest.mark.parametrize("reader", [io.BytesIO(DATA[:1000]), Drips(DATA[:1000])])
def test_a_stream_is_read_to_its_end_in_whole_blocks(reader: io.RawIOBase) -> None:
    """Only the last block is shorter. Then the size and the checksum are known."""
    source = StreamSource(reader, "-")
    assert source.size is None
    assert source.attributes.modified_ns is None
    assert read_all(source, 64) == DATA[:1000]
    assert source.size == 1000
    assert source.checksum() == crc32c(DATA[:1000])
    source.check()


def test_the_last_bytes_of_a_stream_can_be_sent_again() -> None:
    """What is kept is read again with its checksum, from any byte; what is not is an error that says what to do."""
    source = StreamSource(io.BytesIO(DATA[:1000]), "-", memory=100)
    for start in range(0, 400, 40):
        source.read(Span(start, start + 40))
    assert source.start == 280
    block = source.read(Span(290, 400))
    assert block is not None
    assert block.data == DATA[290:320]
    for position in (280, 290, 399, 400):
        assert list(source.summed(Span(0, position))) == [(position, crc32c(DATA[:position]))]
    with pytest.raises(TransferError, match="cannot be read again"):
        source.read(Span(279, 300))
    for span in (Span(0, 279), Span(10, 290)):
        with pytest.raises(TransferError, match="cannot be read again"):
            list(source.summed(span))
    source.forget(360)
    assert source.start == 360


@pytest.mark.parametrize("reader", [io.StringIO("text"), 7])
def test_what_has_no_bytes_is_refused(reader: object) -> None:
    """A text file and a number are refused before anything is sent."""
    with pytest.raises(InvalidRequestError, match="mode 'rb'"):
        check_reader(reader)


def test_a_reader_that_fails_or_lies_is_an_error() -> None:
    """A closed file and one that returns something else: an error of unspool."""
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(LocalFileError, match="closed file"):
        StreamSource(closed, "-").read(Span(0, 1))

    class Liar:
        def read(self, size: int, /) -> bytes:
            return "text"  # type: ignore[return-value]

    with pytest.raises(InvalidRequestError, match="instead of bytes"):
        StreamSource(Liar(), "-").read(Span(0, 1))


def test_a_read_that_waits_for_a_pipe_ends_when_the_upload_does() -> None:
    """A caller that gives up does not wait for whoever fills the pipe."""
    reading, writing = os.pipe()
    with io.FileIO(reading) as pipe, io.FileIO(writing, "w"):
        source = StreamSource(pipe, "-")
        threading.Timer(0.01, source.close).start()
        with pytest.raises(TransferError, match="given up"):
            source.read(Span(0, 1))


def test_the_key_of_uploads_is_made_once(tmp_path: Path) -> None:
    """The key is random, the same in every run, and readable by its owner only."""
    path = tmp_path / "state" / "unspool" / "key"
    key = upload_key(path)
    assert len(key) == KEY_BYTES
    assert upload_key(path) == key
    assert upload_key(tmp_path / "other") != key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["key"]


def test_processes_that_make_the_key_at_the_same_time_get_the_same(tmp_path: Path) -> None:
    """The first key stays."""
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(upload_key(tmp_path / "key"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_key_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    """A directory in its place, and a file with other contents: the error names the path."""
    (tmp_path / "dir").mkdir()
    (tmp_path / "short").write_bytes(b"short")
    for name, said in (("dir", "neither read nor made"), ("short", "is not a key of uploads"), ("short/key", "neither")):
        with pytest.raises(LocalFileError, match=said):
            upload_key(tmp_path / name)
