"""Keeps learned checksums in a file, so that a server that is started again does not read large files again.

The file is an SQLite database with a row for each name: the revision, its CRC32C, and its SHA-256 if a client asked for it.

Rule 1: a checksum belongs to a name and a revision. Same revision, same bytes: so it stays true wherever the server runs.
Rule 2: a row is used only if its own checksum is right. A damaged row costs reading a file again, and never a wrong answer.
Rule 3: bounded: the rows learned last are kept, as many as a server remembers.
Rule 4: nothing waits for the disk: a thread writes, several rows at a time. If it cannot, that is logged once, and the server
        goes on without. A kill costs the rows of the last moments.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from contextlib import closing
from os import PathLike, fspath

from unspool.core.checksum import crc32c
from unspool.core.value import value
from unspool.system.databases import DATABASE_ERRORS, connect_to_checksums, make_table, transaction, unusable_error

log = logging.getLogger("unspool.server")

MOST = 10_000
"""Rows in the file: as many as the revisions that a server remembers (`unspool.answers.checksums`)."""

_AT_ONCE = 500
"""Most rows in one transaction."""

_TABLE = """
CREATE TABLE IF NOT EXISTS checksums (
    name TEXT PRIMARY KEY, revision TEXT NOT NULL, crc32c INTEGER, sha256 BLOB, seal INTEGER NOT NULL
)
"""


@value
class Row:
    """What is kept about a revision of a file. Either checksum may be missing."""

    name: str
    revision: str
    crc32c: int | None
    sha256: bytes | None


class KeptChecksums:
    """A file of checksums, open for reading once and for writing. Several processes may use one file.

    Args:
        path: the file. It is created if it does not exist; its directory must exist.

    Attributes:
        rows: what was in the file when it was opened, the newest last.

    Raises:
        InvalidRequestError: the file cannot be opened, or is something else.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = fspath(path)
        self._ended = False
        self._waiting: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        try:
            self.rows = self._load()
        except DATABASE_ERRORS as error:
            raise unusable_error(self._path, error) from error
        self._thread = threading.Thread(target=self._write, name="unspool-checksums", daemon=True)
        self._thread.start()

    def put(self, row: Row) -> None:
        """Have a row written. It replaces an earlier one of the same name; of the same revision it is merged with it."""
        self._waiting.put(row)

    def close(self) -> None:
        """Write what is waiting, and close the file."""
        self._waiting.put(None)
        self._thread.join()

    def _load(self) -> list[Row]:
        with closing(connect_to_checksums(self._path)) as database:
            make_table(database, _TABLE)
            newest = "SELECT name, revision, crc32c, sha256, seal FROM checksums ORDER BY rowid DESC LIMIT ?"
            told = database.execute(newest, (MOST,))
            return [row for row in map(_row_of, reversed(told.fetchall())) if row is not None]

    def _write(self) -> None:
        """Write rows until there are no more to come."""
        try:
            with closing(connect_to_checksums(self._path)) as database:
                while rows := self._next_rows():
                    _put(database, rows)
        except DATABASE_ERRORS as error:
            log.warning("%s: checksums are not kept any more: %s", self._path, error)
            while self._next_rows():
                pass

    def _next_rows(self) -> list[Row]:
        """Wait for a row, and return it with those that wait behind it; none at the end."""
        rows: list[Row] = []
        while not self._ended and (not rows or (len(rows) < _AT_ONCE and not self._waiting.empty())):
            row = self._waiting.get()
            if row is None:
                self._ended = True
            else:
                rows.append(row)
        return rows


def _put(database: sqlite3.Connection, rows: list[Row]) -> None:
    """Write rows, all or none, and drop the oldest ones that are too many."""
    with transaction(database):
        for row in rows:
            found = database.execute("SELECT name, revision, crc32c, sha256, seal FROM checksums WHERE name = ?", (row.name,))
            merged = _merged(_row_of(found.fetchone()), row)
            values = (merged.name, merged.revision, merged.crc32c, merged.sha256, _seal(merged))
            database.execute("INSERT OR REPLACE INTO checksums VALUES (?, ?, ?, ?, ?)", values)
        # A row that is replaced gets a new number, so the numbers are in the order of writing.
        database.execute("DELETE FROM checksums WHERE rowid <= (SELECT max(rowid) FROM checksums) - ?", (MOST,))


def _merged(old: Row | None, new: Row) -> Row:
    """Return a new row with what the old one says of the same revision."""
    if old is None or old.revision != new.revision:
        return new
    return Row(
        new.name,
        new.revision,
        old.crc32c if new.crc32c is None else new.crc32c,
        old.sha256 if new.sha256 is None else new.sha256,
    )


def _row_of(told: tuple[object, ...] | None) -> Row | None:
    """Return what a row of the database says; None if there is none, or it is damaged."""
    if told is None:
        return None
    name, revision, checksum, digest, seal = told
    if not (isinstance(name, str) and isinstance(revision, str)):
        return None
    if not (isinstance(checksum, int | None) and isinstance(digest, bytes | None)):
        return None
    row = Row(name, revision, checksum, digest)
    return row if seal == _seal(row) else None


def _seal(row: Row) -> int:
    parts = (row.name, row.revision, str(row.crc32c), "" if row.sha256 is None else row.sha256.hex())
    return crc32c("\0".join(parts).encode(errors="surrogatepass"))
