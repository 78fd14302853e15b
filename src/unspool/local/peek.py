"""Reads a tree's record without changing anything, for a dry run.

Rule 1: nothing is locked, created or written, so another process may add rows meanwhile. Each row has a checksum, and rows that
        cannot be read are ignored. At worst a file that is here counts as missing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from unspool.core.tree import Kept
from unspool.core.treerecord import OWNER, kept_of, key_of, owner_of
from unspool.local.entries import open_ours

_NAME = "record.sqlite"

_AT_ONCE = 100
"""Names per SQL statement, as in `unspool.local.record`."""

_ERRORS = (sqlite3.Error, UnicodeError)


class PeekedRecord:
    """The record in a directory, opened read-only. If there is none, it is empty.

    Args:
        home: the directory.
    """

    def __init__(self, home: Path) -> None:
        self._database: sqlite3.Connection | None = None
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, *_ERRORS):
            directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, directory)
            stack.callback(os.close, open_ours(_NAME, directory, os.O_RDONLY))  # fails unless it is a regular file
            # Immutable: SQLite takes no lock, and does not look for a journal, which it might roll back.
            self._database = sqlite3.connect(
                f"file:{quote(os.fsencode(home.absolute() / _NAME))}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )

    def find(self, names: Iterable[str]) -> dict[str, Kept]:
        """Return the entries of these files, by name. Files without an entry are left out."""
        keys = {key_of(name): name for name in names}
        found: dict[str, Kept] = {}
        with contextlib.suppress(*_ERRORS):
            for key, said in self._rows(list(keys)):
                if key in keys and (kept := kept_of(key, said)) is not None:
                    found[keys[key]] = kept
        return found

    def owner(self) -> tuple[str, str] | None:
        """Return the source and the directory that the record belongs to; None if it does not say."""
        with contextlib.suppress(*_ERRORS):
            for _, said in self._rows([OWNER]):
                return owner_of(said)
        return None

    def close(self) -> None:
        """Close the record."""
        if self._database is not None:
            self._database.close()

    def _rows(self, keys: list[bytes]) -> Iterator[tuple[bytes, object]]:
        if self._database is not None:
            for at in range(0, len(keys), _AT_ONCE):
                some = keys[at : at + _AT_ONCE]
                marks = ",".join("?" * len(some))
                yield from self._database.execute(f"SELECT name, said FROM files WHERE name IN ({marks})", some)  # noqa: S608
