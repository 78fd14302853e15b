"""What every part file must do, whatever is underneath: a suite to be run by a class that says how to make one.

class TestPartFile(PartFileContract):
    def make(self, destination): return part_at(destination)
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from unspool.core.checksum import crc32c
from unspool.core.journal import Journal
from unspool.core.model import Block, Span
from unspool.errors import BusyError, DestinationExistsError
from unspool.local.destination import Destination
from unspool.local.partfile import PartFile

SEGMENT = 4096
"""A small segment, so that small files have many."""

NAME = "models/a.bin"


def bytes_of(size: int, seed: int = 1) -> bytes:
    """Return that many bytes that look like nothing else, the same every time."""
    return random.Random(seed).randbytes(size)


def journal_for(size: int | None, name: str = NAME, revision: str | None = "r1") -> Journal:
    """Return what a download of a file of that size begins with."""
    return Journal(name, "host:1", revision, size, SEGMENT)


def blocks_of(data: bytes, start: int = 0, stop: int | None = None, block_size: int = 700) -> Iterator[Block]:
    """Yield a span of the data in blocks that fit no segment."""
    for at in range(start, len(data) if stop is None else stop, block_size):
        piece = data[at : min(at + block_size, len(data) if stop is None else stop)]
        yield Block(at, piece, crc32c(piece))


def part_at(path: Path) -> PartFile:
    """Return the part file of a destination, named by its path."""
    return PartFile(Destination.at(path))


def recheck(part: PartFile) -> int:
    """Have everything read again that the journal claims; return how much of it is good."""
    while part.recheck():
        pass
    return part.good_bytes


def listing(directory: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(path.name for path in directory.iterdir())


SIZES = (0, 1, 699, SEGMENT - 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT, 5 * SEGMENT + 1234)
CUTS = (0, 10, 50, 90, 100)


class PartFileContract:
    """The promises of a part file."""

    def make(self, destination: Path) -> PartFile:
        """Return a part file for a destination."""
        raise NotImplementedError

    def begun(self, destination: Path, data: bytes, stop: int | None = None, *, checkpoint: bool = False) -> PartFile:
        """Return a part file that holds the beginning of a file."""
        part = self.make(destination)
        part.acquire()
        part.begin(journal_for(len(data)))
        for block in blocks_of(data, 0, stop):
            part.write(block, checkpoint=checkpoint and block.end == stop)
        return part

    def finish(self, part: PartFile, data: bytes, *, overwrite: bool = True) -> None:
        """Fetch what is missing, gap by gap, and commit."""
        while (gap := part.first_gap(len(data))) is not None:
            for block in blocks_of(data, gap.start, gap.stop):
                part.write(block)
        assert part.checksum(len(data)) == crc32c(data)
        part.commit(len(data), overwrite=overwrite)
        part.close()

    # Resuming

    @pytest.mark.parametrize("ending", ["close", "crash", "crash after a checkpoint"])
    @pytest.mark.parametrize(("size", "cut"), list(itertools.product(SIZES, CUTS)))
    def test_the_resume_table(self, tmp_path: Path, size: int, cut: int, ending: str) -> None:
        """Wherever and however a run ends, the next has its good bytes, fetches the rest, and leaves nothing beside the file.

        Closing loses nothing; a crash loses less than a segment, and nothing that was checkpointed.
        """
        data = bytes_of(size)
        stop = size * cut // 100
        first = tmp_path / "first"
        first.mkdir()
        part = self.begun(first / "a.bin", data, stop, checkpoint="checkpoint" in ending)
        second = first
        if ending != "close":
            # What a process leaves that vanishes: its files as they are, and no lock.
            second = shutil.copytree(first, tmp_path / "second")
        part.close()
        if not stop:
            assert listing(first) == []

        part = self.make(second / "a.bin")
        part.acquire()
        good = recheck(part)
        if ending == "crash":
            assert stop - SEGMENT < good <= stop
        else:
            assert good == stop
        if part.journal is None:
            part.begin(journal_for(size))
        assert part.first_gap(size) == (Span(good, size) if good < size else None)
        assert part.first_gap(None) == Span(good, good)
        self.finish(part, data)
        assert (second / "a.bin").read_bytes() == data
        assert listing(second) == ["a.bin"]

    def test_the_journal_says_of_which_file_the_part_is(self, tmp_path: Path) -> None:
        """Name, source, revision, size and segment size are as they were begun with."""
        self.begun(tmp_path / "a.bin", bytes_of(10_000), 5000).close()
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        assert part.journal is not None
        assert part.journal.segments.keys() == {0, 1}
        begun = journal_for(10_000)
        found = part.journal
        assert (found.name, found.source, found.revision) == (begun.name, begun.source, begun.revision)
        assert (found.size, found.segment_size) == (begun.size, begun.segment_size)
        part.close()

    def test_a_run_that_does_nothing_changes_nothing(self, tmp_path: Path) -> None:
        """A run that ends before anything is fetched, say because the server is away, keeps what the last one left."""
        self.begun(tmp_path / "a.bin", bytes_of(10_000), 5000).close()
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        part.close()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_beginning_again_forgets_everything(self, tmp_path: Path) -> None:
        """After a new beginning nothing of the old bytes is left, in the part file or in its journal."""
        self.begun(tmp_path / "a.bin", bytes_of(10_000), 9000).close()
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        assert recheck(part) == 9000
        other = bytes_of(6000, seed=2)
        part.begin(journal_for(6000, revision="r2"))
        assert part.good_bytes == 0
        assert part.path.stat().st_size == 0
        assert part.recheck() == 0
        self.finish(part, other)
        assert (tmp_path / "a.bin").read_bytes() == other

    def test_parts_may_be_written_in_any_order(self, tmp_path: Path) -> None:
        """Segments can come in any order; what is missing is asked for from the first gap on."""
        data = bytes_of(4 * SEGMENT)
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        part.begin(journal_for(len(data)))
        for number in (3, 1):
            for block in blocks_of(data, number * SEGMENT, (number + 1) * SEGMENT):
                part.write(block)
        assert part.first_gap(len(data)) == Span(0, SEGMENT)
        assert part.checksum(len(data)) is None
        part.close()
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        assert recheck(part) == 2 * SEGMENT
        self.finish(part, data)
        assert (tmp_path / "a.bin").read_bytes() == data

    # Checking again

    def test_a_flipped_bit_costs_its_segment(self, tmp_path: Path) -> None:
        """Only the segment with the flipped bit is forgotten; it is fetched again and the file is right."""
        data = bytes_of(5 * SEGMENT)
        part = self.begun(tmp_path / "a.bin", data)
        part.close()
        with part.path.open("r+b") as file:
            file.seek(2 * SEGMENT + 99)
            file.write(bytes([data[2 * SEGMENT + 99] ^ 1]))
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        assert recheck(part) == 4 * SEGMENT
        assert part.first_gap(len(data)) == Span(2 * SEGMENT, 3 * SEGMENT)
        self.finish(part, data)
        assert (tmp_path / "a.bin").read_bytes() == data

    @pytest.mark.parametrize("left", [0, 1, SEGMENT - 1, SEGMENT, 3 * SEGMENT + 5])
    def test_a_truncated_part_costs_what_was_cut(self, tmp_path: Path, left: int) -> None:
        """A part file that lost its end, as after a power cut, keeps the segments that are still whole."""
        data = bytes_of(5 * SEGMENT)
        part = self.begun(tmp_path / "a.bin", data)
        part.close()
        os.truncate(part.path, left)
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        assert recheck(part) == left // SEGMENT * SEGMENT
        if part.journal is None:
            part.begin(journal_for(len(data)))
        self.finish(part, data)
        assert (tmp_path / "a.bin").read_bytes() == data

    def test_pages_that_never_reached_the_disk_are_found(self, tmp_path: Path) -> None:
        """A hole that reads as zeros, though the journal claims bytes there, is fetched again."""
        data = bytes_of(5 * SEGMENT)
        part = self.begun(tmp_path / "a.bin", data)
        part.close()
        with part.path.open("r+b") as file:
            file.write(bytes(3 * SEGMENT))
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        assert recheck(part) == 2 * SEGMENT
        assert part.first_gap(len(data)) == Span(0, 3 * SEGMENT)
        part.close()

    def test_bytes_behind_the_good_ones_do_not_matter(self, tmp_path: Path) -> None:
        """What a cut write left behind the last good byte is written over, or cut off at the end."""
        data = bytes_of(5000)
        part = self.begun(tmp_path / "a.bin", data, 4900)
        part.close()
        with part.path.open("ab") as file:
            file.write(b"x" * 10_000)
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        assert recheck(part) == 4900
        self.finish(part, data)
        assert (tmp_path / "a.bin").read_bytes() == data

    def test_everything_can_be_checked_again_later(self, tmp_path: Path) -> None:
        """When the whole does not agree, every segment is read again; the damaged one is forgotten, in the journal too."""
        data = bytes_of(5 * SEGMENT)
        part = self.begun(tmp_path / "a.bin", data)
        with part.path.open("r+b") as file:
            file.seek(SEGMENT)
            file.write(bytes(10))
        assert part.good_bytes == len(data)
        part.recheck_all()
        assert part.good_bytes == 0, "what is to be checked again is not known to be good"
        checked = [(part.recheck(), part.good_bytes // SEGMENT) for _ in range(6)]
        assert checked == [(4, 1), (3, 1), (2, 2), (1, 3), (0, 4), (0, 4)]
        part.close()
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        assert (part.good_bytes, recheck(part)) == (0, 4 * SEGMENT)
        part.close()

    def test_bytes_written_over_are_counted_by_what_they_are_now(self, tmp_path: Path) -> None:
        """Where nothing pins the bytes, others may come for those that are here: the checksum is of what is in the file."""
        old, new = bytes_of(3 * SEGMENT), bytes_of(3 * SEGMENT - 500, seed=2)
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        part.begin(journal_for(None, revision=None))
        for block in blocks_of(old):
            part.write(block)
        for block in blocks_of(new):
            part.write(block)
            assert recheck(part) == part.good_bytes
        part.recheck_all()
        assert recheck(part) >= len(new)
        assert part.first_gap(len(new)) is None
        assert part.checksum(len(new)) == crc32c(new)
        part.commit(len(new), overwrite=True)
        assert (tmp_path / "a.bin").read_bytes() == new

    # One writer

    def test_a_second_part_file_is_told_at_once(self, tmp_path: Path) -> None:
        """Within one process too there is one writer; the second is told, touches nothing, and may have it afterwards."""
        data = bytes_of(10_000)
        holder = self.begun(tmp_path / "a.bin", data, 5000)
        second = self.make(tmp_path / "a.bin")
        with pytest.raises(BusyError):
            second.acquire()
        second.close()
        self.finish(holder, data)
        assert (tmp_path / "a.bin").read_bytes() == data
        third = self.make(tmp_path / "a.bin")
        third.acquire()
        third.close()
        assert listing(tmp_path) == ["a.bin"]

    def test_other_destinations_are_other_part_files(self, tmp_path: Path) -> None:
        """Two destinations in one directory do not get into each other's way."""
        a, b = self.begun(tmp_path / "a", bytes_of(5000, 1)), self.begun(tmp_path / "b", bytes_of(5000, 2))
        self.finish(a, bytes_of(5000, 1))
        self.finish(b, bytes_of(5000, 2))
        assert (tmp_path / "a").read_bytes() == bytes_of(5000, 1)
        assert (tmp_path / "b").read_bytes() == bytes_of(5000, 2)

    # Ending

    def test_nothing_is_touched_before_acquire(self, tmp_path: Path) -> None:
        """Making the object, and closing it, leaves no trace."""
        part = self.make(tmp_path / "a.bin")
        part.close()
        assert listing(tmp_path) == []

    def test_closing_with_nothing_good_leaves_nothing(self, tmp_path: Path) -> None:
        """A part file in which nothing is good is of no use, begun or not."""
        part = self.make(tmp_path / "a.bin")
        part.acquire()
        part.close()
        assert listing(tmp_path) == []
        part = self.begun(tmp_path / "a.bin", bytes_of(100), 0)
        part.close()
        assert listing(tmp_path) == []

    def test_closing_twice_is_fine(self, tmp_path: Path) -> None:
        """The second close does nothing, not even to a part file that somebody else holds by then."""
        part = self.begun(tmp_path / "a.bin", bytes_of(10_000), 5000)
        part.close()
        other = self.make(tmp_path / "a.bin")
        other.acquire()
        part.close()
        with pytest.raises(BusyError):
            self.make(tmp_path / "a.bin").acquire()
        other.close()

    def test_discarding_leaves_nothing(self, tmp_path: Path) -> None:
        """What is of no use to anybody is removed, and the next run begins anew."""
        part = self.begun(tmp_path / "a.bin", bytes_of(10_000), 9000)
        part.discard()
        part.close()
        assert listing(tmp_path) == []

    def test_the_destination_is_what_it_was_until_it_is_the_whole_file(self, tmp_path: Path) -> None:
        """While the new bytes come, and when the run ends early, the old file stands as it is."""
        destination = tmp_path / "a.bin"
        destination.write_bytes(b"old")
        data = bytes_of(10_000)
        part = self.begun(destination, data, 5000)
        assert destination.read_bytes() == b"old"
        part.close()
        assert destination.read_bytes() == b"old"
        part = self.make(destination)
        part.acquire()
        recheck(part)
        self.finish(part, data)
        assert destination.read_bytes() == data
        assert listing(tmp_path) == ["a.bin"]

    def test_what_appears_meanwhile_is_not_overwritten_against_the_callers_will(self, tmp_path: Path) -> None:
        """Without `overwrite` a file that appeared meanwhile stays, and so does the part file, for another try."""
        destination = tmp_path / "a.bin"
        data = bytes_of(10_000)
        part = self.begun(destination, data)
        destination.write_bytes(b"somebody else's")
        with pytest.raises(DestinationExistsError):
            part.commit(len(data), overwrite=False)
        part.close()
        assert destination.read_bytes() == b"somebody else's"
        part = self.make(destination)
        part.acquire()
        assert recheck(part) == len(data)
        destination.unlink()
        self.finish(part, data, overwrite=False)
        assert destination.read_bytes() == data
        assert listing(tmp_path) == ["a.bin"]
