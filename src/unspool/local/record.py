"""The database of a tree's record: SQLite, in the tree's home directory. Only a small part of it is in memory at any time.

    DEST/.unspool-tree/record.sqlite            one row per file: see `unspool.core.treerecord`
    DEST/.unspool-tree/record.sqlite-journal    while the tree is being filled: SQLite's rollback journal

Rule 1: a faulty record does not fail the run. A damaged record is replaced by an empty one, and rows that the disk refuses are
        dropped. The files concerned are compared or fetched again.
Rule 2: a kill at any moment loses only the rows that were being added.
Rule 3: only regular files in the home directory are used. Once the database is open, no file is looked up by its path.

All calls block. Only one may run at a time, in any thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from unspool.core.names import MAX_NAME_BYTES
from unspool.core.reserved import HOME
from unspool.core.treerecord import OWNER, decode_owner
from unspool.local.entries import open_ours, remove, status_of
from unspool.system.databases import DATABASE_ERRORS, transaction

T = TypeVar("T")

RECORD_NAME, _JOURNAL, _LOG = "record.sqlite", "record.sqlite-journal", "record.sqlite-wal"
"""unspool never writes the last one, but SQLite would read it."""

_TABLE = "CREATE TABLE files (name BLOB PRIMARY KEY, said BLOB NOT NULL) WITHOUT ROWID"

_ID, _VERSION = 0x756E7370, 2
"""The application id (`unsp`) and the user version (the version of the format) in SQLite's header. A record of version 1, which
had no attributes, is replaced by an empty one."""

_HEAD = b"SQLite format 3\0", b"\1\1", _VERSION.to_bytes(4, "big"), _ID.to_bytes(4, "big")
_HEAD_SPANS = slice(0, 16), slice(18, 20), slice(60, 64), slice(68, 72)
"""Expected fields of the header, and where they are (sqlite.org/fileformat.html). The second means no WAL."""

_POINTER = bytes.fromhex("d9d505f920a163d7")
"""The end of a journal that names a super-journal, which SQLite would remove. Ours never does: there is only one database."""

AT_ONCE = 100
"""Rows per statement. Measured per row: 2.0 us to find and 2.0 us to add; one by one 3.2 and 2.9; more gain little."""

_BETWEEN = "SELECT name, said FROM files WHERE name BETWEEN ? AND ? LIMIT ?"
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM files WHERE name BETWEEN ? AND ? LIMIT ?)"
"""Finds the files of one directory, if those wanted are at least half of what is between the first and the last of them. Takes
8,300 instructions for each row instead of 14,900; the files of a large directory are listed in any order, and lie far apart."""

_STATEMENTS = 8
"""Prepared statements that SQLite caches. There is one for each number of rows."""

_CACHE_KIB = 512
"""Size of SQLite's page cache. Listings are nearly in order, so consecutive rows are mostly on the same pages."""

_LONGEST = 16 << 10
"""Longest value of a row, in bytes; longer ones are not recorded. The server chooses the revision, which may be long."""

_SETTINGS = (
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "mmap_size=0",
    "temp_store=MEMORY",
    f"cache_size=-{_CACHE_KIB}",
    "locking_mode=EXCLUSIVE",
    # Without a journal on disk (OFF, MEMORY), a kill during a commit would damage the database, and all files would be compared
    # again. In exclusive mode a truncated journal stays open, so its path is looked up only when the record is opened. Modes
    # DELETE and WAL remove their journal by its path.
    "journal_mode=TRUNCATE",
    # No fsync: after a kill the kernel still writes everything. A power cut may damage the record, which is detected.
    "synchronous=OFF",
)

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OUR_RIGHTS = stat.S_IRUSR | stat.S_IWUSR

_REFUSALS = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
"""SQLite's error codes when the system refuses an operation. All other codes mean damage."""

_PRIMARY = 0xFF
"""Mask of the primary part of SQLite's extended error codes."""


