"""Removes uploads that nobody goes on with, and what is remembered of committed ones.

Rule 1: what is locked is in use, and stays, however old it is.
Rule 2: age is counted from the change time, which nobody can set back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from unspool.core.reserved import PART_SUFFIX, names_beside
from unspool.ingest.staging import Staging
from unspool.ingest.uploadfile import SYNCED_SUFFIX
from unspool.local.entries import is_at, open_ours, remove, status_of
from unspool.options import IngestOptions

_WANTED = 60.0
"""Seconds after which a file in `wanted/` is of a process that died."""

_SMALL = 3600.0
"""Seconds after which a small file that is being written is of a process that died."""


def sweep(staging: Staging, options: IngestOptions, now: float) -> int:
    """Remove what expired before `now`, in seconds since 1970; return how many unfinished uploads that were."""
    count = 0
    for name in _older(staging.descriptor, now - options.keep):
        if name.endswith(PART_SUFFIX):
            count += _remove_part(name.removesuffix(PART_SUFFIX), staging)
        elif status_of(name.partition(".")[0] + PART_SUFFIX, staging.descriptor) is None:
            remove(name, staging.descriptor)  # of a commit that was killed
    for directory, age in ((staging.done, options.remember), (staging.wanted, _WANTED), (staging.small, _SMALL)):
        for name in _older(directory, now - age):
            remove(name, directory)
    return count


def _older(directory: int, than: float) -> Iterator[str]:
    """Yield the files of a directory that were changed before a time."""
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_ctime < than:
                    yield entry.name


def _remove_part(key: str, staging: Staging) -> bool:
    """Remove an upload, unless it is in use; return whether it was removed."""
    names, directory = names_beside(key, 255), staging.descriptor
    try:
        part = open_ours(names.part, directory, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_at(part, names.part, directory):
            return False
        for name in (key + SYNCED_SUFFIX, names.journal, names.scratch, names.whole, names.part):
            remove(name, directory)
    except BlockingIOError:
        return False
    finally:
        os.close(part)
    return True
