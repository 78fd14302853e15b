"""The part file of an upload: like that of a download, and with a second journal that survives a power cut.

Rule 1: the second journal (`KEY.unspool-synced`) lists bytes that were synced before, and is synced itself before it gets its
        name. So what it lists is there after a power cut, whatever becomes of the first one.
Rule 2: before the file gets its final name, the second journal says so, with the inode number of the part file. From then on
        the upload is committed if the final name leads to the part file, or if that is gone. How many names the part file has
        says nothing: `cp -al` makes some.

All calls block. Only one may run at a time.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

from unspool.core import journal as journals
from unspool.core.journal import Journal
from unspool.core.model import Attributes, FileInfo, Span
from unspool.core.segments import Segment, SegmentTable
from unspool.ingest.target import FinalName, Target
from unspool.local.entries import is_at, read_small, remove, status_of, sync, write_new
from unspool.local.oserrors import mapped
from unspool.local.part import LARGEST_JOURNAL, Part, Place

SYNCED_SUFFIX = ".unspool-synced"


class CommittedError(Exception):
    """The upload is committed. Raised and caught in `ingest/` only."""


class UploadFile(Part):
    """The part file of one upload.

    Args:
        place: where it is.
        key: the upload, as its files are called.
        final: the name that it is to get.
    """

    def __init__(self, place: Place, key: str, final: FinalName) -> None:
        super().__init__(place)
        self._key = key
        self._final = final
        self._synced: dict[int, Segment] = {}
        self.left: os.stat_result | None = None
        """The status of the part file when it was closed."""

    # Beginning

    def acquire(self) -> None:
        """Lock the part file, creating it if it does not exist, and load what the journals say.

        Raises:
            BusyError: another process or another opening holds it.
            CommittedError: the upload is committed.
        """
        with mapped(self._about):
            while not self._lock():
                pass
            synced = _decoded(self._key + SYNCED_SUFFIX, self._directory)
            if is_committed(synced, os.fstat(self._descriptor), self._final):
                self._final.sync()  # whoever gave it the name may have died before that
                remove(self._names.part, self._directory)
                remove(self._names.whole, self._directory)
                self._let_go()
                raise CommittedError
            self.journal = _decoded(self._names.journal, self._directory) or synced
            if self.journal is not None:
                self._table, self._synced = _together(self.journal, synced)
                self.recheck_all()

    def _check_no_other_name(self) -> None:
        """A second name is the final one, see `acquire`."""

    def recheck(self) -> int:
        """See `Part.recheck`. If only the end of a segment is lost, what was synced of it is kept."""
        number = self._unchecked[-1] if self._unchecked else -1
        left = super().recheck()
        synced = self._synced.get(number)
        if synced is not None and number not in self._table.segments:
            start = number * self._table.segment_size
            with mapped(self.path):
                if self._sum(Span(start, start + synced.length)) == synced.crc32c:
                    self._table.restore(number, synced)
                else:
                    del self._synced[number]
        return left

    def begin(self, journal: Journal) -> None:
        """See `Part.begin`."""
        with mapped(self.path):
            remove(self._key + SYNCED_SUFFIX, self._directory)
        self._synced = {}
        super().begin(journal)

    def announce(self, size: int | None) -> None:
        """Note the size of the file. Bytes beyond it are forgotten."""
        assert self.journal is not None
        for number in self._table.segments:
            if size is not None and self._table.span_of(number).stop > size:
                self._forget(number)
        if size != self.journal.size:
            self.journal = replace(self.journal, size=size)
            with mapped(self.path):
                self._write_journal()

    def discard_spans(self, spans: tuple[Span, ...]) -> None:
        """Forget all segments that overlap the spans, durably."""
        for span in spans:
            self._table.forget_within(span)
        self._synced = {number: self._synced[number] for number in self._synced if number in self._table.segments}
        with mapped(self.path):
            self._write_journal()
            self.write_synced(self._table.segments)

    def _forget(self, number: int) -> None:
        self._table.forget(number)
        self._synced.pop(number, None)

    def trust(self) -> None:
        """Do not read again what the journals say: nobody has changed the part file since this process wrote it."""
        self._unchecked = []
        self._unchecked_bytes = 0

    def touch(self) -> None:
        """Note that the upload is in use now."""
        with mapped(self.path):
            os.utime(self._descriptor)

    # Going on

    @property
    def table(self) -> SegmentTable:
        """A copy of the table."""
        return SegmentTable(self._table.segment_size, self._table.segments)

    @property
    def descriptor(self) -> int:
        """The open file; -1 when it is closed."""
        return self._descriptor

    @property
    def synced_bytes(self) -> int:
        """How many bytes would survive a power cut."""
        known = self._table.segments
        return sum(min(segment.length, known[number].length) for number, segment in self._synced.items() if number in known)

    def checksum_of(self, span: Span) -> int | None:
        """Return the CRC32C of a span of the part file, as it can be read; None if it ends before."""
        with mapped(self.path):
            return self._sum(span)

    def write_synced(self, segments: dict[int, Segment], inode: str | None = None) -> None:
        """Write the second journal, durably.

        Args:
            segments: what was synced.
            inode: the inode number of the part file in hex, if it is about to get its final name.
        """
        assert self.journal is not None
        scratch, directory = self._key + SYNCED_SUFFIX + ".new", self._directory
        with mapped(self.path):
            self._check_ours()
            write_new(scratch, directory, replace(self.journal, segments=segments, revision=inode).encode(), synced=True)
            os.replace(scratch, self._key + SYNCED_SUFFIX, src_dir_fd=directory, dst_dir_fd=directory)
            sync(directory)
        self._synced = segments

    # Ending

    def prepare(self, size: int, target: Target, attributes: Attributes) -> None:
        """Make the file what it is to be, durably, and note that it is about to get its name."""
        assert self.journal is not None
        with mapped(self._about):
            self.finish(size, target.destination, attributes)
        self.journal = replace(self.journal, size=size)
        self.write_synced(self._table.segments, f"{os.fstat(self._descriptor).st_ino:x}")

    def settle(self, done: int) -> os.stat_result:
        """Clean up behind a file that has its name, and keep the second journal in `done`. Return the status of the file."""
        for name in (self._names.part, self._names.whole):
            with contextlib.suppress(OSError):
                if is_at(self._descriptor, name, self._directory):
                    remove(name, self._directory)
        status = os.fstat(self._descriptor)
        settle(self._key, self._names.journal, self._directory, done)
        self._release()
        return status

    def _release(self) -> None:
        if self._descriptor >= 0:
            self.left = os.fstat(self._descriptor)
        super()._release()

    def discard(self) -> None:
        """See `Part.discard`."""
        with mapped(self.path):
            remove(self._key + SYNCED_SUFFIX, self._directory)
        super().discard()


def settle(key: str, journal: str, staging: int, done: int) -> None:
    """Keep the second journal of a committed upload as what is remembered of it, and remove the first one."""
    with contextlib.suppress(OSError):
        os.replace(key + SYNCED_SUFFIX, key, src_dir_fd=staging, dst_dir_fd=done)
    for name in (journal, f"{journal}.new", f"{key}{SYNCED_SUFFIX}.new"):
        with contextlib.suppress(OSError):
            remove(name, staging)


def is_committed(synced: Journal | None, part: os.stat_result | None, final: FinalName) -> bool:
    """Whether an upload is committed.

    Args:
        synced: its second journal.
        part: the status of its part file; None if there is none.
        final: the name that it is to get.
    """
    if synced is None or synced.revision is None:
        return False
    # A part file that was made since, by whoever opened the upload again, is empty.
    made_since = part is not None and not part.st_size and f"{part.st_ino:x}" != synced.revision
    return part is None or made_since or final.leads_to(part)


def _decoded(name: str, directory: int) -> Journal | None:
    try:
        return journals.decode(read_small(name, directory, LARGEST_JOURNAL))
    except FileNotFoundError:
        return None


def _together(journal: Journal, synced: Journal | None) -> tuple[SegmentTable, dict[int, Segment]]:
    """Return what both journals know, and what the second one knows of it."""
    found = dict(journal.segments)
    sure = synced.segments if synced is not None and synced.segment_size == journal.segment_size else {}
    for number, segment in sure.items():
        if number not in found or found[number].length < segment.length:
            found[number] = segment
    return SegmentTable(journal.segment_size, found), dict(sure)


def look(key: str, place: Place, done: int, final: FinalName) -> SegmentTable | Journal | None:
    """Return what the files of an upload say, without locking: what there is of it, or the journal of a committed one."""
    names, directory = place.names, place.directory
    with mapped(place.about):
        remembered = _decoded(key, done)
        if remembered is not None:
            return remembered
        synced = _decoded(key + SYNCED_SUFFIX, directory)
        part = status_of(names.part, directory)
        if is_committed(synced, part, final):
            return synced
        journal = _decoded(names.journal, directory) or synced
    return None if part is None or journal is None else _together(journal, synced)[0]


def info_of_record(record: Journal, name: str, current: tuple[FileInfo, int] | None) -> FileInfo:
    """Return the description of the file of a committed upload.

    Args:
        record: what is remembered of it.
        name: name of the file.
        current: the file that is at the name now, and its inode number.
    """
    size = record.size or 0
    checksum = SegmentTable(record.segment_size, record.segments).checksum(size)
    if current is not None and f"{current[1]:x}" == record.revision and current[0].size == size:
        return replace(current[0], crc32c=checksum)
    # Another file has the name by now, so nobody can ask for this revision.
    return FileInfo(name, size, f"replaced-{record.revision}", crc32c=checksum)
