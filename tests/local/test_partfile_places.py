"""Part files at paths of any length, and at paths where none can be."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.partfile_contract import blocks_of, bytes_of, journal_for, listing, part_at
from unspool.core.journal import Journal
from unspool.core.reserved import JOURNAL_SUFFIX, PART_SUFFIX, SCRATCH_SUFFIX, names_beside
from unspool.errors import LocalFileError

DATA = bytes_of(1000)

NOBODY = 65534


def downloaded(destination: Path) -> None:
    """Go through a whole life of a part file, with a break in the middle."""
    part = part_at(destination)
    part.acquire()
    part.begin(journal_for(len(DATA)))
    part.write(next(blocks_of(DATA)))
    part.close()
    part = part_at(destination)
    part.acquire()
    assert part.recheck() == 0
    for block in blocks_of(DATA, part.good_bytes):
        part.write(block)
    part.commit(len(DATA), overwrite=True)


# Names


@pytest.mark.parametrize(
    "name",
    [
        "a" * 255,
        "a" * 236,
        "a" * 235,
        "é" * 127 + "x",
        "x" + "é" * 127,
        "語" * 85,
        "🧵" * 63 + "abc",
        "-",
        "...",
    ],
    ids=lambda name: f"{name[:3]}-{len(name.encode())}",
)
def test_any_name_that_the_file_system_takes_has_room_for_a_part_file(tmp_path: Path, name: str) -> None:
    """The longest names are cut for part file and journal, at a character; the destination's own is never touched."""
    part = part_at(tmp_path / name)
    for path in (part.path, part.journal_path):
        assert len(os.fsencode(path.name + ".new")) <= 255
        assert path.name.encode(errors="strict")
        assert path.parent == tmp_path
    downloaded(tmp_path / name)
    assert listing(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == DATA


def test_names_that_are_cut_alike_have_part_files_of_their_own(tmp_path: Path) -> None:
    """Two long names that differ only at the end do not share a part file."""
    paths = {part_at(tmp_path / ("a" * 250 + end)).path for end in ("1", "2", "1.x")}
    assert len(paths) == 3


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=300))
def test_every_name_has_a_pair_of_names_beside_it(name: str) -> None:
    """Part file and journal are in the same directory, fit the file system, are whole characters, and tell what they are."""
    names = names_beside(name, 255)
    for kept, suffix in ((names.part, PART_SUFFIX), (names.journal, JOURNAL_SUFFIX), (names.scratch, SCRATCH_SUFFIX)):
        assert kept.endswith(suffix)
        assert len(kept.encode(errors="strict")) <= 255
        assert (kept == name + suffix) == (len(name.encode()) + len(SCRATCH_SUFFIX) <= 255)


def test_a_name_that_is_not_utf_8_is_a_name(tmp_path: Path) -> None:
    """A local name may be any bytes that the system allows."""
    destination = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff\xfe" + b"\xe9" * 240))
    downloaded(destination)
    assert listing(tmp_path) == [destination.name]


@pytest.mark.parametrize("path", [".", "/", "", "a\0b", "a\0/b", "\ud800"], ids=ascii)
def test_what_cannot_be_the_name_of_a_file_is_told(path: str) -> None:
    """A path that names no file is an error of ours, at once, and not one of Python's."""
    with pytest.raises(LocalFileError):
        part_at(Path(path))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EILSEQ])
