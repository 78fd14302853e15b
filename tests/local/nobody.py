"""A process without root's permissions, for tests that run as root."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

NOBODY = 65534


def said_by_nobody(work: Callable[[Path], str], umask: int) -> str:
    """Return what `work` returns in a process of its own, of a user without rights, who is given a directory."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:  # what it gives up it cannot have back
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            directory = Path(mkdtemp(dir="/tmp"))  # where anybody may write
            os.umask(umask)
            try:
                said = work(directory)
            except Exception as error:  # noqa: BLE001 - it is told
                said = repr(error)
            os.write(writer, said.encode())
            shutil.rmtree(directory)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as said_there:
        said = said_there.read().decode()
    os.waitpid(child, 0)
    return said
