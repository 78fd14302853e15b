"""Files that were read just now, kept open for the next read of them.

Opening a file takes a visit to a worker thread, and closing it another: more than reading 64 KiB. A program that reads spans
opens the same few files again and again.

Rule 1: a kept file is used only if its name still leads to it, as any open would find it, and its status is what it was. So it
        is at the same revision, and a file that was replaced, removed or moved is not served.
Rule 2: looking does not wait for a disk: the kernel has the way to an open file, and its status, in memory. That holds for
        disks of this machine, so only files are kept of which bytes could be read without waiting (`system.pagecache`).
Rule 3: only files are kept of which every write shows (`writers`). They stay so as long as their status is the same.
Rule 4: a file is kept for a moment only, so that the space of a removed one is given back.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from unspool.errors import UnspoolError
from unspool.stores.localwalk import Root

if TYPE_CHECKING:
    from unspool.stores.localfile import LocalFile

MOST = 32
"""Files that are kept."""

MOMENT = 2.0
"""Seconds for which a file is kept after its last read: programs that read spans ask again within milliseconds."""


class KeptFiles:
    """The files that are kept open. Used in the event loop.

    Args:
        root: finds files by name.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._files: OrderedDict[str, tuple[LocalFile, float]] = OrderedDict()  # with the time until which each is kept
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def find(self, name: str, parts: tuple[str, ...]) -> LocalFile | None:
        """Return the file, if it is kept and still what its name leads to. Another kept under this name is closed."""
        kept = self._files.get(name)
        if kept is None:
            return None
        file = kept[0]
        try:
            with self._root.walk(name, parts) as found:
                if _same(found.status, file.status):
                    return file
        except (UnspoolError, OSError):
            pass  # the caller opens it, and finds the same
        del self._files[name]
        file.let_go()
        return None

    def keep(self, file: LocalFile) -> None:
        """Keep a file for a moment. It must not be kept yet, or be the one kept under its name."""
        if self._closed:
            return
        name = file.info.name
        loop = asyncio.get_running_loop()
        before = self._files.pop(name, None)
        self._files[name] = file, loop.time() + MOMENT
        if before is None:
            file.hold()
        elif before[0] is not file:
            file.hold()
            before[0].let_go()
        if len(self._files) > MOST:
            self._files.popitem(last=False)[1][0].let_go()
        if self._timer is None:
            self._timer = loop.call_later(MOMENT, self._look)

    def close(self) -> None:
        """Let go of all files, and keep none from now on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._files:
            self._files.popitem()[1][0].let_go()

    def _look(self) -> None:
        """Let go of the files whose time has come. The others follow in the order of their times."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._files:
            file, until = next(iter(self._files.values()))
            if until > loop.time():
                self._timer = loop.call_at(until, self._look)
                return
            self._files.popitem(last=False)
            file.let_go()


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_dev, one.st_ctime_ns, one.st_mtime_ns, one.st_size) == (
        other.st_ino,
        other.st_dev,
        other.st_ctime_ns,
        other.st_mtime_ns,
        other.st_size,
    )
