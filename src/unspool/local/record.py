"""Where the record of a tree is kept: an SQLite database in the tree's home, of which little is in memory at any time.

    DEST/.unspool-tree/record.sqlite            one row a file: see `unspool.core.treerecord`
    DEST/.unspool-tree/record.sqlite-journal    while the tree is being filled: what a change is taken back with

Rule 1: what is wrong with the record is no concern of the run. A damaged one is replaced by an empty one, and what the disk
        refuses is not noted: files are compared, or fetched again.
Rule 2: a kill at any moment costs the rows that were being added, and no others.
Rule 3: nothing is used but regular files in the home, and once it is open no file is looked up by a path any more.

Plain blocking calls, one at a time, from whichever thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from unspool.core.names import MAX_NAME_BYTES
from unspool.core.ours import HOME
from unspool.core.tree import Kept
from unspool.core.treerecord import OWNER, kept_of, key_of, owner_of
from unspool.local.entries import open_ours, remove, status_of

T = TypeVar("T")

_NAME, _JOURNAL, _LOG = "record.sqlite", "record.sqlite-journal", "record.sqlite-wal"
"""The last one is never ours, but SQLite would read it."""

_TABLE = "CREATE TABLE files (name BLOB PRIMARY KEY, said BLOB NOT NULL) WITHOUT ROWID"

_ID, _VERSION = 0x756E7370, 2
"""What SQLite's header says of the file, besides being SQLite's: `unsp`, and the version of the format. A record of version 1,
which knew nothing of attributes, is replaced by an empty one."""

_HEAD = b"SQLite format 3\0", b"\1\1", _VERSION.to_bytes(4, "big"), _ID.to_bytes(4, "big")
_HEAD_SPANS = slice(0, 16), slice(18, 20), slice(60, 64), slice(68, 72)
"""How the file begins, and where (sqlite.org/fileformat.html): the second is 1, 1 for a database with a rollback journal."""

_POINTER = bytes.fromhex("d9d505f920a163d7")
"""How a journal ends that names another file, which SQLite would remove. Ours never does: there is one database."""

_AT_ONCE = 100
"""Rows of one statement. Measured: 2.0 us to find one and 2.0 to add it; one by one 3.2 and 2.9; with more not much less."""

_STATEMENTS = 8
"""Of which SQLite keeps what it has made of them: of each number of rows there is one."""

_CACHE_KIB = 512
"""Of the database in memory. A listing is in order, or nearly: what comes next is next to what came."""

_LONGEST = 16 << 10
"""Bytes that may be said of a file; more is not noted. A revision is whatever the server says."""

_SETTINGS = (
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "mmap_size=0",
    "temp_store=MEMORY",
    f"cache_size=-{_CACHE_KIB}",
    "locking_mode=EXCLUSIVE",
    # Why a rollback journal that is truncated: without one on the disk (OFF, MEMORY) a kill in the middle of a commit leaves a
    # broken tree of pages, and all is to be compared again. Held open in exclusive mode and not removed (DELETE), or removed at
    # the end (WAL), it is looked up by its path once, when the record is opened, and never again.
    "journal_mode=TRUNCATE",
    # What a kill leaves the kernel writes in any order: a power cut may leave damage, which is noticed.
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
"""What SQLite says when it is the system that does not let it. Everything else is damage."""

_PRIMARY = 0xFF
"""Of SQLite's codes: the rest of the bits is detail."""

_ERRORS = (sqlite3.Error, UnicodeError)
"""What SQLite says goes through Python's decoder, and may quote what is damaged."""


