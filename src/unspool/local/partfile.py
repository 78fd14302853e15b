"""Where the bytes go: a part file and its journal beside the destination, one writer, an atomic commit.

Rule 1: the destination's directory entry changes once, from what it was to the whole file.
Rule 2: the data is written before the journal claims it. Neither is synced on the way: after a power cut the journal may claim
        pages that never reached the disk, and `recheck` finds them out.
Rule 3: who builds on a part file reads it again first and keeps only the segments whose CRC32C agrees.
Rule 4: one writer. The part file is locked (flock), so the lock goes with the process, however it dies.
Rule 5: closing is not aborting: it keeps what is good. A part file that holds nothing good is removed.
Rule 6: a symbolic link at the destination is replaced itself; what it points to stays as it is. A link to what is not a regular
        file (`/dev/stdout`) is refused like that thing itself.

Plain blocking calls: the caller decides which thread waits for the disk, and calls one at a time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from unspool.core import journal as journals
from unspool.core.checksum import crc32c
from unspool.core.journal import Journal
from unspool.core.model import Block, Span
from unspool.core.segments import SegmentTable, segment_size_for
from unspool.errors import BusyError, DestinationExistsError, LocalFileError

PART_SUFFIX = ".unspool-part"
JOURNAL_SUFFIX = ".unspool-journal"
_SCRATCH_SUFFIX = ".new"  # what becomes the journal

_USUAL_NAME_MAX = 255
"""Bytes of a file name on every common file system, where the system does not say."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems say that cannot link (FAT, many network ones)."""

_READ_SIZE = 1 << 20
"""Bytes per read when checking again: fits the processor's cache, so that summing them costs no second trip to memory."""


