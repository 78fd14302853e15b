"""The files below a local directory that is uploaded.

Rule 1: regular files are uploaded, and what symbolic links lead to if it is a regular file below the directory. Other links,
        special files, names that no server takes and unspool's own files are left out, and counted.
Rule 2: a directory that cannot be read is a failure: a backup that lacks it is not complete.
Rule 3: one directory of each level is open at a time, and a few hundred files are returned at once, however large the tree is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, Omission
from unspool.core.names import check_name
from unspool.core.ours import is_ours
from unspool.errors import InvalidNameError, LocalFileError, SourceChangedError, UnspoolError
from unspool.local.entries import unchanged
from unspool.local.outcome import Failure

_AT_ONCE = 500
"""Files returned at once: few enough that the first ones are soon under way."""

_READS = 3
"""How often a small file that changes while it is read is read again."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to upload.

    Attributes:
        name: below the directory, with `/` between its parts.
        path: where it is.
        size: in bytes, when it was found.
        modified_ns: its modification time then.
    """

    name: str
    path: Path
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
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


class Walk:
    """Walks through a directory. Its methods block.

    Args:
        root: the directory.

    Raises:
        LocalFileError: it is not a directory, or cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = os.path.realpath(root)
        try:
            self._entries = self._below(root, "")
            os.scandir(root).close()
        except OSError as error:
            raise _refused(root, error) from error

    def some(self) -> Walked:
        """Return the next files; nothing at the end."""
        found = Walked()
        for one in islice(self._entries, _AT_ONCE):
            if isinstance(one, FoundFile):
                found.files.append(one)
            elif isinstance(one, Omission):
                found.omitted.append(one)
            else:
                found.failures.append(one)
        return found

    def _below(self, directory: Path, prefix: str) -> Iterator[FoundFile | Omission | Failure]:
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    yield from self._look(entry, prefix + entry.name)
        except OSError as error:
            yield Failure(prefix or ".", _refused(directory, error))

    def _look(self, entry: os.DirEntry[str], name: str) -> Iterator[FoundFile | Omission | Failure]:
        shown = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        if is_ours(entry.name):
            yield Omission("RESERVED", shown)
            return
        try:
            check_name(name)
        except InvalidNameError:
            yield Omission("NAME", shown)
            return
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from self._below(Path(entry.path), f"{name}/")
                return
            status = entry.stat()
        except OSError as error:
            if entry.is_symlink():
                yield Omission("LINK_NOWHERE", name)
            elif not isinstance(error, FileNotFoundError):  # otherwise it was removed just now
                yield Failure(name, _refused(Path(entry.path), error))
            return
        if entry.is_symlink() and (reason := self._reason_against(entry.path, status)):
            yield Omission(reason, name)
        elif not stat.S_ISREG(status.st_mode):
            yield Omission("SPECIAL", name)
        else:
            yield FoundFile(name, Path(entry.path), status.st_size, status.st_mtime_ns)

    def _reason_against(self, link: str, status: os.stat_result) -> str:
        """Return why a symbolic link is left out; "" if it is followed."""
        if stat.S_ISDIR(status.st_mode):
            return "LINK_TO_DIRECTORY"
        return "" if os.path.realpath(link).startswith(self._real.rstrip("/") + "/") else "LINK_OUTSIDE"


def read_small(path: Path, most: int) -> SmallContent | None:
    """Return the bytes of a file; None if it has more than `most` by now. Blocks.

    Raises:
        SourceChangedError: it changes whenever it is read.
        LocalFileError: it cannot be read.
    """
    try:
        for _ in range(_READS):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    raise LocalFileError(f"{path}: is not a regular file any more")
                if before.st_size > most:
                    return None
                data = file.read(before.st_size + 1) or b""
                if len(data) == before.st_size and unchanged(before, os.fstat(descriptor)):
                    executable = bool(before.st_mode & stat.S_IXUSR)
                    return SmallContent(data, crc32c(data), Attributes(before.st_mtime_ns, executable=executable))
    except UnspoolError:
        raise
    except OSError as error:
        raise _refused(path, error) from error
    raise SourceChangedError(f"{path}: changed whenever it was read: upload it when nothing writes to it")


def _refused(path: Path, error: OSError) -> LocalFileError:
    refused = LocalFileError(f"{path}: cannot be read: {error.strerror}")
    refused.errno = error.errno
    return refused
