"""A record that is kept outside its tree, in a directory of its own.

    PATH/lock             held (flock) by the process that uses the record
    PATH/record.sqlite    see `unspool.local.record`

Rule 1: a record belongs to one directory and one server. The record of another one is refused and not changed.
Rule 2: a directory that holds other files, or that is part of the tree, is refused.

All calls block. Only one may run at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unspool.core.reserved import is_home
from unspool.core.treerecord import encode_owner
from unspool.errors import BusyError, LocalFileError
from unspool.local.entries import make_directory, open_ours
from unspool.local.oserrors import mapped
from unspool.local.record import RECORD_NAME, Record

LOCK = "lock"

_OURS = {LOCK, RECORD_NAME, f"{RECORD_NAME}-journal", f"{RECORD_NAME}-wal"}

_AGAIN = "name another record, remove this one, or begin it anew (resume=False)"


@contextmanager
def record_at(path: Path, source: str, tree: Path, *, anew: bool) -> Iterator[Record]:
    """Open, lock and finally close the record in the directory `path`, which is created if it does not exist.

    Args:
        path: the directory. Its parent must exist.
        source: the server that the tree comes from.
        tree: the destination of the tree, which must exist.
        anew: discard the record's contents, even those of another tree.

    Raises:
        BusyError: another process is using the record.
        LocalFileError: it is the record of another tree, or cannot be opened.
    """
    directory = os.path.realpath(tree)
    real = Path(os.path.realpath(path))
    if is_home(real.name):
        raise LocalFileError(f"{path}: another tree keeps its own record there: name another directory for this one")
    if real.is_relative_to(directory):
        raise LocalFileError(f"{path}: is part of the tree itself: name a directory outside of it for the record")
    with contextlib.ExitStack() as stack:
        with mapped(path):
            with contextlib.suppress(FileExistsError):
                make_directory(str(real), None)
            try:
                home = os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except NotADirectoryError:
                raise LocalFileError(f"{path}: is not a directory, and a record needs one of its own") from None
            stack.callback(os.close, home)
            there = set(os.listdir(home))  # noqa: PTH208 - names are wanted
            if strange := there - (_OURS if LOCK in there else set()):
                raise LocalFileError(f"{path}: holds {min(strange)!r}, and a record needs a directory of its own")
            lock = open_ours(LOCK, home, os.O_RDWR | os.O_CREAT)
            stack.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(f"{path}: another process is using this record; wait for it, or end it") from None
            record = Record(home, real.parent, anew=anew, called=real.name)
            stack.callback(record.close)
        owner = record.owner()
        if owner is None:  # it is new, or does not say which tree it belongs to
            record.begin_anew()
            record.add([encode_owner(source, directory)])
        else:
            check_owner(path, owner, source, tree)
        yield record


def check_owner(path: Path, owner: tuple[str, str], source: str, tree: Path) -> None:
    """Refuse a record that belongs to another server or directory.

    Args:
        path: path of the record.
        owner: the source and the directory that the record names.
        source: the server that it should name.
        tree: the directory that it should name.

    Raises:
        LocalFileError: they differ.
    """
    if owner != (source, os.path.realpath(tree)):
        raise LocalFileError(f"{path}: is the record of {owner[1]} with the files of {owner[0]}: {_AGAIN}")
