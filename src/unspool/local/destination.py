"""A destination: one final name in one directory, which is opened once.

Rule 1: all that is done about it goes by the directory's descriptor. Whatever the path leads to later, what is put there is in
        the directory that was checked.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Self

from unspool.core.model import Attributes
from unspool.core.ours import Beside, beside, is_ours
from unspool.errors import LocalFileError
from unspool.local.attributes import apply
from unspool.local.copy import LocalCopy
from unspool.local.entries import READ, WAY_THROUGH, status_of, unchanged
from unspool.local.refusals import mapped

_USUAL_NAME_MAX = 255
"""Bytes of a file name on every common file system, where the system does not say."""


class Destination:
    """A name in an open directory.

    Args:
        directory: descriptor of the directory; closed by `close`.
        path: what the user knows the destination as. Its last part is the name; the rest is for messages.

    Attributes:
        beside: the names of what is kept beside it while it is unfinished.

    Raises:
        LocalFileError: `path` cannot be that of a file.
    """

    def __init__(self, directory: int, path: Path) -> None:
        self.directory = directory
        self.path = path
        self.name = _name_of(path)
        self.beside: Beside = beside(self.name, _name_max(directory))

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open the directory that a path leads to, which must exist. Raises LocalFileError if it cannot be opened."""
        _name_of(path)
        with mapped(path):
            directory = os.open(path.parent, WAY_THROUGH)
        return cls(directory, path)

    def check(self) -> None:
        """Refuse a destination that a rename would wreck, or that cannot be."""
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
        """Refuse to go on when the path leads to another directory by now: nobody would look for the file in this one."""
        try:
            there = os.path.samestat(self.path.parent.stat(), os.fstat(self.directory))
        except FileNotFoundError:
            raise LocalFileError(f"{self.path}: there is no such directory any more") from None
        if not there:
            raise LocalFileError(f"{self.path}: its directory was moved or removed meanwhile; get it again")

    def _is_stream(self) -> bool:
        """Whether it is like /dev/stdout: a link that leads, by way of /proc, to whatever that was redirected to."""
        status = status_of(self.name, self.directory)
        return (
            status is not None
            and stat.S_ISLNK(status.st_mode)
            and Path(os.readlink(self.name, dir_fd=self.directory)).is_relative_to("/proc")
        )

    def permissions(self) -> int | None:
        """Return who may read, write and run what is there, without the right to run as somebody else; None if nothing is."""
        try:
            return os.stat(self.name, dir_fd=self.directory).st_mode & 0o777
        except FileNotFoundError:
            return None

    def copy(self) -> LocalCopy:
        """Return what is there, to be compared."""
        return LocalCopy(self.path, self.name, self.directory)

    def status(self) -> os.stat_result | None:
        """Return what is there itself, a symbolic link not followed; None if nothing is."""
        with mapped(self.path):
            return status_of(self.name, self.directory)

    def give(self, attributes: Attributes, found: os.stat_result) -> None:
        """Give what is there its attributes, if it is still the regular file that was found. What a link leads to is left."""
        if not stat.S_ISREG(found.st_mode):
            return
        with contextlib.suppress(OSError):  # its bytes are right, and nothing else was promised
            descriptor = os.open(self.name, READ, dir_fd=self.directory)
            try:
                if unchanged(found, os.fstat(descriptor)):
                    apply(attributes, descriptor)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Let go of the directory. Closing twice is fine."""
        directory, self.directory = self.directory, -1
        if directory >= 0:
            os.close(directory)


def _name_of(path: Path) -> str:
    if not path.name:
        raise LocalFileError(f"{path}: is a directory")
    if is_ours(path.name):
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
