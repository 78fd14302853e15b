"""The unfinished copy of one file: a part file with its journal, in one directory, with one writer.

Rule 1: data is written before the journal claims it. Neither is synced on the way, so after a power cut the journal may claim
        pages that never reached the disk. `recheck` detects them.
Rule 2: before a copy is resumed, the part file is read again, and only segments whose CRC32C agrees are kept.
Rule 3: one writer. The part file is locked (flock), and the kernel releases the lock when the process ends.
Rule 4: `close` keeps the good bytes for the next run. A part file without good bytes is removed.
Rule 5: existing files with our names are checked before they are used. A part file has a journal before its first byte is
        written, and has no hard links. A file that breaks this rule is not ours: it is refused and left as it is (aria2 has the
        same rule for its control file).
Rule 6: a final name is given to the open, verified file, even if another file has the part file's name by then.

All calls block. Only one may run at a time; the caller chooses the thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from unspool.core import journal as journals
from unspool.core.checksum import crc32c
from unspool.core.journal import Journal
from unspool.core.model import Attributes, Block, Span
from unspool.core.reserved import NamesBeside
from unspool.core.segments import SegmentTable, segment_size_for
from unspool.core.value import value
from unspool.errors import BusyError, DestinationExistsError, LocalFileError
from unspool.local.attributes import apply, permit
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
    write_new,
)
from unspool.local.oserrors import mapped

_READ_SIZE = 1 << 20
"""Bytes per read of `recheck`: they fit the processor's cache, so that the checksum does not load them from memory again."""

LARGEST_JOURNAL = 64 << 20
"""Bytes. A journal of 4096 segments has 150 kB. If the size was not known, a file of 16 TiB has a million segments."""


@value
class Place:
    """Where a part file and its journal are.

    Attributes:
        directory: descriptor of the directory. It belongs to the caller.
        path: path of the directory, for messages.
        names: the names in it.
        about: the file that is to come of it, for messages.
    """

    directory: int
    path: Path
    names: NamesBeside
    about: Path


