"""The part file's journal: it never claims more than is written, and a damaged one is ignored."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.partfile_contract import SEGMENT, blocks_of, bytes_of, journal_for, listing, part_at, recheck
from unspool.core.checksum import crc32c
from unspool.core.journal import decode
from unspool.core.model import Block, Span
from unspool.core.segments import SegmentTable
from unspool.errors import LocalFileError
from unspool.local.partfile import PartFile

DATA = bytes_of(100)
offsets = st.integers(0, len(DATA))


def begun(destination: Path, data: bytes, stop: int | None = None) -> PartFile:
    """Return a part file that holds the beginning of a file."""
    part = part_at(destination)
    part.acquire()
    part.begin(journal_for(len(data)))
    write_all(part, blocks_of(data, 0, stop))
    return part


def write_all(part: PartFile, blocks: Iterable[Block]) -> None:
    """Write one block after the other."""
    for block in blocks:
        part.write(block)


def claimed_is_there(part: PartFile) -> int:
    """Check that the journal on disk claims only what the part file on disk holds; return how much it claims."""
    try:
        journal = decode(part.journal_path.read_bytes())
    except FileNotFoundError:
        return 0
    assert journal is not None
    table = SegmentTable(journal.segment_size, journal.segments)
    there = part.path.read_bytes()
    for number, segment in journal.segments.items():
        span = table.span_of(number)
        assert crc32c(there[span.start : span.stop]) == segment.crc32c
    return table.good_bytes


@given(
    segment_size=st.integers(1, 40),
    writes=st.lists(st.tuples(st.tuples(offsets, offsets).map(sorted), st.booleans()), max_size=12),
    most=st.integers(1, 50),
)
def test_the_journal_never_leads(segment_size: int, writes: list[tuple[list[int], bool]], most: int) -> None:
    """At every call to the file system, the part file has the bytes that the journal claims, whatever the order of blocks."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        part = part_at(Path(directory) / "a.bin")
        part.acquire()
        part.begin(replace(journal_for(len(DATA)), segment_size=segment_size))
        watch(patch, part, most)
        for (start, stop), checkpoint in writes:
            block = Block(start, DATA[start:stop], crc32c(DATA[start:stop]))
            part.write(block, checkpoint=checkpoint)
            if checkpoint:
                assert claimed_is_there(part) == part.good_bytes
        good = part.good_bytes
        part.close()
        if good:
            assert claimed_is_there(part) == good
        part = part_at(part.destination.path)
        part.acquire()
        assert recheck(part) == good
        part.close()


def watch(patch: pytest.MonkeyPatch, part: PartFile, most: int) -> None:
    """Check after each write and each rename; let no write take more than `most` bytes."""
    pwrite, rename = os.pwrite, os.replace

    def watched_pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        written = pwrite(descriptor, data[:most], offset)
        claimed_is_there(part)
        return written

    def watched_replace(source: str, target: str, **directories: int) -> None:
        rename(source, target, **directories)
        if target == part.journal_path.name:
            claimed_is_there(part)

    patch.setattr(os, "pwrite", watched_pwrite)
    patch.setattr(os, "replace", watched_replace)


def test_the_journal_is_written_when_there_is_something_new_to_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once at the beginning, then when a segment is full or at a checkpoint: not with every block, which would be slow."""
    writes = 0
    rename = os.replace

    def counting(source: str, target: str, **directories: int) -> None:
        nonlocal writes
        writes += 1
        rename(source, target, **directories)

    monkeypatch.setattr(os, "replace", counting)
    data = bytes_of(3 * SEGMENT)
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    part.begin(journal_for(len(data)))
    assert decode(part.journal_path.read_bytes()) == journal_for(len(data))
    assert writes == 1
    write_all(part, blocks_of(data, 0, 2 * SEGMENT + 700, block_size=SEGMENT // 8))
    assert writes == 3
    part.write(next(blocks_of(data, 2 * SEGMENT + 700)), checkpoint=True)
    assert writes == 4
    part.close()
    assert writes == 4


def test_a_write_that_takes_less_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may take fewer bytes than it was given; the rest follows at the right place."""
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    part.begin(journal_for(1000))
    watch(monkeypatch, part, 7)
    data = bytes_of(1000)
    for block in blocks_of(data):
        part.write(block)
    part.commit(1000, overwrite=True)
    assert (tmp_path / "a.bin").read_bytes() == data


def test_what_cannot_be_read_again_stays_to_be_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that cannot be read back is an error, and stays in the journal."""
    data = bytes_of(3 * SEGMENT)
    begun(tmp_path / "a.bin", data).close()
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert part.recheck() == 2
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", failing(errno.EIO))
        with pytest.raises(LocalFileError, match="input/output error"):
            part.recheck()
    assert [part.recheck(), part.recheck()] == [1, 0]
    assert part.good_bytes == len(data)
    part.close()


def empty_journal(path: Path) -> None:
    """Leave a journal of length 0, as some file systems do after a power cut."""
    path.write_bytes(b"")


def zeroed_journal(path: Path) -> None:
    """Leave a journal of the right length, all zeros, as others do."""
    path.write_bytes(bytes(path.stat().st_size))


def cut_journal(path: Path) -> None:
    """Leave half a journal."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped_journal(path: Path) -> None:
    """Flip a bit."""
    data = bytearray(path.read_bytes())
    data[-20] ^= 4
    path.write_bytes(data)


def newer_journal(path: Path) -> None:
    """Leave the journal of a later version."""
    path.write_bytes(path.read_bytes().replace(b"journal 1", b"journal 2"))


