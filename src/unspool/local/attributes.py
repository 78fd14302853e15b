"""What is told of a file beside its bytes, given to the local one.

Rule 1: a file that is executable on the server becomes executable here for whoever may read it, as with `rsync --executability`
        and git: the umask decides who that is.
Rule 2: one that is not loses nothing here, unless it was this program that made it executable: what a user allowed stays.
Rule 3: what the file system refuses, or cannot represent, is no error: the bytes are what matters.
"""

from __future__ import annotations

import contextlib
import os
import stat

from unspool.core.model import Attributes

_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_RUN = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def apply(attributes: Attributes, descriptor: int, *, takes_back: bool = False) -> None:
    """Give an open file its attributes. One that has them already is not touched.

    Args:
        attributes: those; None stands for what is to be left as it is.
        descriptor: the file.
        takes_back: whether an executable file was made so by us (rule 2).
    """
    status = os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode)
    wanted = mode
    if attributes.executable:
        wanted |= (mode & _READ) >> 2
    elif takes_back and attributes.executable is not None:
        wanted &= ~_RUN
    if wanted != mode:
        with contextlib.suppress(OSError):  # not ours to change, or a file system without permissions
            os.fchmod(descriptor, wanted)
    if attributes.modified_ns not in (None, status.st_mtime_ns):
        with contextlib.suppress(OSError, OverflowError):  # not ours to date, or a time that no file can have
            os.utime(descriptor, ns=(attributes.modified_ns, attributes.modified_ns))
