"""The type of the file system that an open file is on, as the magic number of statfs(2) on Linux."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable

TMPFS = 0x01021994
RAMFS = 0x858458F6
EXT = 0xEF53  # ext2, ext3 and ext4
XFS = 0x58465342
BTRFS = 0x9123683E
F2FS = 0xF2F52010
FAT = 0x4D44
EXFAT = 0x2011BAB0

_STATFS_BYTES = 1024  # several times the size of the structure on any platform


def type_of(descriptor: int) -> int | None:
    """Return the type of the file system, or None if it is unknown. The call may block."""
    fstatfs = _fstatfs()
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if fstatfs is None or fstatfs(descriptor, answer):
        return None
    word = ctypes.sizeof(ctypes.c_long)  # the type is the first field, one word long
    return int.from_bytes(answer.raw[:word], sys.byteorder)


@functools.cache
def _fstatfs() -> Callable[[int, ctypes.Array[ctypes.c_char]], int] | None:
    if sys.platform != "linux":  # other systems have another layout
        return None
    try:
        return ctypes.CDLL(None).fstatfs
    except (OSError, AttributeError):
        return None
