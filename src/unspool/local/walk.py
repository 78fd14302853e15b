"""The files below a local directory that is uploaded.

Rule 1: regular files are uploaded, and what symbolic links lead to if it is a regular file below the directory. Other links,
        special files, names that no server takes and unspool's own files are left out, and counted.
Rule 2: a directory that cannot be read is a failure: a backup that lacks it is not complete.
Rule 3: one directory of each level is open at a time, and a few hundred files are returned at once, however large the tree is.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice
from pathlib import Path

from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, Omission
from unspool.core.names import check_name, surely_a_name
from unspool.core.reserved import is_reserved
from unspool.core.value import value
from unspool.errors import InvalidNameError, LocalFileError, SourceChangedError, UnspoolError
from unspool.local.entries import unchanged
from unspool.local.oserrors import unreadable, without_size
from unspool.local.outcome import Failure

AT_ONCE = 500
"""Files returned at once: few enough that the first ones are soon under way."""

_MOST_AHEAD = 20
"""Times so many files that are read ahead. A file takes about 400 bytes."""

_READS = 3
"""How often a small file that changes while it is read is read again."""


@value
class FoundFile:
    """A file to upload.

    Attributes:
        name: below the directory, with `/` between its parts.
        path: where it is.
        size: in bytes, when it was found.
        modified_ns: its modification time then.
    """

    name: str
    path: str
    size: int
    modified_ns: int


@value
class SmallContent:
    """The bytes of a small file, which did not change while they were read."""

    data: bytes
    crc32c: int
    attributes: Attributes


@dataclass(slots=True)
class Walked:
    """Some files, and what was left out or could not be read among them."""

    files: list[FoundFile] = field(default_factory=list)
    omitted: list[Omission] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.files or self.omitted or self.failures)


class _NoFile(Enum):
    """What an entry is that is neither uploaded nor reported."""

    DIRECTORY = auto()
    REMOVED = auto()


class Walk:
    """Walks through a directory. Its methods block.

    Args:
        root: the directory.

    Raises:
        LocalFileError: it is not a directory, or cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self._real = os.path.realpath(root)
        self._entries = self._below(str(root), "")
        self._ahead: deque[Walked] = deque()
        try:
            os.scandir(root).close()
        except OSError as error:
            raise unreadable(str(root), error) from error

    def some(self) -> Walked:
        """Return the next files; nothing at the end."""
        return self._ahead.popleft() if self._ahead else self._next()

    def ahead(self) -> None:
        """Read the next files for a later call of `some`, unless there are very many already: while others are waited for."""
        if len(self._ahead) < _MOST_AHEAD and (found := self._next()):
            self._ahead.append(found)

    def _next(self) -> Walked:
        found = Walked()
        for one in islice(self._entries, AT_ONCE):
            if isinstance(one, FoundFile):
                found.files.append(one)
            elif isinstance(one, Omission):
                found.omitted.append(one)
            else:
                found.failures.append(one)
        return found

    def _below(self, directory: str, prefix: str) -> Iterator[FoundFile | Omission | Failure]:
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    found = self._look(entry, prefix + entry.name)
                    if found is _NoFile.DIRECTORY:
                        yield from self._below(entry.path, f"{prefix}{entry.name}/")
                    elif found is not _NoFile.REMOVED:
                        yield found
        except OSError as error:
            yield Failure(prefix or ".", unreadable(directory, error))

    def _look(self, entry: os.DirEntry[str], name: str) -> FoundFile | Omission | Failure | _NoFile:
        """Return what an entry is."""
        if reason := _reason_against_name(entry.name, name):
            return Omission(reason, _shown(name))
        try:
            if entry.is_dir(follow_symlinks=False):
                return _NoFile.DIRECTORY
            status = entry.stat()
        except OSError as error:
            if entry.is_symlink():
                return Omission("LINK_NOWHERE", name)
            removed = isinstance(error, FileNotFoundError)
            return _NoFile.REMOVED if removed else Failure(name, unreadable(entry.path, error))
        if reason := self._reason_against(entry, status):
            return Omission(reason, name)
        return FoundFile(name, entry.path, status.st_size, status.st_mtime_ns)

    def _reason_against(self, entry: os.DirEntry[str], status: os.stat_result) -> str:
        """Return why an entry that is no directory is left out; "" if it is a file, or a link to one that is followed."""
        if entry.is_symlink():
            if stat.S_ISDIR(status.st_mode):
                return "LINK_TO_DIRECTORY"
            if not os.path.realpath(entry.path).startswith(self._real.rstrip("/") + "/"):
                return "LINK_OUTSIDE"
        return "" if stat.S_ISREG(status.st_mode) else "SPECIAL"


def read_small(path: str, most: int) -> SmallContent | None:
    """Return the bytes of a file; None if it has more than `most` by now. Blocks.

    Raises:
        SourceChangedError: it changes whenever it is read.
        LocalFileError: it cannot be read.
    """
    try:
        for _ in range(_READS):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            try:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    raise LocalFileError(f"{path}: is not a regular file any more")
                if before.st_size > most:
                    return None
                data = os.read(descriptor, before.st_size + 1)
                if len(data) == before.st_size and unchanged(before, os.fstat(descriptor)):
                    executable = bool(before.st_mode & stat.S_IXUSR)
                    return SmallContent(data, crc32c(data), Attributes(before.st_mtime_ns, executable=executable))
                if data and not os.fstat(descriptor).st_size:
                    raise without_size(path)
            finally:
                os.close(descriptor)
    except UnspoolError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    raise SourceChangedError(f"{path}: changed whenever it was read: upload it when nothing writes to it")


def _reason_against_name(base: str, name: str) -> str:
    """Return why an entry is left out for its name; "" if it is not."""
    if is_reserved(base):
        return "RESERVED"
    if surely_a_name(name, base):
        return ""
    try:
        check_name(name)
    except InvalidNameError:
        return "NAME"
    return ""


def _shown(name: str) -> str:
    """Return a name that may not be UTF-8, for people."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