class Part:
    """The unfinished copy of one file. It does not know its final name before it gets it.

    The file system is not touched before `acquire`. Every method may raise LocalFileError.

    Attributes:
        path, journal_path: the part file and the journal, for messages.
        journal: what the journal says; None if there is none.
    """

    def __init__(self, place: Place) -> None:
        self.path = place.path / place.names.part
        self.journal_path = place.path / place.names.journal
        self.journal: Journal | None = None
        self._about = place.about
        self._names = place.names
        self._directory = place.directory
        self._table = SegmentTable(segment_size_for(None))
        self._unchecked: list[int] = []
        self._unchecked_bytes = 0
        self._descriptor = -1

    # Beginning

    def acquire(self) -> None:
        """Lock the part file, creating it if it does not exist, and load its journal.

        Raises:
            BusyError: another process holds it.
        """
        with mapped(self._about):
            self._check_names()
            while not self._lock():
                pass
            if os.fstat(self._descriptor).st_size:  # if it is empty, the journal is left from a commit that was killed
                self.journal = journals.decode(self._read_journal())
            if self.journal is not None:
                self._table = SegmentTable(self.journal.segment_size, self.journal.segments)
                self.recheck_all()

    def _is_finished(self) -> bool:
        """Whether the part file, which is open, has its final name already: a commit was killed halfway."""
        return False

    def _check_names(self) -> None:
        """Refuse to begin if something other than a regular file has one of our names."""
        names = self._names
        for name in (names.part, names.journal, names.scratch, names.whole):
            status = status_of(name, self._directory)
            if status is not None and not stat.S_ISREG(status.st_mode):
                raise self._not_ours_error("is not a regular file", name)

    def _read_journal(self) -> bytes:
        """Return the contents of the journal file. They may be damaged: the download then starts over."""
        try:
            with mapped(self.journal_path):
                return read_small(self._names.journal, self._directory, LARGEST_JOURNAL)
        except LocalFileError as error:
            self._let_go()
            if isinstance(error.__cause__, FileNotFoundError):
                raise self._not_ours_error("is not empty and has no journal beside it") from None
            raise

    def _not_ours_error(self, why: str, name: str | None = None) -> LocalFileError:
        path = self.path.with_name(name) if name else self.path
        return LocalFileError(f"{path}: {why}, so it is not of an unfinished download: remove it, or name another destination")

    def _lock(self) -> bool:
        """Open and lock the part file; return whether it still had the part file's name once it was locked."""
        self._descriptor = open_ours(self._names.part, self._directory, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between our open and our lock, another process may have committed the file: then we have opened the final file.
            if is_at(self._descriptor, self._names.part, self._directory):
                if not self._is_finished():
                    self._check_no_other_name()
                    return True
                # A commit without overwrite was killed halfway, so the file has both names: finish the commit.
                os.unlink(self._names.part, dir_fd=self._directory)
        except BlockingIOError:
            self._let_go()
            raise BusyError(f"{self._about}: another process is downloading it; wait for it, or end it") from None
        except BaseException:
            self._let_go()
            raise
        self._let_go()
        return False

    def _check_no_other_name(self) -> None:
        """Refuse a part file that has another hard link: our writes would change that file, too."""
        names = os.fstat(self._descriptor).st_nlink
        if is_at(self._descriptor, self._names.whole, self._directory):
            names -= 1  # a commit was killed halfway
        elif status_of(self._names.whole, self._directory) is not None:
            raise self._not_ours_error("is another file than the part file", self._names.whole)
        if names > 1:
            raise self._not_ours_error("has another name too (a hard link)")

    def recheck(self) -> int:
        """Read one more segment that the journal claims, and mark it as not good if its checksum differs.

        Returns:
            how many segments are left to check. The download must not resume before this is 0.
        """
        if self._unchecked:
            with mapped(self.path):
                number = self._unchecked[-1]
                span = self._table.span_of(number)
                if self._sum(span) != self._table.segments[number].crc32c:
                    self._table.forget(number)
                self._unchecked.pop()  # not earlier: after a read error the segment is still unchecked
                self._unchecked_bytes -= span.length
        return len(self._unchecked)

    def _sum(self, span: Span) -> int | None:
        """Return the CRC32C of a span of the part file; None if the file ends before it does."""
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
        """Start over: empty the part file, and write `journal`, which has no segments."""
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
        """Number of bytes that are known to be good, without segments that are still to be checked again."""
        return self._table.good_bytes - self._unchecked_bytes

    def first_gap(self, size: int | None) -> Span | None:
        """Return the first missing span, as `SegmentTable.first_gap` does."""
        return self._table.first_gap(size)

    @property
    def segment_size(self) -> int:
        """Bytes per segment of the journal."""
        return self._table.segment_size

    def gaps(self, size: int) -> Iterator[Span]:
        """Yield, in order, the missing spans of a file of `size` bytes."""
        return self._table.gaps(size)

    def write(self, block: Block, *, checkpoint: bool = False) -> None:
        """Write a verified block at its offset. Write the journal if that completes a segment, or if `checkpoint` is true."""
        with mapped(self.path):
            # Without a revision, the server may send other bytes for a span that has been written already.
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
        """Return the CRC32C of the whole file, combined from its segments; None while bytes are missing."""
        return self._table.checksum(size)

    def recheck_all(self) -> None:
        """Mark every segment for `recheck`."""
        self._unchecked = sorted(self._table.segments, reverse=True)
        self._unchecked_bytes = self._table.good_bytes

    def finish(self, size: int, destination: Destination, attributes: Attributes) -> None:
        """Make the part file what the final file is to be, durably: its size, permissions and attributes. It has no name yet.

        Args:
            size: size of the whole file.
            destination: where the file that may be replaced is.
            attributes: attributes to set, as far as the file system supports them.
        """
        os.ftruncate(self._descriptor, size)
        # The permissions of the old file are kept, but not set-user-ID and the like: those were given to the old bytes.
        if (permissions := destination.permissions()) is not None:
            permit(permissions, self._descriptor)
        apply(attributes, self._descriptor)
        os.fsync(self._descriptor)

    def give_name(self, destination: Destination, *, overwrite: bool) -> None:
        """Give the open file its final name, even if another file has the part file's name by now.

        Raises:
            DestinationExistsError: the name exists, and `overwrite` is false.
        """
        self._check_ours()
        names, directory, name, there = self._names, self._directory, destination.name, destination.directory
        try:
            if overwrite:
                if not is_at(self._descriptor, names.whole, directory):  # a killed commit may have left the link
                    link_open(self._descriptor, names.whole, directory)
                os.replace(names.whole, name, src_dir_fd=directory, dst_dir_fd=there)
            else:
                link_open(self._descriptor, name, there)
        except FileExistsError:
            raise _exists_error(destination) from None
        except OSError as error:
            if not (has_no_links(error) or isinstance(error, FileNotFoundError)):
                raise
            # Without links, rename. A file that replaces the part file between the check and the rename goes unnoticed.
            self._check_ours()
            self._rename(destination, overwrite=overwrite)

    def _rename(self, destination: Destination, *, overwrite: bool) -> None:
        part, directory, name, there = self._names.part, self._directory, destination.name, destination.directory
        if overwrite:
            os.replace(part, name, src_dir_fd=directory, dst_dir_fd=there)
            return
        try:
            rename_unless_taken(part, directory, name, there)
        except FileExistsError:
            raise _exists_error(destination) from None

    def _is_ours(self) -> bool:
        """Whether the part file's name still leads to the open file."""
        return is_at(self._descriptor, self._names.part, self._directory)

    def _check_ours(self) -> None:
        """Refuse to go on if the part file was removed or replaced: the files beside it are not ours then."""
        if not self._is_ours():
            raise LocalFileError(f"{self.path}: it was removed meanwhile, or replaced; get it again")

    def discard(self) -> None:
        """Remove the part file and the journal."""
        with mapped(self.path):
            if self._is_ours():
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, 0)  # a later run would refuse bytes without a journal (rule 5)
                self._remove_journal()
                remove(self._names.part, self._directory)
        self._release()

    def _remove_journal(self) -> None:
        remove(self._names.journal, self._directory)
        # A process that was killed may have left the journal's temp file, or the link of a commit.
        remove(self._names.scratch, self._directory)
        if is_at(self._descriptor, self._names.whole, self._directory):
            remove(self._names.whole, self._directory)

    def close(self) -> None:
        """Keep the good bytes for the next run, and release the lock. A second call does nothing."""
        if self._descriptor < 0:
            return
        try:
            if not self._table.good_bytes:
                self.discard()
            elif self.journal is not None and self.journal.segments != self._table.segments and self._is_ours():
                with mapped(self.path):
                    # Cut off bytes of a partly written block: on a full disk they use the space that the journal needs.
                    os.ftruncate(self._descriptor, max(self._table.span_of(n).stop for n in self._table.segments))
                    self._write_journal()
        finally:
            self._release()

    def _release(self) -> None:
        """Release everything, when no more is to come."""
        self._let_go()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _exists_error(destination: Destination) -> DestinationExistsError:
    return DestinationExistsError(f"{destination.path}: exists, and is not to be overwritten")
