"""Files with our names that are not ours: they are checked before use, named in the error, and left as they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from contract.partfile_contract import SEGMENT, blocks_of, bytes_of, journal_for, listing, part_at, recheck
from local.nobody import said_by_nobody
from unspool.core.reserved import JOURNAL_SUFFIX, PART_SUFFIX, SCRATCH_SUFFIX, WHOLE_SUFFIX
from unspool.errors import LocalFileError

DATA = bytes_of(2 * SEGMENT)


def begun(destination: Path) -> None:
    """Leave an unfinished download."""
    part = part_at(destination)
    part.acquire()
    part.begin(journal_for(len(DATA)))
    part.write(next(blocks_of(DATA)), checkpoint=True)
    part.close()


def refused(destination: Path, place: Path, said: str) -> None:
    """Expect that a download is refused because of what is at a path."""
    part = part_at(destination)
    with pytest.raises(LocalFileError, match=said) as caught:
        part.acquire()
    part.close()
    assert caught.value.message.startswith(f"{place}: ")
    assert "remove it, or name another destination" in caught.value.message


@pytest.mark.parametrize("suffix", [PART_SUFFIX, JOURNAL_SUFFIX, SCRATCH_SUFFIX, WHOLE_SUFFIX, PART_SUFFIX.upper()])
def test_such_names_are_no_destinations(tmp_path: Path, suffix: str) -> None:
    """A destination with a reserved name is refused, because a later run would take it for a file of unspool's."""
    with pytest.raises(LocalFileError, match="unspool keeps unfinished downloads under such names: name another"):
        part_at(tmp_path / f"x{suffix}")


def test_a_file_of_the_users_that_is_named_like_a_part_file_stays(tmp_path: Path) -> None:
    """A part file with bytes and without a journal is not ours: it is neither overwritten nor removed."""
    mine = tmp_path / f"x{PART_SUFFIX}"
    mine.write_bytes(b"precious")
    refused(tmp_path / "x", mine, "is not empty and has no journal beside it")
    assert listing(tmp_path) == [mine.name]
    assert mine.read_bytes() == b"precious"


def test_an_empty_part_file_is_ours(tmp_path: Path) -> None:
    """A process that was killed before the first byte leaves nothing that stops the next run."""
    (tmp_path / f"x{PART_SUFFIX}").touch()
    begun(tmp_path / "x")


def test_a_part_file_with_another_name_is_not_written_to(tmp_path: Path) -> None:
    """A part file with another hard link is refused, because that file would be overwritten too."""
    begun(tmp_path / "x")
    part = tmp_path / f"x{PART_SUFFIX}"
    os.link(part, tmp_path / "other")
    before = part.read_bytes()
    refused(tmp_path / "x", part, "has another name too")
    assert (tmp_path / "other").read_bytes() == before


def test_a_file_at_the_place_of_a_commit_is_not_replaced(tmp_path: Path) -> None:
    """A file with the name of a commit's temporary link is refused if it is not the part file."""
    begun(tmp_path / "x")
    mine = tmp_path / f"x{WHOLE_SUFFIX}"
    mine.write_bytes(b"precious")
    refused(tmp_path / "x", mine, "is another file than the part file")
    assert mine.read_bytes() == b"precious"


def fifo(place: Path) -> None:
    """Make a FIFO, whose opening may hang."""
    os.mkfifo(place)


def endless(place: Path) -> None:
    """Make a link to a device that never ends."""
    place.symlink_to("/dev/zero")


def directory(place: Path) -> None:
    """Make a directory."""
    place.mkdir()


@pytest.mark.parametrize("make", [fifo, endless, directory], ids=lambda make: make.__name__)
@pytest.mark.parametrize("suffix", [PART_SUFFIX, JOURNAL_SUFFIX, SCRATCH_SUFFIX, WHOLE_SUFFIX])
def test_what_is_no_file_is_told_and_hangs_nobody(tmp_path: Path, suffix: str, make: Callable[[Path], None]) -> None:
    """A FIFO, a link to /dev/zero, a directory in any of our places: an error that names it, at once."""
    begun(tmp_path / "x")
    place = tmp_path / f"x{suffix}"
    with suppress(FileNotFoundError):
        place.unlink()
    make(place)
    refused(tmp_path / "x", place, "is not a regular file")


def test_a_journal_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    """A journal file larger than any journal is an error, and is not read into memory."""
    begun(tmp_path / "x")
    journal = tmp_path / f"x{JOURNAL_SUFFIX}"
    with journal.open("r+b") as file:
        file.truncate(3 << 30)
    part = part_at(tmp_path / "x")
    with pytest.raises(LocalFileError, match="too large to be unspool's: remove it"):
        part.acquire()
    part.close()
    assert journal.stat().st_size == 3 << 30


@pytest.mark.skipif(os.geteuid() != 0, reason="a process without rights is made by one that has them all")
@pytest.mark.parametrize("mask", [0o277, 0o777])
def test_a_umask_that_takes_our_own_rights_is_no_obstacle(mask: int) -> None:
    """With umask 277 the second run goes on like any other, and the file has the permissions that the umask says."""

    def twice(directory: Path) -> str:
        here = directory / "x"
        begun(here)
        part = part_at(here)
        part.acquire()
        good = recheck(part)
        for block in blocks_of(DATA, good):
            part.write(block)
        part.commit(len(DATA), overwrite=True)
        return f"{good > 0} {here.stat().st_mode & 0o777:o} {listing(directory)}"

    assert said_by_nobody(twice, mask) == f"True {0o666 & ~mask:o} ['x']"
