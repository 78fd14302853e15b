"""What of a file is in memory already, and can be read without waiting for a disk.

Rule 1: a read from here never waits. Linux says so for every read by itself (preadv2(2), RWF_NOWAIT): what it would have to
        fetch it refuses. File systems that cannot say it are not asked again, but for one that has no disk: tmpfs, of which
        only what has been swapped out is waited for.
"""

from __future__ import annotations

import errno
import os

from unspool.stores import filesystems

_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)  # Linux since 4.14


class PageCache:
    """The part of one open file that is in memory.

    Args:
        descriptor: the file, open for reading; stays the caller's.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._flags = _NO_WAIT

    def read(self, buffer: memoryview, offset: int) -> bool:
        """Fill a buffer from the file, if all of that is in memory; return whether it was. If not, the buffer holds anything.

        Raises:
            OSError: the file system says that something else is wrong.
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
