"""Revisions made of what files contain, so that equal files have equal revisions on every machine.

The SHA-256 of a file is computed when its revision is first asked for, and kept in an SQLite database with the file's identity:
device, inode, size, and the times of modification and change.

Rule 1: what is kept counts only while the file's identity is the same. If it may be changed without a trace (`writers`),
        nothing is kept, and the file is read each time.
Rule 2: one thread reads a file; others that ask for it wait for the result, without a thread of their own.
Rule 3: the database is bounded, and a damaged row is not used. If the disk fails, that is logged once, and files are read
        again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sqlite3
import stat
import threading
import time
from concurrent.futures import Future
from contextlib import nullcontext
from functools import partial
from typing import TypeAlias

from unspool.core.checksum import crc32c
from unspool.core.value import value
from unspool.errors import FileChangedError
from unspool.stores.oserrors import mapped
from unspool.stores.revisions import by_status
from unspool.stores.stamps import seconds_until_a_write_shows
from unspool.stores.threads import Threads
from unspool.stores.writers import every_write_shows
from unspool.system.databases import DATABASE_ERRORS, connect_to_checksums, make_table, transaction, unusable_error

log = logging.getLogger("unspool.stores")

_MOST = 1_000_000
"""Most files that are kept: about 200 MB of disk."""

_PRUNE_EVERY = 10_000
"""Rows that are added between two times that the number is brought down to the limit."""

_RUN = 1 << 20
"""Bytes that are read at a time: large enough that hashing takes nearly all the time."""

_THREADS = 4
"""Threads that read large files for their revisions, apart from those that read for clients."""

_TABLE = """
CREATE TABLE IF NOT EXISTS contents (
    name TEXT PRIMARY KEY, identity TEXT NOT NULL, sha256 BLOB NOT NULL, crc32c INTEGER NOT NULL, seal INTEGER NOT NULL
)
"""


_FIND = "SELECT name, identity, sha256, crc32c, seal FROM contents WHERE name = ?"

_Row: TypeAlias = tuple[str, str, bytes, int, int]
"""A row of the table."""


@value
class Content:
    """What a file contains: the SHA-256 and the CRC32C of its bytes."""

    sha256: bytes
    crc32c: int

    def revision(self, status: os.stat_result) -> str:
        """Return the revision of a file with this content. The executable bit is part of it, because clients keep it."""
        return f"sha256-{self.sha256.hex()}{'-x' if status.st_mode & stat.S_IXUSR else ''}"


class Contents:
    """What the files of one directory contain. Safe to use from several threads.

    Args:
        path: the database; another server's file of checksums will do, and several processes may share it. It is created if it
            does not exist. None keeps what is learned until the end of the process, in a temporary file.

    Raises:
        InvalidRequestError: the file cannot be opened, or is something else.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = "" if path is None else os.fspath(path)
        self._lock = threading.Lock()
        self._threads = Threads(_THREADS)
        self._running: dict[str, Future[Content]] = {}
        self._fresh: dict[str, _Row] = {}  # rows that are not in the database yet
        self._wake = threading.Event()
        self._closing = self._broken = False
        try:
            self._database = self._connect()
            make_table(self._database, _TABLE)
            # Two connections, so that nobody waits for the disk to find a row. A temporary file has one, and no disk.
            self._writes = self._connect() if self._path else self._database
        except DATABASE_ERRORS as error:
            raise unusable_error(self._path, error) from error
        self._writer = threading.Thread(target=self._write, name="unspool-contents", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        return connect_to_checksums(self._path, from_any_thread=True)

    def known(self, name: str, status: os.stat_result) -> Content | None:
        """Return what is known of a file with this status. Call it from a worker thread."""
        identity = _identity(status)
        with self._lock:
            row = self._fresh.get(name)
            if row is None and not self._broken:
                try:
                    row = self._database.execute(_FIND, (name,)).fetchone()
                except DATABASE_ERRORS as error:
                    self._give_up(error)
        if row is None or row[1] != identity or row[4] != _seal(*row[:4]):
            return None
        return Content(row[2], row[3])

    def learn(self, name: str, descriptor: int, status: os.stat_result) -> Content:
        """Return what a file contains, and keep it. Reads the whole file unless it is known. Call it from a worker thread.

        Raises:
            FileChangedError: the file changed while it was read.
        """
        found = self.known(name, status)
        if found is not None:
            return found
        with mapped(name):
            if wait := seconds_until_a_write_shows(status.st_ctime_ns):
                time.sleep(wait)
            steady = every_write_shows(descriptor, status)  # before the read: a change during it shows
            content = _read(name, descriptor, status)
        if steady:
            self._keep(name, status, content)
        return content

    def keep(self, name: str, descriptor: int, status: os.stat_result, content: Content) -> None:
        """Keep what a file contains that was written here, unless it may be changed without a trace.

        Args:
            name: name of the file.
            descriptor: the file, open for reading only, and by nobody here for writing.
            status: its status. Since it was written nobody else has changed it, and a write would change the status.
            content: what it contains.
        """
        if every_write_shows(descriptor, status):
            self._keep(name, status, content)

    def _keep(self, name: str, status: os.stat_result, content: Content) -> None:
        identity = _identity(status)
        seal = _seal(name, identity, content.sha256, content.crc32c)
        with self._lock:
            if not self._broken:
                self._fresh[name] = name, identity, content.sha256, content.crc32c, seal
        self._wake.set()

    async def of(self, name: str, descriptor: int, status: os.stat_result) -> Content:
        """Return what a file contains, as `learn` does. Callers that ask for the same file wait for one thread."""
        identity = _identity(status)
        running = self._running.get(identity)
        if running is None:
            own = os.dup(descriptor)  # the caller may close its own
            try:
                running = self._threads.submit(partial(self._learn_alone, name, own, status))
            except BaseException:
                os.close(own)
                raise
            self._running[identity] = running
            running.add_done_callback(lambda _: self._running.pop(identity, None))
        return await asyncio.shield(asyncio.wrap_future(running))

    def _learn_alone(self, name: str, descriptor: int, status: os.stat_result) -> Content:
        try:
            return self.learn(name, descriptor, status)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Refuse further work, and write what was learned."""
        self._threads.close()
        self._closing = True
        self._wake.set()
        self._writer.join()
        with self._lock:
            self._broken = True  # for threads that are still reading
            self._database.close()
            self._writes.close()

    def _write(self) -> None:
        """Write the rows that were learned, until the end."""
        added, last = 0, False
        while not last:
            self._wake.wait()
            self._wake.clear()
            last = self._closing  # what was learned before is still written
            with self._lock:
                rows = [] if self._broken else list(self._fresh.values())
            if not rows:
                continue
            try:
                with self._lock if not self._path else nullcontext():
                    _put(self._writes, rows, prune=added // _PRUNE_EVERY != (added + len(rows)) // _PRUNE_EVERY)
            except DATABASE_ERRORS as error:
                with self._lock:
                    self._give_up(error)
            added += len(rows)
            with self._lock:
                for row in rows:
                    if self._fresh.get(row[0]) is row:
                        del self._fresh[row[0]]

    def _give_up(self, error: Exception) -> None:
        if not self._broken:
            log.warning("%s: revisions are not kept any more: %s", self._path or "the temporary database", error)
        self._broken = True
        self._fresh.clear()


def _put(database: sqlite3.Connection, rows: list[_Row], *, prune: bool) -> None:
    """Write rows, all or none, and drop the oldest ones that are too many."""
    with transaction(database):
        database.executemany("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?)", rows)
        if prune:  # a row that is replaced gets a new number, so the numbers are in the order of writing
            database.execute("DELETE FROM contents WHERE rowid <= (SELECT max(rowid) FROM contents) - ?", (_MOST,))


def _read(name: str, descriptor: int, status: os.stat_result) -> Content:
    digest, checksum, position = hashlib.sha256(usedforsecurity=False), 0, 0
    buffer = bytearray(_RUN)
    view = memoryview(buffer)
    while position < status.st_size and (size := os.preadv(descriptor, [view[: status.st_size - position]], position)):
        digest.update(view[:size])
        checksum = crc32c(view[:size], checksum)
        position += size
    after = os.fstat(descriptor)
    if position < status.st_size or by_status(after) != by_status(status):
        raise FileChangedError(f"{name}: changed while it was read for its revision", name=name)
    return Content(digest.digest(), checksum)


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev:x}-{by_status(status)}"


def _seal(name: str, identity: str, digest: object, checksum: object) -> int:
    shown = digest.hex() if isinstance(digest, bytes) else ""
    return crc32c("\0".join((name, identity, shown, str(checksum))).encode(errors="surrogatepass"))
