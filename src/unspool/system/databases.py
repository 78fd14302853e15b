"""SQLite databases: transactions, and the file of checksums of a server, in which two modules have a table each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from unspool.errors import InvalidRequestError

DATABASE_ERRORS = (sqlite3.Error, UnicodeError)
"""Python decodes SQLite's error messages, and these may quote damaged text: hence UnicodeError."""

_VERSION = 1
"""Version of the tables in a file of checksums, in the database's `user_version`."""

_BUSY = 10.0
"""Seconds to wait for another process that writes to the file, such as another worker."""


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing, and nothing that other processes write at the same time."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite may have rolled it back already
            database.execute("ROLLBACK")
        raise


def connect_to_checksums(path: str, *, from_any_thread: bool = False) -> sqlite3.Connection:
    """Connect to a file of checksums, which is created if it does not exist. Statements are committed one by one."""
    return sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=not from_any_thread)


def make_table(database: sqlite3.Connection, table: str) -> None:
    """Make a table in a file of checksums, unless it is there. Others may be there, too.

    Args:
        database: the file.
        table: the statement `CREATE TABLE IF NOT EXISTS`.

    Raises:
        sqlite3.Error, UnicodeError: the file is damaged, or something else.
    """
    with transaction(database):  # another worker may begin at the same time
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version not in {0, _VERSION} or (version == 0 and tables):
            raise sqlite3.DatabaseError("another program or another version made it")
        database.execute(table)
        if version == 0:
            database.execute(f"PRAGMA user_version = {_VERSION}")


def unusable_error(path: str, error: Exception) -> InvalidRequestError:
    """Return the error for a file that cannot be a file of checksums."""
    said = f"{path}: cannot be used as a file of checksums ({error}): name another file, or remove it"
    return InvalidRequestError(said)
