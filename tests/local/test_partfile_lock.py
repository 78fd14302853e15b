"""The lock of a part file, and races for it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.partfile_contract import SEGMENT, blocks_of, bytes_of, journal_for, listing, part_at, recheck
from unspool.errors import BusyError, LocalFileError
from unspool.local.partfile import PartFile

DATA = bytes_of(3 * SEGMENT)

HOLD = """
import sys
from pathlib import Path
from unspool.core.checksum import crc32c
from unspool.core.journal import Journal
from unspool.core.model import Block
from unspool.local.destination import Destination
from unspool.local.partfile import PartFile

part = PartFile(Destination.at(Path(sys.argv[1])))
part.acquire()
part.begin(Journal("models/a.bin", "host:1", "r1", 12288, 4096))
data = b"x" * 4096
part.write(Block(0, data, crc32c(data)))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(destination: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run another process that holds the part file, with its first segment good."""
    with subprocess.Popen([sys.executable, "-c", HOLD, destination], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def begun(destination: Path, data: bytes = DATA) -> PartFile:
    """Return a complete part file."""
    part = part_at(destination)
    part.acquire()
    part.begin(journal_for(len(data)))
    for block in blocks_of(data):
        part.write(block)
    return part


def test_another_process_is_told_at_once_and_gets_it_when_the_first_is_killed(tmp_path: Path) -> None:
    """Two processes never share a part file; a kill -9 releases it, with its good bytes."""
    destination = tmp_path / "a.bin"
    with another_process(destination) as process:
        part = part_at(destination)
        with pytest.raises(BusyError, match="another process is downloading it"):
            part.acquire()
        part.close()
        assert part.path.exists()
        assert part.journal_path.exists()
        process.kill()
        process.wait()
    part = part_at(destination)
    part.acquire()
    assert recheck(part) == 4096
    part.close()


def test_the_lock_goes_with_the_object_that_was_closed(tmp_path: Path) -> None:
    """After close, commit and discard the next one may begin at once."""
    destination = tmp_path / "a.bin"
    endings: list[Callable[[PartFile], None]] = [
        PartFile.close,
        PartFile.discard,
        lambda part: part.commit(len(DATA), overwrite=True),
    ]
    for end in endings:
        part = begun(destination)
        end(part)
    assert destination.read_bytes() == DATA
    assert listing(tmp_path) == ["a.bin"]


def commit(part: PartFile) -> None:
    """Commit it."""
    part.commit(len(DATA), overwrite=True)


def commit_without_overwriting(part: PartFile) -> None:
    """Commit it without overwriting."""
    part.commit(len(DATA), overwrite=False)


@pytest.mark.parametrize("end", [commit, commit_without_overwriting, PartFile.discard, PartFile.close])
def test_the_holder_may_end_between_our_opening_and_our_locking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[PartFile], None]
) -> None:
    """The file we locked may be committed or removed by then: we make a new part file, and never write into theirs."""
    destination = tmp_path / "a.bin"
    holder = begun(destination)
    flock = fcntl.flock
    calls = 0
    open_before = descriptors()

    def late_flock(descriptor: int, operation: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            end(holder)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late_flock)
    part = part_at(destination)
    part.acquire()
    closed = end is PartFile.close
    assert calls == (1 if closed else 2)
    assert recheck(part) == (len(DATA) if closed else 0)
    part.begin(journal_for(10))
    part.write(next(blocks_of(b"0123456789")), checkpoint=True)
    if end in (commit, commit_without_overwriting):
        assert destination.read_bytes() == DATA
    else:
        assert not destination.exists()
    other = part_at(destination)
    with pytest.raises(BusyError):
        other.acquire()
    other.close()
    part.close()
    assert descriptors() == open_before - 2  # neither's is left, nor its directory's


def test_a_commit_that_died_between_its_two_names_is_finished(tmp_path: Path) -> None:
    """Without overwriting, the file has both names for a moment: after a crash then, it must not be taken for a part file."""
    destination = tmp_path / "a.bin"
    part = begun(destination)
    part.close()
    os.link(part.path, destination)
    assert listing(tmp_path) == ["a.bin", part.journal_path.name, part.path.name]

    part = part_at(destination)
    part.acquire()
    assert part.journal is None
    part.begin(journal_for(10))
    part.write(next(blocks_of(b"0123456789")), checkpoint=True)
    assert destination.read_bytes() == DATA
    part.close()
    assert destination.read_bytes() == DATA


def test_a_part_name_that_cannot_be_removed_does_not_undo_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the file has its name it is there: what fails after that is no error, and the next run tidies up."""
    destination = tmp_path / "a.bin"
    part = begun(destination)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refusing)
        part.commit(len(DATA), overwrite=False)
    part.close()
    assert destination.read_bytes() == DATA
    part = part_at(destination)
    part.acquire()
    part.close()
    assert listing(tmp_path) == ["a.bin"]
    assert destination.read_bytes() == DATA


def refusing(*args: object, **kwargs: object) -> None:
    """Fail as the operating system does."""
    raise PermissionError(1, "Operation not permitted")


def test_a_lock_that_cannot_be_had_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks is an error of ours; no descriptor is left open, and what is there is not touched."""
    begun(tmp_path / "a.bin").close()
    files = listing(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refusing)
    before = descriptors()
    part = part_at(tmp_path / "a.bin")
    with pytest.raises(LocalFileError, match="not allowed to write there"):
        part.acquire()
    part.close()
    assert descriptors() == before
    assert listing(tmp_path) == files


def descriptors() -> int:
    """Count what this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def test_a_link_in_place_of_the_part_file_is_not_followed(tmp_path: Path) -> None:
    """A user who guesses the part file's name cannot make us write to a file of their choice."""
    (tmp_path / "precious").write_bytes(b"precious")
    part = part_at(tmp_path / "a.bin")
    part.path.symlink_to(tmp_path / "precious")
    with pytest.raises(LocalFileError):
        part.acquire()
    part.close()
    assert (tmp_path / "precious").read_bytes() == b"precious"
