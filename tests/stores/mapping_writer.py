"""A program that writes to a file through a memory map, on pages that are dirty already, so that no time stamp changes.

python mapping_writer.py FILE fills the file with "a" and prints a line. For each line of its input it fills the file with the
first character. The file is not open meanwhile, only mapped. It ends at the end of its input.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from pathlib import Path

size = Path(sys.argv[1]).stat().st_size
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
descriptor = os.open(sys.argv[1], os.O_RDWR)
address = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0)
os.close(descriptor)
ctypes.memset(address, ord("a"), size)
print("mapped", flush=True)  # noqa: T201 - a program
for line in sys.stdin:
    ctypes.memset(address, ord(line[0]), size)
    print("written", flush=True)  # noqa: T201 - a program
