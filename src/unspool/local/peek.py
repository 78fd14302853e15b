"""Reads a tree's record without changing anything, for a dry run.

Rule 1: nothing is locked, created or written, so another process may add rows meanwhile. Each row has a checksum, and rows that
        cannot be read are ignored. At worst a file that is here counts as missing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from unspool.core.tree import Recorded
from unspool.core.treerecord import decode_row, key_of
from unspool.local.entries import open_ours
from unspool.local.record import RECORD_NAME, find_owner, find_rows
from unspool.system.databases import DATABASE_ERRORS


class PeekedRecord:
    """The record in a directory, opened read-only. If there is none, it is empty.

    Args:
        home: the directory.
    """

    def __init__(self, home: Path) -> None:
        self._database: sqlite3.Connection | None = None
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, *DATABASE_ERRORS):
            directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, directory)
            stack.callback(os.close, open_ours(RECORD_NAME, directory, os.O_RDONLY))  # fails unless it is a regular file
            # Immutable: SQLite takes no lock, and does not look for a journal, which it might roll back.
            self._database = sqlite3.connect(
                f"file:{quote(os.fsencode(home.absolute() / RECORD_NAME))}?mode=ro&immutable=1",
                uri=True,
                check_same_thread=False,
            )

    def find(self, names: Iterable[str]) -> dict[str, Recorded]:
        """Return the entries of these files, by name. Files without an entry are left out."""
        keys = {key_of(name): name for name in names}
        found: dict[bytes, object] = {}
        if self._database is not None:
            with contextlib.suppress(*DATABASE_ERRORS):
                find_rows(self._database, list(keys), found)
        entries = {name: decode_row(key, found.get(key)) for key, name in keys.items()}
        return {name: recorded for name, recorded in entries.items() if recorded is not None}

    def owner(self) -> tuple[str, str] | None:
        """Return the source and the directory that the record belongs to; None if it does not say."""
        if self._database is not None:
            with contextlib.suppress(*DATABASE_ERRORS):
                return find_owner(self._database)
        return None

    def close(self) -> None:
        """Close the record."""
        if self._database is not None:
            self._database.close()