@pytest.mark.parametrize(
    "damage", [empty_journal, zeroed_journal, cut_journal, flipped_journal, newer_journal], ids=lambda f: f.__name__
)
def test_without_a_good_journal_nothing_is_known(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """If the journal is damaged or of another version, the download begins again, without the old bytes."""
    data = bytes_of(3 * SEGMENT)
    part = begun(tmp_path / "a.bin", data)
    part.close()
    damage(part.journal_path)
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert part.journal is None
    assert part.good_bytes == 0
    assert part.recheck() == 0
    assert part.first_gap(len(data)) == Span(0, len(data))
    part.begin(journal_for(len(data)))
    assert part.path.stat().st_size == 0
    part.close()
    assert listing(tmp_path) == []


def test_the_journal_of_another_file_is_told_apart(tmp_path: Path) -> None:
    """A part file at the same destination may be of another file: its journal says so, and a new beginning replaces both."""
    begun(tmp_path / "a.bin", bytes_of(3 * SEGMENT)).close()
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert part.journal is not None
    assert not part.journal.is_about("models/b.bin", "host:1")
    part.begin(journal_for(10, name="models/b.bin"))
    part.write(next(blocks_of(bytes_of(10, 2))), checkpoint=True)
    part.close()
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert part.journal is not None
    assert part.journal.name == "models/b.bin"
    assert recheck(part) == 10
    part.close()


def test_a_journal_of_another_part_file_finds_nothing_good(tmp_path: Path) -> None:
    """A journal that was copied from another file claims bytes that are not there, and every segment fails its check."""
    theirs = begun(tmp_path / "b.bin", bytes_of(3 * SEGMENT, 2))
    theirs.close()
    part = begun(tmp_path / "a.bin", bytes_of(3 * SEGMENT, 1))
    part.close()
    shutil.copy(theirs.journal_path, part.journal_path)
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert recheck(part) == 0
    part.close()


@pytest.mark.parametrize("with_part", [False, True])
def test_a_journal_that_was_left_behind_by_a_commit_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_part: bool
) -> None:
    """A crash after the file has its name leaves a journal, perhaps the part file's name too: the next run removes them."""
    data = bytes_of(3 * SEGMENT)
    part = begun(tmp_path / "a.bin", data)
    unlink = os.unlink

    def failing_unlink(name: str, *, dir_fd: int) -> None:
        if name == part.path.name and not with_part:
            unlink(name, dir_fd=dir_fd)
        else:
            raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", failing_unlink)
        part.commit(len(data), overwrite=True)
    assert listing(tmp_path) == ["a.bin", part.journal_path.name, *([part.path.name] if with_part else [])]

    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert part.good_bytes == 0
    assert part.recheck() == 0
    part.close()
    assert listing(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == data


def failing(number: int) -> Callable[..., None]:
    """Return a call to the operating system that fails."""

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_what_a_kill_left_of_a_journal_in_the_making_is_removed(tmp_path: Path) -> None:
    """A half-written successor of the journal is neither read nor left behind at the end."""
    data = bytes_of(3 * SEGMENT)
    part = begun(tmp_path / "a.bin", data)
    part.close()
    scratch = part.journal_path.with_name(part.journal_path.name + ".new")
    scratch.write_bytes(b"unspool-jour")
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert recheck(part) == len(data)
    part.commit(len(data), overwrite=True)
    assert listing(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("call", ["replace", "unlink"])
def test_a_journal_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """When the new journal cannot be put in place the old one stands, still true, and closing tries once more."""
    data = bytes_of(3 * SEGMENT)
    part = begun(tmp_path / "a.bin", data, 2 * SEGMENT)
    before = part.journal_path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(errno.ENOSPC))
        if call == "unlink":
            patch.setattr(os, "unlink", failing(errno.EIO))
        with pytest.raises(LocalFileError, match="the disk is full"):
            write_all(part, blocks_of(data, 2 * SEGMENT))
        assert part.journal_path.read_bytes() == before
        assert claimed_is_there(part) == 2 * SEGMENT
        with pytest.raises(LocalFileError):
            part.close()
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert recheck(part) == 2 * SEGMENT
    part.close()


def test_closing_tries_again_what_failed_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is journalled when the run ends, if the journal could not be written in time."""
    data = bytes_of(3 * SEGMENT)
    part = begun(tmp_path / "a.bin", data, 2 * SEGMENT)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(errno.ENOSPC))
        with pytest.raises(LocalFileError):
            part.write(Block(2 * SEGMENT, data[2 * SEGMENT :], crc32c(data[2 * SEGMENT :])))
    part.close()
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert recheck(part) == len(data)
    part.close()


@pytest.mark.parametrize("room", [0, 1, SEGMENT, SEGMENT + 100, 2 * SEGMENT])
def test_a_full_disk_keeps_what_arrived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """When no more bytes fit, the error says so; what is good is kept, and with room made the next run goes on from there."""
    data = bytes_of(3 * SEGMENT)
    pwrite = os.pwrite

    def full_pwrite(descriptor: int, piece: memoryview, offset: int) -> int:
        if offset >= room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, piece[: room - offset], offset)

    part = part_at(tmp_path / "a.bin")
    part.acquire()
    part.begin(journal_for(len(data)))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full_pwrite)
        with pytest.raises(LocalFileError, match=r"a\.bin\.unspool-part: the disk is full; what arrived is kept"):
            write_all(part, blocks_of(data))
        part.close()
    good = room // 700 * 700
    if not good:
        assert listing(tmp_path) == []
        return
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    assert recheck(part) == good
    for block in blocks_of(data, good):
        part.write(block)
    part.commit(len(data), overwrite=True)
    assert (tmp_path / "a.bin").read_bytes() == data
