"""Where the bytes go: a part file and its journal beside the destination, one writer, an atomic commit.

Rule 1: the destination's directory entry changes once, from what it was to the whole file: to the file that is open and was
        verified, whatever has the part file's name by then.
Rule 2: the data is written before the journal claims it. Neither is synced on the way: after a power cut the journal may claim
        pages that never reached the disk, and `recheck` finds them out.
Rule 3: who builds on a part file reads it again first and keeps only the segments whose CRC32C agrees.
Rule 4: one writer. The part file is locked (flock), so the lock goes with the process, however it dies.
Rule 5: closing is not aborting: it keeps what is good. A part file that holds nothing good is removed.
Rule 6: a symbolic link at the destination is replaced itself; what it points to stays as it is. A link to what is not a regular
        file (`/dev/stdout`) is refused like that thing itself.
Rule 7: everything is done in the destination's directory as it was opened; no path is looked up twice.
Rule 8: what stands in our places is looked at before it is used. A part file with bytes has had a journal beside it since
        before the first of them, and no other name: one that has not is somebody else's, and is left as it is (aria2 keeps the
        same rule about its control file).

Plain blocking calls: the caller decides which thread waits for the disk, and calls one at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import replace

from unspool.core import journal as journals
from unspool.core.checksum import crc32c
from unspool.core.journal import Journal
from unspool.core.model import NO_ATTRIBUTES, Attributes, Block, Span
from unspool.core.segments import SegmentTable, segment_size_for
from unspool.errors import BusyError, DestinationExistsError, LocalFileError
from unspool.local.attributes import apply
from unspool.local.destination import Destination
from unspool.local.entries import (
    has_no_links,
    is_at,
    link_open,
    open_ours,
    read_small,
    remove,
    rename_unless_taken,
    status_of,
    sync,
    write_new,
)
from unspool.local.refusals import mapped

_READ_SIZE = 1 << 20
"""Bytes per read when checking again: fits the processor's cache, so that summing them costs no second trip to memory."""

_LARGEST_JOURNAL = 64 << 20
"""Bytes. One of 4096 segments has 150 kB; where the size is not known, a file of 16 TiB has a million segments."""


