"""What a tree's record says, read without changing anything: for a run that only tells what it would do.

Rule 1: nothing is locked, made or written, so another process may be adding rows meanwhile. Rows check themselves, and what
        cannot be read is not known: at worst a file that is here is taken for one that is not.
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
"""Names of one statement, as in `unspool.local.record`."""

_ERRORS = (sqlite3.Error, UnicodeError)


class PeekedRecord:
    """The record in a directory; one that is not there knows nothing.

    Args:
        home: the directory.
    """

    def __init__(self, home: Path) -> None:
        self._database: sqlite3.Connection | None = None
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, *_ERRORS):
            directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, directory)
            stack.callback(os.close, open_ours(_NAME, directory, os.O_RDONLY))  # a regular file, and not a pipe
            # Immutable: SQLite takes no lock, and looks for no journal, which it might write back.
            self._database = sqlite3.connect(
                f"file:{quote(os.fsencode(home.absolute() / _NAME))}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )

    def find(self, names: Iterable[str]) -> dict[str, Kept]:
        """Return what is known of these files, by name."""
        keys = {key_of(name): name for name in names}
        found: dict[str, Kept] = {}
        with contextlib.suppress(*_ERRORS):
            for key, said in self._rows(list(keys)):
                if key in keys and (kept := kept_of(key, said)) is not None:
                    found[keys[key]] = kept
        return found

    def owner(self) -> tuple[str, str] | None:
        """Return the source and the directory that it says it is about, if it says so."""
        with contextlib.suppress(*_ERRORS):
            for _, said in self._rows([OWNER]):
                return owner_of(said)
        return None

    def close(self) -> None:
        """Let go of it."""
        if self._database is not None:
            self._database.close()

    def _rows(self, keys: list[bytes]) -> Iterator[tuple[bytes, object]]:
        if self._database is not None:
            for at in range(0, len(keys), _AT_ONCE):
                some = keys[at : at + _AT_ONCE]
                marks = ",".join("?" * len(some))
                yield from self._database.execute(f"SELECT name, said FROM files WHERE name IN ({marks})", some)  # noqa: S608
