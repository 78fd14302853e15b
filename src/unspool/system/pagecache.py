"""Reads the parts of a file that are in the page cache, without waiting for a disk.

Rule 1: a read never waits for a disk. Linux refuses a read with RWF_NOWAIT (preadv2(2)) if the bytes are not cached. On a file
        system without that flag, nothing is read here. The exception is tmpfs, which has no disk: there the flag is left out,
        and a read waits only for pages that were swapped out.
"""

from __future__ import annotations

import errno
import os

from unspool.system import filesystems

_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)  # Linux since 4.14


class PageCache:
    """The cached part of one open file.

    Args:
        descriptor: the file, open for reading. The caller closes it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._flags = _NO_WAIT

    def read(self, buffer: memoryview, offset: int) -> bool:
        """Fill a buffer from the file if all of its bytes are cached; return whether they were.

        If not, the content of the buffer is undefined.

        Raises:
            OSError: the read failed for another reason.
        """
        if self._flags is None:
            return False
        try:
            return os.preadv(self._descriptor, [buffer], offset, self._flags) == len(buffer)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL} or not self._flags:
                raise
        self._flags = 0 if filesystems.type_of(self._descriptor) == filesystems.TMPFS else None
        return self.read(buffer, offset)
