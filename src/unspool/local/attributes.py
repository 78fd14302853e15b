"""Applies the server's file attributes to local files.

Rule 1: if a file is executable on the server, everyone who may read the local file may also execute it, as with
        `rsync --executability` and git. The umask decides who may read it.
Rule 2: if a file is not executable on the server, the execute permission is removed only if unspool has set it. Permission
        that a user has given stays.
Rule 3: it is not an error if the file system refuses an attribute or cannot represent it, because the bytes are right.
"""

from __future__ import annotations

import contextlib
import os
import stat

from unspool.core.model import Attributes

_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_RUN = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def apply(attributes: Attributes, descriptor: int, *, takes_back: bool = False, new: bool = False) -> None:
    """Set the attributes of an open file. A file that has them already is not changed.

    Args:
        attributes: the attributes to set; those that are None are not changed.
        descriptor: the open file.
        takes_back: whether unspool made the file executable and so may undo that (rule 2).
        new: whether the caller has just made the file. Then it is looked at only if that is needed.
    """
    modified = None
    if not new or attributes.executable or takes_back:
        status = os.fstat(descriptor)
        modified = status.st_mtime_ns
        mode = stat.S_IMODE(status.st_mode)
        wanted = mode
        if attributes.executable:
            wanted |= (mode & _READ) >> 2
        elif takes_back and attributes.executable is not None:
            wanted &= ~_RUN
        if wanted != mode:
            with contextlib.suppress(OSError):  # not our file, or a file system without permissions
                os.fchmod(descriptor, wanted)
    if attributes.modified_ns not in (None, modified):
        with contextlib.suppress(OSError, OverflowError):  # not our file, or a time that the file system cannot store
            os.utime(descriptor, ns=(attributes.modified_ns, attributes.modified_ns))


def permit(permissions: int, descriptor: int) -> None:
    """Give an open file these permissions, unless it has them: a file system without permissions refuses every change.

    Raises:
        OSError: it cannot have them. Then others might read what they may not.
    """
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != permissions:
        os.fchmod(descriptor, permissions)
