"""Which file system an open file is on, by the number that Linux gives its type (statfs(2))."""

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

_STATFS_BYTES = 1024  # several times as large as the structure is anywhere


def type_of(descriptor: int) -> int | None:
    """Return the type of the file system, None if it cannot be told. It may have to be waited for."""
    fstatfs = _fstatfs()
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if fstatfs is None or fstatfs(descriptor, answer):
        return None
    word = ctypes.sizeof(ctypes.c_long)  # the type comes first, in one word
    return int.from_bytes(answer.raw[:word], sys.byteorder)


@functools.cache
def _fstatfs() -> Callable[[int, ctypes.Array[ctypes.c_char]], int] | None:
    if sys.platform != "linux":  # elsewhere the structure begins with something else
        return None
    try:
        return ctypes.CDLL(None).fstatfs
    except (OSError, AttributeError):
        return None