class PartFile:
    """The unfinished local copy of one file.

    Nothing is touched before `acquire`. Every method may raise LocalFileError.

    Args:
        destination: what it becomes; closed with it.
    """

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.path = destination.path.with_name(destination.beside.part)
        self.journal_path = destination.path.with_name(destination.beside.journal)
        self.journal: Journal | None = None
        self._names = destination.beside
        self._table = SegmentTable(segment_size_for(None))
        self._unchecked: list[int] = []
        self._unchecked_bytes = 0
        self._descriptor = -1

    # Beginning

    def acquire(self) -> None:
        """Lock the part file, creating it if need be, and load its journal.

        Raises:
            BusyError: another process holds it.
        """
        with mapped(self.destination.path):
            self.destination.check()
            self._check_places()
            while not self._lock():
                pass
            if os.fstat(self._descriptor).st_size:  # else a journal is what a commit left that died before removing it
                self.journal = journals.decode(self._read_journal())
            if self.journal is not None:
                self._table = SegmentTable(self.journal.segment_size, self.journal.segments)
                self.recheck_all()

    @property
    def _directory(self) -> int:
        return self.destination.directory

    def _check_places(self) -> None:
        """Refuse to begin where something stands in our places that cannot be ours."""
        names = self._names
        for name in (names.part, names.journal, names.scratch, names.whole):
            status = status_of(name, self._directory)
            if status is not None and not stat.S_ISREG(status.st_mode):
                raise self._not_ours("is not a regular file", name)

    def _read_journal(self) -> bytes:
        """Return what is at the journal's place. It need not be a journal: damage is no reason to leave what is ours."""
        try:
            with mapped(self.journal_path):
                return read_small(self._names.journal, self._directory, _LARGEST_JOURNAL)
        except LocalFileError as error:
            self._let_go()
            if isinstance(error.__cause__, FileNotFoundError):
                raise self._not_ours("is not empty and has no journal beside it") from None
            raise

    def _not_ours(self, why: str, name: str | None = None) -> LocalFileError:
        path = self.path.with_name(name) if name else self.path
        return LocalFileError(f"{path}: {why}, so it is not of an unfinished download: remove it, or name another destination")

    def _lock(self) -> bool:
        """Open and lock the part file; return whether it was the part file still when that was done."""
        self._descriptor = open_ours(self._names.part, self._directory, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, the one who held it may have committed it: then this is the final file.
            if is_at(self._descriptor, self._names.part, self._directory):
                if not is_at(self._descriptor, self.destination.name, self._directory):
                    self._check_no_other_name()
                    return True
                # Or somebody died in the middle of a commit without overwriting, and the file has both names: finish that.
                os.unlink(self._names.part, dir_fd=self._directory)
        except BlockingIOError:
            self._let_go()
            raise BusyError(f"{self.destination.path}: another process is downloading it; wait for it, or end it") from None
        except BaseException:
            self._let_go()
            raise
        self._let_go()
        return False

    def _check_no_other_name(self) -> None:
        """Refuse a part file that is another file as well: what is written to one would be in the other."""
        names = os.fstat(self._descriptor).st_nlink
        if is_at(self._descriptor, self._names.whole, self._directory):
            names -= 1  # somebody died in the middle of a commit
        elif status_of(self._names.whole, self._directory) is not None:
            raise self._not_ours("is another file than the part file", self._names.whole)
        if names > 1:
            raise self._not_ours("has another name too (a hard link)")

    def recheck(self) -> int:
        """Read one more segment that the journal claims, and forget it if it is not what the journal says.

        Returns:
            how many segments are left to check. Until there is none, nothing may be built on the part file.
        """
        if self._unchecked:
            with mapped(self.path):
                number = self._unchecked[-1]
                span = self._table.span_of(number)
                if self._sum(span) != self._table.segments[number].crc32c:
                    self._table.forget(number)
                self._unchecked.pop()  # only now: what could not be read has yet to be checked
                self._unchecked_bytes -= span.length
        return len(self._unchecked)

    def _sum(self, span: Span) -> int | None:
        """Return the CRC32C of what the part file holds there; None if it ends before."""
        buffer = memoryview(bytearray(min(_READ_SIZE, span.length)))
        checksum, position = 0, span.start
        while position < span.stop:
            count = os.preadv(self._descriptor, [buffer[: span.stop - position]], position)
            if not count:
                return None
            checksum = crc32c(buffer[:count], checksum)
            position += count
        return checksum

    def begin(self, journal: Journal) -> None:
        """Start over: forget all there is, and note what comes now (`journal`, with no segments)."""
        with mapped(self.path):
            os.ftruncate(self._descriptor, 0)
            self._table = SegmentTable(journal.segment_size)
            self._unchecked = []
            self._unchecked_bytes = 0
            self.journal = journal
            self._write_journal()

    # Going on

    @property
    def good_bytes(self) -> int:
        """How many bytes are known to be good; those that have yet to be checked again are not."""
        return self._table.good_bytes - self._unchecked_bytes

    def first_gap(self, size: int | None) -> Span | None:
        """Return the first span missing of `size` bytes, or None. With the size unknown: where the good bytes end, empty."""
        return self._table.first_gap(size)

    @property
    def segment_size(self) -> int:
        """Bytes per segment of the journal."""
        return self._table.segment_size

    def gaps(self, size: int) -> Iterator[Span]:
        """Yield the spans that are missing of `size` bytes, in order."""
        return self._table.gaps(size)

    def write(self, block: Block, *, checkpoint: bool = False) -> None:
        """Write a verified block where it belongs; journal it if it completes a segment, or if `checkpoint` says so."""
        with mapped(self.path):
            # Where there is no revision, other bytes may come for those that are here already.
            self._table.forget_within(Span(block.offset, block.end))
            rest, position = memoryview(block.data), block.offset
            while rest:
                written = os.pwrite(self._descriptor, rest, position)
                rest, position = rest[written:], position + written
            if self._table.record(block) or checkpoint:
                self._write_journal()

    def _write_journal(self) -> None:
        assert self.journal is not None
        self._check_ours()
        journal = replace(self.journal, segments=self._table.segments)
        scratch, directory = self._names.scratch, self._directory
        try:
            write_new(scratch, directory, journal.encode())
            os.replace(scratch, self._names.journal, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(scratch, dir_fd=directory)
            raise
        self.journal = journal

    # Ending

    def checksum(self, size: int) -> int | None:
        """Return the CRC32C of the whole file, put together from its segments; None while bytes are missing."""
        return self._table.checksum(size)

    def recheck_all(self) -> None:
        """Have `recheck` go over every segment again."""
        self._unchecked = sorted(self._table.segments, reverse=True)
        self._unchecked_bytes = self._table.good_bytes

    def commit(self, size: int, *, overwrite: bool, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """Make the part file the destination. The bytes are the caller's responsibility; that they last is this method's.

        Order: length, permissions, attributes, sync of the file, rename, sync of the directory, journal removed.

        Args:
            size: of the whole file.
            overwrite: whether what is there may be replaced.
            attributes: what the file is to have, as far as it can.

        Raises:
            DestinationExistsError: something is there, and `overwrite` is false.
        """
        with mapped(self.destination.path):
            self.destination.check_directory()
            self.destination.check()
            os.ftruncate(self._descriptor, size)
            # Who may read, write and run it stays; new bytes do not inherit the right to run as somebody else.
            if (permissions := self.destination.permissions()) is not None:
                os.fchmod(self._descriptor, permissions)
            apply(attributes, self._descriptor)
            os.fsync(self._descriptor)
            self._give_name(overwrite=overwrite)
        # From here on the file is there, whole: what still goes wrong must not make it look as if it were not.
        with contextlib.suppress(OSError):
            sync(self._directory)
        # The part file's name goes last: while it is there and locked, nobody else has a journal here.
        with contextlib.suppress(OSError):
            self._remove_journal()
        with contextlib.suppress(OSError):
            if self._is_ours():
                remove(self._names.part, self._directory)
        self._release()

    def _give_name(self, *, overwrite: bool) -> None:
        """Give the open file its final name: this file, whatever has the part file's name by now."""
        self._check_ours()
        names, name, directory = self._names, self.destination.name, self._directory
        try:
            if overwrite:
                if not is_at(self._descriptor, names.whole, directory):  # as a process left it that was killed in this moment
                    link_open(self._descriptor, names.whole, directory)
                os.replace(names.whole, name, src_dir_fd=directory, dst_dir_fd=directory)
            else:
                link_open(self._descriptor, name, directory)
        except FileExistsError:
            raise self._taken() from None
        except OSError as error:
            if not (has_no_links(error) or isinstance(error, FileNotFoundError)):
                raise
            # The next best: who takes the part file's name just between these two is not noticed.
            self._check_ours()
            self._rename(overwrite=overwrite)

    def _rename(self, *, overwrite: bool) -> None:
        part, name, directory = self._names.part, self.destination.name, self._directory
        if overwrite:
            os.replace(part, name, src_dir_fd=directory, dst_dir_fd=directory)
            return
        try:
            rename_unless_taken(part, directory, name, directory)
        except FileExistsError:
            raise self._taken() from None

    def _taken(self) -> DestinationExistsError:
        return DestinationExistsError(f"{self.destination.path}: exists, and is not to be overwritten")

    def _is_ours(self) -> bool:
        """Whether the part file's name is still that of the open file."""
        return is_at(self._descriptor, self._names.part, self._directory)

    def _check_ours(self) -> None:
        """Refuse to go on if somebody has removed or replaced the part file: what is beside the destination is not ours."""
        if not self._is_ours():
            self.destination.check_directory()
            raise LocalFileError(f"{self.path}: it was removed meanwhile, or replaced; get it again")

    def discard(self) -> None:
        """Remove part file and journal: they are of no use to anybody."""
        with mapped(self.path):
            if self._is_ours():
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, 0)  # bytes without a journal would be a stranger's (rule 8)
                self._remove_journal()
                remove(self._names.part, self._directory)
        self._release()

    def _remove_journal(self) -> None:
        remove(self._names.journal, self._directory)
        # Of a process that was killed while it wrote the one, or gave the other its name.
        remove(self._names.scratch, self._directory)
        if is_at(self._descriptor, self._names.whole, self._directory):
            remove(self._names.whole, self._directory)

    def close(self) -> None:
        """Keep what is good for the next run, and let others at it. Closing twice is fine."""
        if self._descriptor < 0:
            self.destination.close()
            return
        try:
            if not self._table.good_bytes:
                self.discard()
            elif self.journal is not None and self.journal.segments != self._table.segments and self._is_ours():
                with mapped(self.path):
                    # On a full disk, the piece of a block that went in last takes the room that the journal needs.
                    os.ftruncate(self._descriptor, max(self._table.span_of(n).stop for n in self._table.segments))
                    self._write_journal()
        finally:
            self._release()

    def _release(self) -> None:
        self._let_go()
        self.destination.close()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
