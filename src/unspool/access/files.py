"""Files that say who may do what: read with care, and read again when they change.

Rule 1: a file that cannot be read or makes no sense changes nothing: what was read last stays in force. It is logged and
        counted, once for each change of the file.
Rule 2: a file is read only when it has been at rest for a second: by its change time, or if two looks in a row, a second apart,
        saw the same change. An editor that empties a file before it writes it, or a program that writes it in pieces, does not
        lock anybody out meanwhile. The change time is for servers that had nothing to do: the first call after a while must not
        be decided by what was in the file before. The looks are for file systems whose clock is another one.
Rule 3: nobody but the owner and the group may be able to write the file, because whoever can write it can let anybody in.

Nothing runs in the background. Whoever needs the contents calls `look`, which costs one `stat` a second.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from unspool.core.oserrors import local_file_error, reason_of
from unspool.errors import InvalidRequestError, UnspoolError

log = logging.getLogger("unspool.access")

T = TypeVar("T")

_BETWEEN = 1.0
"""Seconds between two looks at a file."""

_LARGEST = 16 << 20
"""Most bytes of a file: 100,000 tokens."""

_Stamp = tuple[int, ...]

_GONE: _Stamp = ()
"""The stamp of a file that is not there."""


def read_file(path: str | os.PathLike[str]) -> str:
    """Return the text of a file that only its owner and group can write.

    Raises:
        LocalFileError: it cannot be read.
        InvalidRequestError: others can write it, it is too large, or it is not UTF-8.
    """
    return _read(path)[0]


class WatchedFile(Generic[T]):
    """The contents of a file, as last read without an error.

    Args:
        path: the file.
        parse: makes the contents from the file's text and its name for messages. Raises InvalidRequestError.
        what: what the file holds, for the log: `tokens`.
        clock: the time in seconds.
        wall_clock: seconds since 1970, to compare the file's change time with.

    Raises:
        LocalFileError: the file cannot be read.
        InvalidRequestError: it makes no sense, or others can write it.

    Attributes:
        version: changes whenever the contents do.
        refused: how many changes of the file were refused.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        parse: Callable[[str, str], T],
        what: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        self.version = 0
        self.refused = 0
        self._parse = parse
        self._what = what
        self._clock = clock
        self._wall_clock = wall_clock
        text, self._seen = _read(path)
        self._current = parse(text, str(path))
        self._changed: _Stamp | None = None  # a change that one look has seen
        self._next_look = clock() + _BETWEEN
        self._looking = threading.Lock()

    def look(self) -> T:
        """Return the contents. If the file has changed, and has been at rest for a second, read it first.

        It may be called in any thread.
        """
        if self._clock() < self._next_look:
            return self._current
        with self._looking:
            if (now := self._clock()) < self._next_look:  # another thread was first
                return self._current
            self._next_look = now + _BETWEEN
            stamp = _stamp_of(self.path)
            if stamp == self._seen:
                self._changed = None
            elif stamp == self._changed or self._is_old(stamp):
                self.reload()
            else:
                self._changed = stamp
        return self._current

    def _is_old(self, stamp: _Stamp) -> bool:
        return stamp != _GONE and self._wall_clock() - stamp[-1] / 1e9 >= _BETWEEN

    def reload(self) -> bool:
        """Read the file now; return whether it was accepted. If not, the contents stay as they are."""
        self._changed = None
        self._seen = _stamp_of(self.path)
        try:
            text, self._seen = _read(self.path)
            self._current = self._parse(text, str(self.path))
        except UnspoolError as error:
            self.refused += 1
            log.error("the %s stay as they were (change %d that is refused): %s", self._what, self.refused, error)  # noqa: TRY400
            return False
        self.version += 1
        log.info("read the %s again: %s", self._what, self.path)
        return True


class FromFile(Generic[T]):
    """What decides or identifies by the contents of a watched file.

    Args:
        file: the file.
    """

    def __init__(self, file: WatchedFile[T]) -> None:
        self._file = file

    @property
    def version(self) -> int:
        """Changes when the contents of the file do."""
        self._file.look()
        return self._file.version

    @property
    def refused(self) -> int:
        """How many changes of the file were refused."""
        return self._file.refused

    def reload(self) -> bool:
        """Read the file now; return whether it was accepted."""
        return self._file.reload()


def _stamp_of(path: Path) -> _Stamp:
    try:
        return _stamp(path.stat())
    except OSError:
        return _GONE


def _stamp(found: os.stat_result) -> _Stamp:
    # The change time, too: programs set the other one back.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: str | os.PathLike[str]) -> tuple[str, _Stamp]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - Path.open is the same
            found = os.fstat(file.fileno())
            if found.st_mode & stat.S_IWOTH:
                raise InvalidRequestError(f"{path}: anybody can write it; take that right away: chmod o-w")
            data = file.read(_LARGEST + 1)
    except UnspoolError:
        raise
    except OSError as error:
        raise local_file_error(f"{path}: {reason_of(error)}", error) from error
    if len(data) > _LARGEST:
        raise InvalidRequestError(f"{path}: larger than {_LARGEST >> 20} MiB")
    try:
        return data.decode(), _stamp(found)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidRequestError(f"{path}: line {line} is not UTF-8") from None
