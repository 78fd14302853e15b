"""A destination: the final name of a file, in a directory that is opened once.

Rule 1: all operations use the directory's descriptor. Even if the path leads elsewhere later, files are put into the directory
        that was checked.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Self

from unspool.core.model import Attributes
from unspool.core.reserved import NamesBeside, is_reserved, names_beside
from unspool.errors import LocalFileError
from unspool.local.attributes import apply
from unspool.local.copy import LocalCopy
from unspool.local.entries import READ, WAY_THROUGH, status_of, unchanged
from unspool.local.oserrors import mapped

_USUAL_NAME_MAX = 255
"""Longest file name in bytes, if the system does not say. Every common file system has this limit."""


class Destination:
    """A name in an open directory.

    Args:
        directory: descriptor of the directory; closed by `close`.
        path: the destination as the user gave it. Its last part is the name; the rest is for messages.

    Attributes:
        beside: the names of the part file, the journal and their temp files.

    Raises:
        LocalFileError: `path` cannot be the path of a file.
    """

    def __init__(self, directory: int, path: Path) -> None:
        self.directory = directory
        self.path = path
        self.name = _name_of(path)
        self.beside: NamesBeside = names_beside(self.name, _name_max(directory))

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open the directory of `path`, which must exist. Raises LocalFileError if it cannot be opened."""
        _name_of(path)
        with mapped(path):
            directory = os.open(path.parent, WAY_THROUGH)
        return cls(directory, path)

    def check(self) -> None:
        """Raise LocalFileError if something other than a regular file has the name."""
        with mapped(self.path):
            try:
                mode = os.stat(self.name, dir_fd=self.directory).st_mode
            except FileNotFoundError:
                return
            if stat.S_ISDIR(mode):
                raise LocalFileError(f"{self.path}: is a directory")
            if not stat.S_ISREG(mode) or self._is_stream():
                raise LocalFileError(f"{self.path}: is not a regular file: open it and give it as a writer")

    def check_directory(self) -> None:
        """Raise LocalFileError if the path now leads to another directory, where the user would not find the file."""
        try:
            there = os.path.samestat(self.path.parent.stat(), os.fstat(self.directory))
        except FileNotFoundError:
            raise LocalFileError(f"{self.path}: there is no such directory any more") from None
        if not there:
            raise LocalFileError(f"{self.path}: its directory was moved or removed meanwhile; get it again")

    def _is_stream(self) -> bool:
        """Whether it is a link into /proc. /dev/stdout is one: it leads to the file that standard output is redirected to."""
        status = status_of(self.name, self.directory)
        return (
            status is not None
            and stat.S_ISLNK(status.st_mode)
            and Path(os.readlink(self.name, dir_fd=self.directory)).is_relative_to("/proc")
        )

    def permissions(self) -> int | None:
        """Return the permission bits of the file there, without set-user-ID and the like; None if there is no file."""
        try:
            return os.stat(self.name, dir_fd=self.directory).st_mode & 0o777
        except FileNotFoundError:
            return None

    def copy(self) -> LocalCopy:
        """Return the file there, for a comparison."""
        return LocalCopy(self.path, self.name, self.directory)

    def status(self) -> os.stat_result | None:
        """Return the status of the entry there, without following a symbolic link; None if there is no entry."""
        with mapped(self.path):
            return status_of(self.name, self.directory)

    def give(self, attributes: Attributes, found: os.stat_result) -> None:
        """Set the attributes of the file there, if it is still the regular file in `found`. A link's target is not changed."""
        if not stat.S_ISREG(found.st_mode):
            return
        with contextlib.suppress(OSError):  # the bytes are right; attributes are best effort
            descriptor = os.open(self.name, READ, dir_fd=self.directory)
            try:
                if unchanged(found, os.fstat(descriptor)):
                    apply(attributes, descriptor)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Close the directory. A second call does nothing."""
        directory, self.directory = self.directory, -1
        if directory >= 0:
            os.close(directory)


def _name_of(path: Path) -> str:
    if not path.name:
        raise LocalFileError(f"{path}: is a directory")
    if is_reserved(path.name):
        raise LocalFileError(f"{path}: unspool keeps unfinished downloads under such names: name another destination")
    try:
        usable = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise LocalFileError(f"{str(path)!a}: cannot be the name of a file")
    return path.name


def _name_max(directory: int) -> int:
    with contextlib.suppress(OSError):
        return os.fpathconf(directory, "PC_NAME_MAX")
    return _USUAL_NAME_MAX
