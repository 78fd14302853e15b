"""Operations on directory entries, by the directory's descriptor and a name in it.

A call that takes a path looks it up again, and meanwhile another process may have put a symbolic link into it. A descriptor
always means the same directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

WAY_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""Flags to open a destination's directory. With O_PATH (Linux) it need not be readable, only searchable and writable."""

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags to open a user's file for reading. Non-blocking, because a pipe may have replaced the file meanwhile."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of file systems that do not support hard links (FAT, many network file systems)."""

_NO_NAME = {errno.EINVAL, errno.EILSEQ}

_NO_SYNC = {errno.EINVAL, errno.EBADF}
"""Errors of file systems that do not sync directories. PostgreSQL takes these two for that, too."""


def status_of(name: str, directory: int) -> os.stat_result | None:
    """Return the status of a directory entry, without following links; None if there is none."""
    try:
        return os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None


def unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether two statuses show the same file with the same size and modification time."""
    return (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns) == (
        *(after.st_dev, after.st_ino),
        *(after.st_size, after.st_mtime_ns),
    )


def is_at(descriptor: int, name: str, directory: int) -> bool:
    """Whether the name in the directory now leads to the open file."""
    status = status_of(name, directory)
    return status is not None and os.path.samestat(os.fstat(descriptor), status)


def has_no_links(error: OSError) -> bool:
    """Whether an error says that the file system does not support hard links, or not to this file."""
    return error.errno in _NO_LINKS


def is_no_name(error: OSError) -> bool:
    """Whether an error says that the file system does not take a name: FAT has no `:`, and others only UTF-8."""
    return error.errno in _NO_NAME and error.filename is not None


def link_open(descriptor: int, name: str, directory: int) -> None:
    """Make a hard link to an open file, even if its own names now lead to other files.

    Raises:
        FileExistsError: the name exists.
        FileNotFoundError: the file has no name left, or there is no /proc.
    """
    # Through /proc, as open(2) advises: linkat's own flag for this, AT_EMPTY_PATH, needs privileges.
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)


def appear(source: str, source_directory: int, name: str, directory: int) -> None:
    """Move a file to a new name that must not exist.

    Raises:
        FileExistsError: the name exists.
    """
    try:
        # A rename would replace a file that another process has just created there; a link fails.
        os.link(source, name, src_dir_fd=source_directory, dst_dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if not has_no_links(error):
            raise
    else:
        with contextlib.suppress(OSError):  # the file has its new name; a later run removes the old one
            os.unlink(source, dir_fd=source_directory)
        return
    rename_unless_taken(source, source_directory, name, directory)


def rename_unless_taken(source: str, source_directory: int, name: str, directory: int) -> None:
    """Rename a file to a name that must not exist, on a file system without links. A file that appears just then is replaced.

    Raises:
        FileExistsError: the name exists.
    """
    if status_of(name, directory) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    os.replace(source, name, src_dir_fd=source_directory, dst_dir_fd=directory)


def remove(name: str, directory: int) -> None:
    """Remove a file if it exists."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def open_ours(name: str, directory: int, flags: int) -> int:
    """Open one of unspool's own files, creating it if the flags say so; return its descriptor. Links are not followed.

    If the umask has denied us access to a file of our own, it is opened all the same. Its permissions do not change.

    Raises:
        FileExistsError: there is something, but it is not a regular file.
        OSError: any other error of the operating system.
    """
    status = status_of(name, directory)
    if status is not None:
        _check_regular(status, name)
    # Non-blocking, and never a controlling terminal: a pipe or a device may have replaced the file meanwhile.
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(name, flags, 0o666, dir_fd=directory)
    except PermissionError:
        if status is None or status.st_uid != os.geteuid() or not hasattr(os, "O_PATH"):
            raise
        descriptor = _open_in_spite_of_permissions(name, directory, flags)
    try:
        _check_regular(os.fstat(descriptor), name)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileExistsError(errno.EEXIST, "Is in the way, and is not a regular file: remove it", name)


def _open_in_spite_of_permissions(name: str, directory: int, flags: int) -> int:
    found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        status = os.fstat(found)
        _check_regular(status, name)
        # Through /proc, as open(2) describes for descriptors opened with O_PATH.
        way = Path(f"/proc/self/fd/{found}")
        mode = stat.S_IMODE(status.st_mode)
        way.chmod(mode | stat.S_IRUSR | stat.S_IWUSR)
        try:
            return os.open(way, flags & ~(os.O_NOFOLLOW | os.O_CREAT))
        finally:
            way.chmod(mode)
    finally:
        os.close(found)


def make_directory(name: str, directory: int | None) -> None:
    """Create a directory that we may read, write and search, whatever the umask. Raises FileExistsError if the name exists.

    Args:
        name: name of the new directory, or a path if `directory` is None.
        directory: descriptor of its parent.
    """
    os.mkdir(name, dir_fd=directory)
    mode = stat.S_IMODE(os.lstat(name, dir_fd=directory).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, mode | stat.S_IRWXU, dir_fd=directory)


def write_new(name: str, directory: int, data: bytes, *, synced: bool = False) -> None:
    """Create a small file and write it. A regular file that an earlier run left is removed first. Links are not followed.

    Args:
        name: name of the file.
        directory: descriptor of its directory.
        data: what it is to hold.
        synced: whether its contents are to be durable.

    Raises:
        FileExistsError: there is something, but it is not a regular file.
    """
    status = status_of(name, directory)
    if status is not None:
        _check_regular(status, name)
        os.unlink(name, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(name, flags, 0o666, dir_fd=directory), "wb") as file:
        file.write(data)
        if synced:
            file.flush()
            os.fsync(file.fileno())


def read_small(name: str, directory: int, most: int) -> bytes:
    """Return the contents of a small file of unspool's own. Links are not followed.

    Raises:
        FileNotFoundError: there is no such file.
        FileExistsError: there is something, but it is not a regular file.
        OSError: it is longer than `most` bytes (EFBIG), or any other error of the operating system.
    """
    with os.fdopen(open_ours(name, directory, os.O_RDONLY), "rb") as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, "Is in the way, and too large to be unspool's: remove it", name)
        return file.read(most)


def sync(directory: int) -> None:
    """Make a directory's entries durable (fsync), where the file system knows how."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