class NoRecord:
    """In place of a record where none is kept: it knows nothing, and notes nothing."""

    def find(self, names: Iterable[str]) -> dict[str, Kept]:  # noqa: ARG002 - as `Record` has it
        """See `Record.find`."""
        return {}

    def add(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """See `Record.add`."""

    def close(self) -> None:
        """See `Record.close`."""


class Record:
    """The record of one tree, whose home is locked.

    Args:
        home: descriptor of the directory.
        path: of the directory that the home is in.
        anew: throw away what it says.
        called: the home's name there.

    Raises:
        FileExistsError: what stands in its place is not a regular file.
        OSError: it is refused to us.
    """

    def __init__(self, home: int, path: Path, *, anew: bool = False, called: str = HOME) -> None:
        self._home = home
        # SQLite knows only paths. This one is of the directory that is open, wherever it has been moved to.
        way = Path(f"/proc/self/fd/{home}")
        self._path = (way if way.is_dir() else path.absolute() / called) / _NAME
        self._database: sqlite3.Connection | None = None
        self._takes_more = False
        if not self._is_plausible() or anew:
            self._begin_anew()
            return
        try:
            self._open()
        except (OSError, *_ERRORS) as error:
            self._end()
            self._get_over(error)

    def find(self, names: Iterable[str]) -> dict[str, Kept]:
        """Return what is known of these files, by name."""
        keys = {key: name for name in names if len(key := key_of(name)) <= MAX_NAME_BYTES}
        found: dict[str, Kept] = {}
        if self._database is None:
            return found
        try:
            for key, said in self._rows(list(keys)):
                if key in keys and (kept := kept_of(key, said)) is not None:
                    found[keys[key]] = kept
        except _ERRORS as error:
            self._get_over(error)
        return found

    def _rows(self, keys: list[bytes]) -> Iterator[tuple[bytes, object]]:
        assert self._database is not None
        for some in _runs(keys):
            marks = ",".join("?" * len(some))
            yield from self._database.execute(f"SELECT name, said FROM files WHERE name IN ({marks})", some)  # noqa: S608

    def owner(self) -> tuple[str, str] | None:
        """Return the source and the directory that it says it is about; None if it does not, or is damaged."""
        if self._database is not None:
            with contextlib.suppress(*_ERRORS):
                for _, said in self._rows([OWNER]):
                    return owner_of(said)
        return None

    def begin_anew(self) -> None:
        """Throw away what it says."""
        self._end()
        self._begin_anew()

    def add(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Add rows, all or none, instead of what was said of these files. Of no consequence if the disk refuses."""
        rows = [row for row in rows if len(row[1]) <= _LONGEST]
        if not rows or not self._takes_more:
            return
        try:
            self._put(rows)
        except _ERRORS as error:
            if self._get_over(error) and self._takes_more:
                with contextlib.suppress(*_ERRORS):
                    self._put(rows)

    def _put(self, rows: list[tuple[bytes, bytes]]) -> None:
        assert self._database is not None
        with _transaction(self._database):
            for some in _runs(rows):
                marks = ",".join(["(?,?)"] * len(some))
                values = list(chain.from_iterable(some))
                self._database.execute(f"INSERT OR REPLACE INTO files VALUES {marks}", values)  # noqa: S608

    def close(self) -> None:
        """Let go of it."""
        self._end()
        with contextlib.suppress(OSError):
            status = status_of(_JOURNAL, self._home)
            if status is not None and status.st_size == 0:  # else the next one needs it
                remove(_JOURNAL, self._home)

    # Beginning and end

    def _is_plausible(self) -> bool:
        """Look at what is there before SQLite does; return whether it may be a record."""
        if self._end_of(_LOG) is not None or self._end_of(_JOURNAL) == _POINTER:
            return False
        try:
            record = open_ours(_NAME, self._home, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            _let_us(record)
            head = os.pread(record, _HEAD_SPANS[-1].stop, 0)
            return tuple(head[span] for span in _HEAD_SPANS) == _HEAD
        finally:
            os.close(record)

    def _end_of(self, name: str) -> bytes | None:
        """Return the last bytes of a file, if it is there."""
        try:
            descriptor = open_ours(name, self._home, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return os.pread(descriptor, len(_POINTER), max(os.fstat(descriptor).st_size - len(_POINTER), 0))
        finally:
            os.close(descriptor)

    def _begin_anew(self) -> None:
        """Put an empty record in place of what is there. If the disk refuses that there is none."""
        try:
            for name in (_LOG, _JOURNAL, _NAME):  # in this order: what changes back a record goes before it
                remove(name, self._home)
            record = os.open(_NAME, _NEW, 0o666, dir_fd=self._home)
            try:
                _let_us(record)
            finally:
                os.close(record)
            self._open()
        except (OSError, *_ERRORS):
            self._end()

    def _open(self) -> None:
        """Open the record, which is there, and empty or plausible.

        Raises:
            sqlite3.Error: it is damaged, or refused to us.
            UnicodeError: it is damaged.
            OSError: what has been opened is not in the home.
        """
        # No locks: the home is locked, and they would go with the first descriptor of this file that is closed.
        way = f"file:{quote(os.fsencode(self._path))}?mode=rw&nolock=1"
        database = self._database = sqlite3.connect(
            way, uri=True, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
        )
        if not self._is_open(_NAME):  # a directory above has become another one, just now
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), _NAME)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * (_LONGEST + MAX_NAME_BYTES))
        for setting in _SETTINGS:
            database.execute(f"PRAGMA {setting}")
        if not database.execute("PRAGMA page_count").fetchone()[0]:
            with _transaction(database):
                database.execute(f"PRAGMA application_id={_ID}")
                database.execute(f"PRAGMA user_version={_VERSION}")
                database.execute(_TABLE)
        elif database.execute("SELECT sql FROM sqlite_master").fetchall() != [(_TABLE,)]:
            raise sqlite3.DatabaseError("not a record")
        # Rows out of order, or pages that are another's, would hide what is added. A million rows take 0.3 s and no memory.
        elif database.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError("damaged")
        else:
            with contextlib.suppress(sqlite3.OperationalError):  # of a full disk: what the record says can be read
                database.execute(f"PRAGMA user_version={_VERSION}")  # a change, for which the journal is opened
        self._takes_more = self._is_open(_JOURNAL)

    def _is_open(self, name: str) -> bool:
        """Whether a file of the home is open in this process: SQLite has opened a path, which may have led elsewhere."""
        status = status_of(name, self._home)
        if status is None:
            return False
        for number in os.listdir("/dev/fd"):  # noqa: PTH208 - names are wanted
            with contextlib.suppress(OSError):  # what the list was read from is closed by now
                if os.path.samestat(os.fstat(int(number)), status):
                    return True
        return False

    def _get_over(self, error: Exception) -> bool:
        """Do without the record, or with an empty one if this one is damaged; return whether it was."""
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


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # it may have been taken back already
            database.execute("ROLLBACK")
        raise


def _runs(items: list[T]) -> Iterator[list[T]]:
    for at in range(0, len(items), _AT_ONCE):
        yield items[at : at + _AT_ONCE]


def _let_us(descriptor: int) -> None:
    """Give us the right to a file of ours that a umask has taken: SQLite opens it as any other, and each time."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & _OUR_RIGHTS != _OUR_RIGHTS:
        os.fchmod(descriptor, mode | _OUR_RIGHTS)
