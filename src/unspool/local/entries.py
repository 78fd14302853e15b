"""Entries of directories, by descriptor: a name means something only in a directory that is open.

A path is looked up anew by every call that takes one, and somebody may have put a symbolic link into it meanwhile. What is
here takes a directory's descriptor and one name in it.
"""

from __future__ import annotations

import contextlib
import errno
import os

WAY_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""A directory that files are put into need not be readable, only searchable and writable; Linux can open it so."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems say that cannot link (FAT, many network ones)."""


def status_of(name: str, directory: int) -> os.stat_result | None:
    """Return what is at a name, links not followed; None if nothing is."""
    try:
        return os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None


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


def write_new(name: str, directory: int, data: bytes) -> None:
    """Write a small file, over what is there; not through a link that somebody else may have put there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(name, flags, 0o666, dir_fd=directory), "wb") as file:
        file.write(data)


def read_small(name: str, directory: int) -> bytes:
    """Return what is in a small file; not through a link. Raises FileNotFoundError, as any OSError, if there is none."""
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory), "rb") as file:
        return file.read()


def sync(directory: int) -> None:
    """Make a directory's names durable."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
