"""A program that fills a tree repeatedly, and dies at each step in turn: run by test_crash_get_tree.py.

A step is a system call of unspool, or a statement of the record's database, whose system calls are not made by Python.
tests/local/test_record.py tests deaths in the middle of a statement.

It forks, so it must run in a process without threads.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, FileInfo
from unspool.core.reserved import HOME
from unspool.core.tree import Recorded
from unspool.core.treerecord import decode_row
from unspool.local.outcome import ReceivedFile
from unspool.local.record import Record
from unspool.local.tree import TreeDestination

CALLS = ("open", "write", "utime", "fsync", "rename", "close", "unlink", "mkdir", "fchmod")
"""The calls at which it may die."""

OLD = {name: f"old {name}".encode() for name in ("a", "d/b", "d/e/c")}
NEW = {name: f"new {name}".encode() * 10 for name in (*OLD, "f/g", "h")}


def infos(files: dict[str, bytes], revision: str) -> list[FileInfo]:
    """Return the listing of a server that knows no checksums, so that only the record can show which files are complete."""
    return [FileInfo(name, len(data), revision, Attributes(1_000_000_007)) for name, data in files.items()]


def fill(path: Path, files: dict[str, bytes], revision: str) -> int:
    """Fill a tree; return how many files were fetched."""
    place = TreeDestination(path, "", overwrite=True, resume=True)
    place.open()
    wanted = place.look(infos(files, revision)).wanted
    for one in wanted:
        data = files[one.info.name]
        place.write([ReceivedFile(one, [data[:3], data[3:]], crc32c(data), confirmed=True)])
    place.finish()
    place.close()
    return len(wanted)


def die_at(step: int) -> None:
    """Make this process die before step number `step`, without clean-up."""
    left = [step]

    def counted(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not left[0]:
            os._exit(1)
        left[0] -= 1
        return real(*args, **kwargs)

    for call in CALLS:
        setattr(os, call, partial(counted, getattr(os, call)))

    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        database = connect(*args, **kwargs)
        database.set_trace_callback(partial(counted, len))
        return database

    setattr(sqlite3, "connect", traced)  # noqa: B010 - mypy refuses to assign to a function


def known_in(path: Path) -> dict[str, Recorded]:
    """Return the rows in the record of a tree."""
    home = os.open(path / HOME, os.O_RDONLY)
    record = Record(home, path)
    try:
        found = {key.decode(): decode_row(key, value) for key, value in record.find([name.encode() for name in NEW]).items()}
        return {name: recorded for name, recorded in found.items() if recorded is not None}
    finally:
        record.close()
        os.close(home)


def check(path: Path) -> int:
    """Check the state after a death: only complete files, and a correct record. Return how many files are new."""
    here = {str(found.relative_to(path)): found for found in path.rglob("*") if found.is_file() and HOME not in found.parts}
    for name, found in here.items():
        assert found.read_bytes() in (OLD.get(name), NEW[name]), name
    known = known_in(path)
    for name, data in NEW.items():
        kept = known.get(name)
        status = here[name].stat() if name in here else None
        if kept and status and (kept.size, kept.modified_ns, kept.inode) == (status.st_size, status.st_mtime_ns, status.st_ino):
            is_new = kept.revision == "r2"
            assert here[name].read_bytes() == (data if is_new else OLD[name]), f"{name}: the record is wrong"
    return sum(found.read_bytes() == NEW[name] for name, found in here.items())


def main(directory: Path) -> None:
    """Die at every call, check the state, and continue."""
    step, came = 0, set()
    while True:
        path = directory / str(step)
        path.mkdir()
        fill(path, OLD, "r1")
        if not (child := os.fork()):
            die_at(step)
            fill(path, NEW, "r2")
            os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        assert len(known_in(path)) >= len(OLD), "what was known is known"
        check(path)
        came.add(fill(path, NEW, "r2"))
        assert check(path) == len(NEW)
        assert fill(path, NEW, "r2") == 0, "everything is known in the end"
        assert sorted(os.listdir(path / HOME)) == ["lock", "record.sqlite"], "nothing is left behind"  # noqa: PTH208
        if not died:
            break
        step += 1
    assert came == {0, len(NEW)}, "a group comes as a whole or not at all, but for the names that were given"
    print(step)  # noqa: T201 - for the test


if __name__ == "__main__":
    main(Path(sys.argv[1]))