class NoRecord:
    """Replaces the record if none is kept. It is always empty."""

    def find(self, keys: Sequence[bytes]) -> dict[bytes, object]:  # noqa: ARG002 - as `Record` has it
        """See `Record.find`."""
        return {}

    def add(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """See `Record.add`."""

    def close(self) -> None:
        """See `Record.close`."""


class Record:
    """The record of one tree, whose home is locked.

    Args:
        home: descriptor of the home directory.
        path: path of the home's parent directory.
        anew: discard the record's contents.
        called: name of the home in its parent directory.

    Raises:
        FileExistsError: something other than a regular file has the name of the database.
        OSError: the database file cannot be opened or created.
    """

    def __init__(self, home: int, path: Path, *, anew: bool = False, called: str = HOME) -> None:
        self._home = home
        # SQLite accepts only paths. This one leads to the open directory, even if it has been moved.
        way = Path(f"/proc/self/fd/{home}")
        self._path = (way if way.is_dir() else path.absolute() / called) / RECORD_NAME
        self._database: sqlite3.Connection | None = None
        self._takes_more = False
        if not self._is_plausible() or anew:
            self._begin_anew()
            return
        try:
            self._open()
        except (OSError, *DATABASE_ERRORS) as error:
            self._end()
            self._recover(error)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, object]:
        """Return the values of the rows with these keys, which nobody has checked. Keys without a row are left out."""
        found: dict[bytes, object] = {}
        if self._database is not None:
            try:
                find_rows(self._database, keys, found)
            except DATABASE_ERRORS as error:
                self._recover(error)
        return found

    def owner(self) -> tuple[str, str] | None:
        """Return the source and the directory that the record belongs to; None if it does not say, or is damaged."""
        if self._database is not None:
            with contextlib.suppress(*DATABASE_ERRORS):
                return find_owner(self._database)
        return None

    def begin_anew(self) -> None:
        """Discard the record's contents."""
        self._end()
        self._begin_anew()

    def add(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Add rows, all or none, and replace earlier rows of the same files. Errors of the disk are ignored."""
        rows = [row for row in rows if len(row[1]) <= _LONGEST]
        if not rows or not self._takes_more:
            return
        try:
            self._put(rows)
        except DATABASE_ERRORS as error:
            if self._recover(error) and self._takes_more:
                with contextlib.suppress(*DATABASE_ERRORS):
                    self._put(rows)

    def _put(self, rows: list[tuple[bytes, bytes]]) -> None:
        assert self._database is not None
        with transaction(self._database):
            for some in _runs(sorted(rows, key=itemgetter(0))):  # in order: 1.7 us a row instead of 2.0, and fuller pages
                marks = ",".join(["(?,?)"] * len(some))
                values = list(chain.from_iterable(some))
                self._database.execute(f"INSERT OR REPLACE INTO files VALUES {marks}", values)  # noqa: S608

    def close(self) -> None:
        """Close the database."""
        self._end()
        with contextlib.suppress(OSError):
            status = status_of(_JOURNAL, self._home)
            if status is not None and status.st_size == 0:  # if it is not empty, the next run needs it
                remove(_JOURNAL, self._home)

    # Beginning and end

    def _is_plausible(self) -> bool:
        """Check the files before SQLite opens them; return whether they may be a record."""
        if self._end_of(_LOG) is not None or self._end_of(_JOURNAL) == _POINTER:
            return False
        try:
            record = open_ours(RECORD_NAME, self._home, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            _restore_access(record)
            head = os.pread(record, _HEAD_SPANS[-1].stop, 0)
            return tuple(head[span] for span in _HEAD_SPANS) == _HEAD
        finally:
            os.close(record)

    def _end_of(self, name: str) -> bytes | None:
        """Return the last bytes of a file; None if it does not exist."""
        try:
            descriptor = open_ours(name, self._home, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return os.pread(descriptor, len(_POINTER), max(os.fstat(descriptor).st_size - len(_POINTER), 0))
        finally:
            os.close(descriptor)

    def _begin_anew(self) -> None:
        """Replace the record by an empty one. If the disk refuses that, there is no record."""
        try:
            for name in (_LOG, _JOURNAL, RECORD_NAME):  # the logs first, or SQLite would apply them to the new database
                remove(name, self._home)
            record = os.open(RECORD_NAME, _NEW, 0o666, dir_fd=self._home)
            try:
                _restore_access(record)
            finally:
                os.close(record)
            self._open()
        except (OSError, *DATABASE_ERRORS):
            self._end()

    def _open(self) -> None:
        """Open the database. It exists, and is empty or plausible.

        Raises:
            sqlite3.Error: it is damaged, or the system refuses access.
            UnicodeError: it is damaged.
            OSError: SQLite has opened a file outside the home directory.
        """
        # No locks: the home is locked already, and POSIX drops file locks when any descriptor of the file is closed.
        way = f"file:{quote(os.fsencode(self._path))}?mode=rw&nolock=1"
        database = self._database = sqlite3.connect(
            way, uri=True, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
        )
        if not self._is_open(RECORD_NAME):  # the path has just been changed to lead elsewhere
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), RECORD_NAME)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * (_LONGEST + MAX_NAME_BYTES))
        for setting in _SETTINGS:
            database.execute(f"PRAGMA {setting}")
        if not database.execute("PRAGMA page_count").fetchone()[0]:
            with transaction(database):
                database.execute(f"PRAGMA application_id={_ID}")
                database.execute(f"PRAGMA user_version={_VERSION}")
                database.execute(_TABLE)
        elif database.execute("SELECT sql FROM sqlite_master").fetchall() != [(_TABLE,)]:
            raise sqlite3.DatabaseError("not a record")
        # Rows out of order, or misplaced pages, would hide rows that are added. A million rows take 0.3 s and no memory.
        elif database.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError("damaged")
        else:
            with contextlib.suppress(sqlite3.OperationalError):  # on a full disk the record can still be read
                database.execute(f"PRAGMA user_version={_VERSION}")  # a write, so that SQLite opens the journal
        self._takes_more = self._is_open(_JOURNAL)

    def _is_open(self, name: str) -> bool:
        """Whether this process has opened the file in the home: SQLite opens a path, which may have led elsewhere."""
        status = status_of(name, self._home)
        if status is None:
            return False
        for number in os.listdir("/dev/fd"):  # noqa: PTH208 - names are wanted
            with contextlib.suppress(OSError):  # the descriptor that the list was read from is closed by now
                if os.path.samestat(os.fstat(int(number)), status):
                    return True
        return False

    def _recover(self, error: Exception) -> bool:
        """Handle an error: replace a damaged record by an empty one. Return whether it was damaged."""
        if isinstance(error, sqlite3.Error):
            damaged = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _PRIMARY not in _REFUSALS
        else:
            damaged = isinstance(error, UnicodeError)
        if damaged:
            self._end()
            self._begin_anew()
        return damaged

    def _end(self) -> None:
        database, self._database, self._takes_more = self._database, None, False
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()


def find_rows(database: sqlite3.Connection, keys: Sequence[bytes], found: dict[bytes, object]) -> None:
    """Add the values of the rows with these keys to `found`, and of rows between them. Keys without a row are left out.

    Raises:
        sqlite3.Error, UnicodeError: the database is damaged, or the system refuses access. `found` has what was read before.
    """
    apart: list[bytes] = []
    for _, group in groupby((key for key in keys if len(key) <= MAX_NAME_BYTES), _directory_of):
        together = list(group)
        span = (min(together), max(together), 2 * len(together))
        if len(together) > 1 and database.execute(_COUNT, span).fetchone()[0] < span[2]:
            found.update(database.execute(_BETWEEN, span))
        else:
            apart += together
    found.update(_select(database, apart))


def _directory_of(key: bytes) -> bytes:
    return key[: key.rfind(b"/") + 1]


def find_owner(database: sqlite3.Connection) -> tuple[str, str] | None:
    """Return the source and the directory that the record belongs to; None if it does not say. Raises as `find_rows`."""
    return next((decode_owner(value) for _, value in _select(database, [OWNER])), None)


def _select(database: sqlite3.Connection, keys: list[bytes]) -> Iterator[tuple[bytes, object]]:
    for some in _runs(keys):
        marks = ",".join("?" * len(some))
        yield from database.execute(f"SELECT name, said FROM files WHERE name IN ({marks})", some)  # noqa: S608


def _runs(items: list[T]) -> Iterator[list[T]]:
    for at in range(0, len(items), AT_ONCE):
        yield items[at : at + AT_ONCE]


def _restore_access(descriptor: int) -> None:
    """Give the owner the permissions that a umask has denied, because SQLite has to open the file like any other."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & _OUR_RIGHTS != _OUR_RIGHTS:
        os.fchmod(descriptor, mode | _OUR_RIGHTS)
