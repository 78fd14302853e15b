"""Entries of directories, by descriptor: a name means something only in a directory that is open.

A path is looked up anew by every call that takes one, and somebody may have put a symbolic link into it meanwhile. What is
here takes a directory's descriptor and one name in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

WAY_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""A directory that files are put into need not be readable, only searchable and writable; Linux can open it so."""

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How a file of the user's is opened to be looked at. Not blocking: what was a file a moment ago may be a pipe now."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems say that cannot link (FAT, many network ones)."""


def status_of(name: str, directory: int) -> os.stat_result | None:
    """Return what is at a name, links not followed; None if nothing is."""
    try:
        return os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None


def unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether a file is the one it was, and has not been written to, as far as its status shows."""
    return (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns) == (
        *(after.st_dev, after.st_ino),
        *(after.st_size, after.st_mtime_ns),
    )


def is_at(descriptor: int, name: str, directory: int) -> bool:
    """Whether the open file is the one that has the name now."""
    status = status_of(name, directory)
    return status is not None and os.path.samestat(os.fstat(descriptor), status)


def has_no_links(error: OSError) -> bool:
    """Whether an error says that this file system cannot link, or not this file."""
    return error.errno in _NO_LINKS


def link_open(descriptor: int, name: str, directory: int) -> None:
    """Give an open file another name, whatever its own names mean by now.

    Raises:
        FileExistsError: something has the name.
        FileNotFoundError: the file has no name left, or the system does not tell how to link what is open.
    """
    # By way of /proc, as open(2) advises: linkat's own flag for it needs privileges.
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)


def appear(source: str, source_directory: int, name: str, directory: int) -> None:
    """Give a file another name, if nothing has that.

    Raises:
        FileExistsError: something has it.
    """
    try:
        # A rename would replace what another process put there meanwhile; a link refuses to.
        os.link(source, name, src_dir_fd=source_directory, dst_dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if not has_no_links(error):
            raise
    else:
        with contextlib.suppress(OSError):  # the file has its name; who finds the other one as well removes it
            os.unlink(source, dir_fd=source_directory)
        return
    rename_unless_taken(source, source_directory, name, directory)


def rename_unless_taken(source: str, source_directory: int, name: str, directory: int) -> None:
    """Rename a file to a name that nothing has, where that cannot be made sure of: what appears just then is not noticed.

    Raises:
        FileExistsError: something has it.
    """
    if status_of(name, directory) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    os.replace(source, name, src_dir_fd=source_directory, dst_dir_fd=directory)


def remove(name: str, directory: int) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def open_ours(name: str, directory: int, flags: int) -> int:
    """Open a file that is ours, creating it if the flags say so: no link, no pipe, no device; return its descriptor.

    A umask may have taken from us the right to what we have created ourselves: then that is no obstacle, and the file's
    permissions stay what they are.

    Raises:
        FileExistsError: what is there is not a regular file.
        OSError: as the system says.
    """
    status = status_of(name, directory)
    if status is not None:
        _check_regular(status, name)
    # Not blocking, and no terminal: what was a file a moment ago may be something else now.
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
        # By way of /proc, as open(2) says of what O_PATH has opened.
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
    """Create a directory in which we can work, whatever the umask. Raises FileExistsError if something has the name.

    Args:
        name: of the directory; a path where `directory` is None.
        directory: a descriptor.
    """
    os.mkdir(name, dir_fd=directory)
    mode = stat.S_IMODE(os.lstat(name, dir_fd=directory).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, mode | stat.S_IRWXU, dir_fd=directory)


def write_new(name: str, directory: int, data: bytes) -> None:
    """Write a small file, in place of what an earlier run left; not through a link that somebody else may have put there.

    Raises:
        FileExistsError: what is there is not a regular file.
    """
    status = status_of(name, directory)
    if status is not None:
        _check_regular(status, name)
        os.unlink(name, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(name, flags, 0o666, dir_fd=directory), "wb") as file:
        file.write(data)


def read_small(name: str, directory: int, most: int) -> bytes:
    """Return what is in a small file of ours; not through a link.

    Raises:
        FileNotFoundError: there is none.
        FileExistsError: what is there is not a regular file.
        OSError: it is longer than `most` (EFBIG), or as the system says.
    """
    with os.fdopen(open_ours(name, directory, os.O_RDONLY), "rb") as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, "Is in the way, and too large to be unspool's: remove it", name)
        return file.read(most)


def sync(directory: int) -> None:
    """Make a directory's names durable."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
