"""What a server lists below a prefix, in a temporary database, so that memory does not grow with the number of files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import itemgetter

from unspool.core.model import Attributes, FileInfo
from unspool.local.record import AT_ONCE


class Listed:
    """The files that a server lists. Its methods block, and run in one thread."""

    def __init__(self) -> None:
        # Without a name it is in memory up to SQLite's cache size, and then in a file that vanishes with it.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE files (name TEXT PRIMARY KEY, size, modified, crc32c, revision) WITHOUT ROWID")

    def add(self, infos: Iterable[FileInfo]) -> None:
        """Add files; a file that is listed again replaces the older entry."""
        rows = [(info.name, info.size, info.attributes.modified_ns, info.crc32c, info.revision) for info in infos]
        rows.sort(key=itemgetter(0))  # in order they take less time, see `unspool.local.record`
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def find(self, names: Sequence[str]) -> dict[str, FileInfo]:
        """Return what is listed at these names. Names that are not listed are left out."""
        found = {}
        for at in range(0, len(names), AT_ONCE):
            some = names[at : at + AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._database.execute(f"SELECT * FROM files WHERE name IN ({marks})", some)  # noqa: S608
            for name, size, modified, checksum, revision in rows:
                found[name] = FileInfo(name, size, revision, Attributes(modified), checksum)
        return found

    def close(self) -> None:
        """Remove the database."""
        self._database.close()
