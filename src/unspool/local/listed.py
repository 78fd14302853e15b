"""What a server lists below a prefix, in a temporary database, so that memory does not grow with the number of files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from unspool.core.model import Attributes, FileInfo


class Listed:
    """The files that a server lists. Its methods block, and run in one thread."""

    def __init__(self) -> None:
        # Without a name it is in memory up to SQLite's cache size, and then in a file that vanishes with it.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE files (name TEXT PRIMARY KEY, size, modified, crc32c, revision) WITHOUT ROWID")

    def add(self, infos: Iterable[FileInfo]) -> None:
        """Add files; a file that is listed again replaces the older entry."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
            ((info.name, info.size, info.attributes.modified_ns, info.crc32c, info.revision) for info in infos),
        )
        self._database.execute("COMMIT")

    def get(self, name: str) -> FileInfo | None:
        """Return what is listed at a name."""
        row = self._database.execute("SELECT size, modified, crc32c, revision FROM files WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        size, modified, checksum, revision = row
        return FileInfo(name, size, revision, Attributes(modified), checksum)

    def close(self) -> None:
        """Remove the database."""
        self._database.close()