def test_a_name_that_the_file_system_does_not_take_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As on FAT, which has no colon in names."""

    def refuse(name: str, *_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number), name)

    part = part_at(tmp_path / "a:b")
    monkeypatch.setattr("unspool.local.entries.os.open", refuse)
    with pytest.raises(LocalFileError, match="the file system does not take this name"):
        part.acquire()


@pytest.mark.parametrize("name", ["a" * 256, "é" * 128])
def test_a_name_that_is_too_long_for_the_file_system_is_told(tmp_path: Path, name: str) -> None:
    """The destination itself has to fit."""
    part = part_at(tmp_path / name)
    with pytest.raises(LocalFileError, match="the name is longer than the file system allows"):
        part.acquire()
    part.close()
    assert listing(tmp_path) == []


# Places


def refused(destination: Path, said: str) -> None:
    """Check that a destination is refused with these words before anything is made."""
    before = listing(destination.parent) if destination.parent.is_dir() else None
    with pytest.raises(LocalFileError, match=said) as caught, closing(part_at(destination)) as part:
        part.acquire()
    assert str(destination) in caught.value.message
    if before is not None:
        assert listing(destination.parent) == before


def directory(path: Path) -> None:
    """Make a directory."""
    path.mkdir()


def link_to_a_directory(path: Path) -> None:
    """Make a link to a directory."""
    path.symlink_to(path.parent)


def fifo(path: Path) -> None:
    """Make a FIFO."""
    os.mkfifo(path)


def link_to_a_fifo(path: Path) -> None:
    """Make a link to a FIFO."""
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


def link_to_a_device(path: Path) -> None:
    """Make a link to a device."""
    path.symlink_to(os.devnull)


def link_like_standard_output(path: Path) -> None:
    """Make a link as /dev/stdout is one, by way of /proc to what may be a regular file."""
    path.symlink_to("/proc/self/exe")
    assert path.is_file()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (directory, "is a directory"),
        (link_to_a_directory, "is a directory"),
        (fifo, "is not a regular file: open it and give it as a writer"),
        (link_to_a_fifo, "is not a regular file"),
        (link_to_a_device, "is not a regular file"),
        (link_like_standard_output, "is not a regular file"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_not_a_regular_file_is_not_replaced(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    """Directories, FIFOs, devices and links to them are refused before anything is made beside them."""
    make(tmp_path / "a.bin")
    refused(tmp_path / "a.bin", said)


def test_a_device_is_not_replaced() -> None:
    """Root is refused as well, although it could write there."""
    refused(Path(os.devnull), "is not a regular file")


@pytest.mark.parametrize(("make", "said"), [(directory, "is a directory"), (fifo, "is not a regular file: open it")])
def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    """The destination is looked at again before the commit; the part file is kept."""
    destination = tmp_path / "a.bin"
    part = part_at(destination)
    part.acquire()
    part.begin(journal_for(len(DATA)))
    for block in blocks_of(DATA):
        part.write(block)
    make(destination)
    with pytest.raises(LocalFileError, match=said):
        part.commit(len(DATA), overwrite=True)
    part.close()
    assert not destination.is_file()
    assert part.path.read_bytes() == DATA


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    """The directory must exist; it is not made."""
    refused(tmp_path / "missing" / "a.bin", "there is no such directory")
    (tmp_path / "file").write_bytes(b"")
    refused(tmp_path / "file" / "a.bin", "there is no such directory")
    assert listing(tmp_path) == ["file"]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Drop root's permissions, if the test has them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_directory_that_is_not_ours_is_told() -> None:
    """If the directory is not writable, the error says so."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o555)
        with as_nobody():
            refused(Path(path) / "a.bin", "not allowed to write there")
        Path(path).chmod(0o755)


def test_a_part_file_that_is_removed_under_us_is_told(tmp_path: Path) -> None:
    """A part file that was removed is noticed at the commit, and no other file gets the destination's name."""
    part = part_at(tmp_path / "a.bin")
    part.acquire()
    part.begin(journal_for(len(DATA)))
    for block in blocks_of(DATA):
        part.write(block)
    part.path.unlink()
    with pytest.raises(LocalFileError, match="it was removed meanwhile"):
        part.commit(len(DATA), overwrite=True)
    part.close()
    assert not (tmp_path / "a.bin").exists()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full; what arrived is kept: make room and get it again"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "not allowed to write there"),
        (errno.EACCES, "not allowed to write there"),
        (errno.EIO, "input/output error"),
        (errno.EFBIG, "file too large"),
    ],
)
def test_the_systems_refusals_are_told_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    """Every refusal is one plain line about a path, and the system's own error is its cause."""
    part = part_at(tmp_path / "a.bin")
    part.acquire()

    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(LocalFileError, match=said) as caught:
        part.begin(journal_for(1))
    assert caught.value.message.startswith(f"{part.path}: ")
    assert isinstance(caught.value.__cause__, OSError)
    part.close()


def test_a_file_system_that_does_not_say_how_long_names_are_is_taken_for_a_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the limit cannot be asked for, 255 bytes are assumed."""

    def fail(*args: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fpathconf", fail)
    assert len(part_at(tmp_path / ("a" * 255)).journal_path.name + ".new") == 255


def test_the_journal_is_not_written_through_a_link(tmp_path: Path) -> None:
    """A link planted where the journal is made leads nowhere: what it points to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    part = part_at(tmp_path / "out")
    part.acquire()
    (tmp_path / "out.unspool-journal.new").symlink_to(victim)
    with pytest.raises(LocalFileError):
        part.begin(Journal("f", "store", "r1", 10, 16))
    part.close()
    assert victim.read_bytes() == b"precious"
