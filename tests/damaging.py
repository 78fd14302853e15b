"""Damages a file in a way that its size and its times do not show."""

import os
from pathlib import Path


def damage(path: Path) -> None:
    """Flip a bit of a file; leave its size, its times and its inode."""
    before = path.stat()
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
