"""Opens the directories below a destination part by part, so that no symbolic link can lead outside."""

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
"""Most directories to keep open. An ordered walk through a tree needs as many as the tree is deep."""


class Directories:
    """A cache of descriptors of the directories below a root directory.

    Each part of a path is opened relative to the previous part, and symbolic links are refused. So a link that another user
    plants in the destination cannot lead a file outside.

    Args:
        root: descriptor of the root directory.
        path: path of the root directory, for messages.

    Attributes:
        grown: directories with new entries. The caller syncs them and clears the set.
    """

    def __init__(self, root: int, path: Path) -> None:
        self.grown: set[str] = set()
        self._root = root
        self._path = path
        self._open: OrderedDict[str, int] = OrderedDict()
        self._last: tuple[str, int] = "", root  # the last one that was found: it is closed later than all others
        self._absent: str | None = None  # the directory that was last found to be missing

    def forget(self) -> None:
        """Forget which directory was missing, because another process may have created it."""
        self._absent = None

    def find(self, directory: str, *, make: bool = False) -> int | None:
        """Return a directory's descriptor, which is valid until the next call.

        If the directory does not exist, it is created if `make` is true; otherwise the result is None.

        Raises:
            LocalFileError: a part of the path is not a directory.
            OSError: any other error of the operating system.
        """
        if directory == self._last[0]:
            return self._last[1]
        if not directory:
            return self._root
        known = self._open.get(directory)
        if known is not None:
            self._open.move_to_end(directory)
            self._last = directory, known
            return known
        if directory == self._absent and not make:
            return None
        self._absent = None
        self._last = "", self._root  # what is opened now may close it
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
        self._last = directory, descriptor
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
        """Close all directories except the root."""
        while self._open:
            os.close(self._open.popitem()[1])