class PartFile:
    """The unfinished local copy of one file.

    Nothing is touched before `acquire`. Every method may raise LocalFileError.

    Args:
        destination: the final name. Its directory must exist.

    Raises:
        LocalFileError: `destination` cannot be the name of a file.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.path, self.journal_path = _paths_beside(destination)
        self._scratch_path = self.journal_path.with_name(self.journal_path.name + _SCRATCH_SUFFIX)
        self.journal: Journal | None = None
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
        with _mapped(self.destination):
            self._check_destination()
            while not self._lock():
                pass
            if os.fstat(self._descriptor).st_size:  # else a journal is what a commit left that died before removing it
                with contextlib.suppress(FileNotFoundError):
                    self.journal = journals.decode(self.journal_path.read_bytes())
            if self.journal is not None:
                self._table = SegmentTable(self.journal.segment_size, self.journal.segments)
                self.recheck_all()

    def _lock(self) -> bool:
        """Open and lock the part file; return whether it was the part file still when that was done."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, the one who held it may have committed it: then this is the final file.
            if _is_at(self._descriptor, self.path):
                if not _is_at(self._descriptor, self.destination):
                    return True
                # Or somebody died in the middle of a commit without overwriting, and the file has both names: finish that.
                self.path.unlink()
        except BlockingIOError:
            self._release()
            raise BusyError(f"{self.destination}: another process is downloading it; wait for it, or end it") from None
        except BaseException:
            self._release()
            raise
        self._release()
        return False

    def _check_destination(self) -> None:
        """Refuse a destination that a rename would wreck, or that cannot be."""
        with contextlib.suppress(FileNotFoundError):
            mode = self.destination.stat().st_mode
            if stat.S_ISDIR(mode):
                raise LocalFileError(f"{self.destination}: is a directory")
            # /dev/stdout is a link that leads, by way of /proc, to whatever it was redirected to: perhaps a regular file.
            stream = self.destination.is_symlink() and self.destination.readlink().is_relative_to("/proc")
            if stream or not stat.S_ISREG(mode):
                raise LocalFileError(f"{self.destination}: is not a regular file; write to it with `-` and a redirect")

    def recheck(self) -> int:
        """Read one more segment that the journal claims, and forget it if it is not what the journal says.

        Returns:
            how many segments are left to check. Until there is none, nothing may be built on the part file.
        """
        if self._unchecked:
            with _mapped(self.path):
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
        with _mapped(self.path):
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
        with _mapped(self.path):
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
        journal = replace(self.journal, segments=self._table.segments)
        scratch = self._scratch_path
        try:
            _write_new(scratch, journal.encode())
            scratch.replace(self.journal_path)
        except OSError:
            with contextlib.suppress(OSError):
                scratch.unlink()
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

    def commit(self, size: int, *, overwrite: bool) -> None:
        """Make the part file the destination. The bytes are the caller's responsibility; that they last is this method's.

        Order: length, permissions, sync of the file, rename, sync of the directory, journal removed.

        Raises:
            DestinationExistsError: something is there, and `overwrite` is false.
        """
        with _mapped(self.destination):
            self._check_destination()
            os.ftruncate(self._descriptor, size)
            with contextlib.suppress(FileNotFoundError):
                # Who may read, write and run it stays; new bytes do not inherit the right to run as somebody else.
                os.fchmod(self._descriptor, self.destination.stat().st_mode & 0o777)
            os.fsync(self._descriptor)
            if overwrite:
                self.path.replace(self.destination)
            else:
                self._appear()
        # From here on the file is there, whole: what still goes wrong must not make it look as if it were not.
        with contextlib.suppress(OSError):
            _sync_directory(self.destination.parent)
        with contextlib.suppress(OSError):
            self._remove_journal()
        self._release()

    def _appear(self) -> None:
        """Give the part file its final name, if nothing has it."""
        taken = DestinationExistsError(f"{self.destination}: exists, and is not to be overwritten")
        try:
            # A rename would replace what another process put there meanwhile; a link refuses to.
            self.destination.hardlink_to(self.path)
        except FileExistsError:
            raise taken from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # The next best: what appears just between these two is not noticed.
            if os.path.lexists(self.destination):
                raise taken from None
            self.path.replace(self.destination)
        else:
            with contextlib.suppress(OSError):  # the file is there, whole; `acquire` finishes this
                self.path.unlink()

    def discard(self) -> None:
        """Remove part file and journal: they are of no use to anybody."""
        with _mapped(self.path):
            self._remove_journal()
            self.path.unlink(missing_ok=True)
        self._release()

    def _remove_journal(self) -> None:
        self.journal_path.unlink(missing_ok=True)
        self._scratch_path.unlink(missing_ok=True)  # of a process that was killed while it wrote it

    def close(self) -> None:
        """Keep what is good for the next run, and let others at it. Closing twice is fine."""
        if self._descriptor < 0:
            return
        try:
            if not self._table.good_bytes:
                self.discard()
            elif self.journal is not None and self.journal.segments != self._table.segments:
                with _mapped(self.path):
                    # On a full disk, the piece of a block that went in last takes the room that the journal needs.
                    os.ftruncate(self._descriptor, max(self._table.span_of(n).stop for n in self._table.segments))
                    self._write_journal()
        finally:
            self._release()

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _paths_beside(destination: Path) -> tuple[Path, Path]:
    """Return where part file and journal go: beside the destination, also if its name leaves no room for a suffix."""
    stem = destination.name
    if not stem:
        raise LocalFileError(f"{destination}: is a directory")
    try:
        usable = b"\0" not in os.fsencode(destination)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise LocalFileError(f"{str(destination)!a}: cannot be the name of a file")
    try:
        name_max = os.pathconf(destination.parent, "PC_NAME_MAX")
    except OSError:
        name_max = _USUAL_NAME_MAX
    raw = os.fsencode(stem)
    longest = len(JOURNAL_SUFFIX + _SCRATCH_SUFFIX)
    if len(raw) + longest > name_max:
        # Cut at a character, and told apart from other long names by a digest of the whole.
        digest = hashlib.sha256(raw).hexdigest()[:16]
        kept = raw[: name_max - longest - len(digest) - 1].decode(errors="ignore")
        stem = f"{kept}.{digest}"
    return destination.with_name(stem + PART_SUFFIX), destination.with_name(stem + JOURNAL_SUFFIX)


def _write_new(path: Path, data: bytes) -> None:
    """Write a small file, over what is there; not through a link that somebody else may have put there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one that `path` names now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about `path` into ours, with the way out."""
    try:
        yield
    except OSError as error:
        raise local_error(error, path) from error


def local_error(error: OSError, path: Path) -> LocalFileError:
    """Return what the operating system's error about `path` is to us, with the way out."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            hint = "the disk is full; what arrived is kept: make room and run the same command again"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            hint = "not allowed to write there"
        case errno.ENOENT | errno.ENOTDIR:
            hint = "there is no such directory" if not path.parent.is_dir() else "it was removed meanwhile"
        case errno.ENAMETOOLONG:
            hint = "the name is longer than the file system allows"
        case _:
            hint = (error.strerror or str(error)).lower()
    return LocalFileError(f"{path}: {hint}")
