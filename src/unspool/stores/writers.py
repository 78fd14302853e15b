"""Whether somebody can change a file, and no time stamp shows it.

A write through a memory map is stamped when it makes a page of the file dirty, and not again until the kernel has written that
page to the disk: half a minute later, on a tmpfs never. A long write call is stamped once, when it begins. Nobody can see what
comes after the stamp. But whoever writes so has had the file open for writing, or mapped, since then; so if there is a moment
at which nobody has, every write after that moment is stamped.

Rule 1: Linux is asked who has the file open for writing, by a lease (fcntl(2), F_SETLEASE) that is given back at once. The
        owner of a file may ask, and root; it is believed on file systems of which it is known that maps count, too.
Rule 2: where that cannot be asked, a file counts as free of such writes when its last stamp is older than the kernel lets dirty
        pages be. On a file system that keeps its pages dirty it never does.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time

from unspool.stores import filesystems

_CLEAN_AFTER_NS = 60_000_000_000
"""Linux writes out what has been dirty for 30 s, and looks every 5 s (vm.dirty_expire_centisecs, dirty_writeback_centisecs)."""

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
"""Where a lease tells of every writer. On overlayfs, and FUSE with passthrough, a map belongs to another file below; NFS and
SMB refuse leases for reasons of their own."""

_IN_MEMORY = frozenset({filesystems.TMPFS, filesystems.RAMFS})
"""Where dirty pages stay dirty."""

_F_SETSIG = 10  # Linux's; not in the module fcntl of Python 3.11
_SET_LEASE: int | None = getattr(fcntl, "F_SETLEASE", None)


def every_write_shows(descriptor: int, status: os.stat_result) -> bool:
    """Return whether every write from now on changes a file's time stamps, to the best of our knowledge.

    Args:
        descriptor: the file, open for reading only. Its change time has to be so old that a write gets another one (`stamps`).
        status: what it was when it was opened. Who reads it compares that with what it is after the read.
    """
    kind = filesystems.type_of(descriptor)
    if kind in _ASKED:
        writer = _has_writer(descriptor)
        if writer is not None:
            return not writer
    return status.st_ctime_ns <= clean_before() and kind not in _IN_MEMORY


def clean_before() -> int:
    """Return the change time before which nothing was written that is dirty now: of files that are on a disk."""
    return time.time_ns() - _CLEAN_AFTER_NS


def keeps_pages_dirty(descriptor: int) -> bool:
    """Return whether a file is on a file system that has no disk to write dirty pages to."""
    return filesystems.type_of(descriptor) in _IN_MEMORY


def _has_writer(descriptor: int) -> bool | None:
    """Return whether anybody has the file open for writing, or mapped so; None if that is not for us to know."""
    if _SET_LEASE is None:
        return None
    try:
        # Who opens the file for writing in this moment waits until the lease is given back, which the kernel asks for with a
        # signal: SIGIO would end the process.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, _SET_LEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, _SET_LEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False
