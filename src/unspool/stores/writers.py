"""Detects whether a file may be changed without a change of its time stamps.

A write through a memory map updates the time stamp when it makes a page of the file dirty, and not again until the kernel has
written that page to the disk: half a minute later, on a tmpfs never. A long write call updates the time stamp once, when it
begins. Later changes by the same map or call do not show. But a process that makes them has had the file open for writing, or
mapped, since the time stamp. So after a moment at which no process has, every write updates the time stamp.

Rule 1: whether a process has the file open for writing is found out with a lease (fcntl(2), F_SETLEASE), which is released at
        once. Only the owner of the file and root may take one. The answer is used only on file systems where a lease is known
        to detect maps too.
Rule 2: without a lease, a file counts as free of such writes when its last time stamp is older than the kernel allows dirty
        pages to be. On a file system that keeps pages dirty for ever, it never counts as free of them.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time

from unspool.system import filesystems

_CLEAN_AFTER_NS = 60_000_000_000
"""Linux writes out pages that have been dirty for 30 s, and checks every 5 s (vm.dirty_expire_centisecs,
dirty_writeback_centisecs)."""

_ASKED = frozenset(
    {
        filesystems.EXT,
        filesystems.XFS,
        filesystems.BTRFS,
        filesystems.F2FS,
        filesystems.FAT,
        filesystems.EXFAT,
        filesystems.TMPFS,
        filesystems.RAMFS,
    }
)
"""File systems where a lease detects every writer. On overlayfs, and FUSE with passthrough, a map belongs to another file
below; NFS and SMB refuse leases for reasons of their own."""

_IN_MEMORY = frozenset({filesystems.TMPFS, filesystems.RAMFS})
"""File systems on which dirty pages stay dirty."""

_F_SETSIG = 10  # Linux's; not in the module fcntl of Python 3.11
_SET_LEASE: int | None = getattr(fcntl, "F_SETLEASE", None)


def every_write_shows(descriptor: int, status: os.stat_result) -> bool:
    """Return whether every write from now on changes a file's time stamps, as far as can be known.

    Args:
        descriptor: the file, open for reading only. Its change time must be so old that a write gets another one (`stamps`).
        status: its status when it was opened. The reader compares that with the status after the read.
    """
    kind = filesystems.type_of(descriptor)
    if kind in _ASKED:
        writer = _has_writer(descriptor)
        if writer is not None:
            return not writer
    return status.st_ctime_ns <= clean_before() and kind not in _IN_MEMORY


def clean_before() -> int:
    """Return a time: a file on a disk whose change time is earlier has no dirty pages."""
    return time.time_ns() - _CLEAN_AFTER_NS


def keeps_pages_dirty(descriptor: int) -> bool:
    """Return whether a file is on a file system without a disk, where dirty pages stay dirty."""
    return filesystems.type_of(descriptor) in _IN_MEMORY


def _has_writer(descriptor: int) -> bool | None:
    """Return whether a process has the file open for writing or mapped for it; None if this process may not find out."""
    if _SET_LEASE is None:
        return None
    try:
        # A process that opens the file for writing at this moment waits until the lease is released. The kernel asks for the
        # release with a signal. By default that is SIGIO, which would end this process; SIGURG is ignored.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, _SET_LEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, _SET_LEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False
