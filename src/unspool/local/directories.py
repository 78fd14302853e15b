"""The directories below a destination, opened part by part, so that nothing leads out of it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import OrderedDict
from pathlib import Path

from unspool.errors import LocalFileError
from unspool.local.entries import make_directory
from unspool.local.home import DIRECTORY

_MOST_OPEN = 64
"""Directories kept open: a listing that goes through a tree in order needs as many as the tree is deep."""


class Directories:
    """Descriptors of the directories below one.

    Each part is opened below the one before it, and not if it is a symbolic link: whoever plants one in the destination cannot
    lead a file out of it.

    Args:
        root: descriptor of the directory at the top.
        path: of the same, for messages.

    Attributes:
        grown: directories below which something new has appeared; for whoever has to sync them, and then clears it.
    """

    def __init__(self, root: int, path: Path) -> None:
        self.grown: set[str] = set()
        self._root = root
        self._path = path
        self._open: OrderedDict[str, int] = OrderedDict()
        self._absent: str | None = None  # the one that was looked for last, and was not there

    def forget(self) -> None:
        """Look again for what was not there: others may have made it meanwhile."""
        self._absent = None

    def find(self, directory: str, *, make: bool = False) -> int | None:
        """Return a directory's descriptor, which is good until the next call; None if it is not there and not to be made.

        Raises:
            LocalFileError: there is something else in its way.
            OSError: as the system says.
        """
        if not directory:
            return self._root
        known = self._open.get(directory)
        if known is not None:
            self._open.move_to_end(directory)
            return known
        if directory == self._absent and not make:
            return None
        self._absent = None
        above, missing = directory, []
        while above and above not in self._open:
            above, _, part = above.rpartition("/")
            missing.append(part)
        descriptor = self._open[above] if above else self._root
        while missing:
            part = missing.pop()
            below = f"{above}/{part}" if above else part
            try:
                descriptor = self._step(descriptor, part, above, make=make)
            except FileNotFoundError:
                if make:
                    raise
                self._absent = directory
                return None
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                raise LocalFileError(
                    f"{self._path / below}: is not a directory, and files belong below it; a symbolic link is not followed"
                ) from error
            self._open[below] = descriptor
            above = below
            if len(self._open) > _MOST_OPEN:
                os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _step(self, descriptor: int, part: str, above: str, *, make: bool) -> int:
        try:
            return os.open(part, DIRECTORY, dir_fd=descriptor)
        except FileNotFoundError:
            if not make:
                raise
        with contextlib.suppress(FileExistsError):
            make_directory(part, descriptor)
        self.grown.add(above)
        return os.open(part, DIRECTORY, dir_fd=descriptor)

    def close(self) -> None:
        """Close them all, but not the one at the top."""
        while self._open:
            os.close(self._open.popitem()[1])
