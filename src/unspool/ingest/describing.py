"""Describes the files of a directory as the store that serves it does: by their status, or by what they contain.

Rule 1: what was received is not read again for its revision. What it contains is kept for the store, if no other program can
        have written to the file since it has its name, as far as can be known (`stores.stamps`, `stores.writers`).
Rule 2: a file that another program writes just now, or that may not be read, is described by its status, as in a listing.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import closing, suppress
from dataclasses import replace

from unspool.core.model import Block, FileInfo
from unspool.errors import FileChangedError
from unspool.local.entries import READ
from unspool.stores.contents import Content, Contents
from unspool.stores.localfile import info_of
from unspool.stores.revisions import RevisionOf, by_status
from unspool.stores.stamps import seconds_until_a_write_shows

_READ_SIZE = 1 << 20
"""Bytes per read: they fit the processor's cache."""


class InOrder:
    """The SHA-256 of a file whose bytes arrive in order, or nearly. What arrives otherwise is read at the end."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256(usedforsecurity=False)
        self._position = 0
        self._lost = False

    def add(self, block: Block) -> None:
        """Take a block that was written."""
        if block.offset < self._position:  # what was there is replaced
            self._lost = True
        elif block.offset == self._position:
            self._digest.update(block.data)
            self._position = block.end

    def digest(self, descriptor: int, size: int) -> bytes:
        """Return the SHA-256 of the file, `size` bytes long, which is open for reading."""
        if self._lost:
            self._digest, self._position = hashlib.sha256(usedforsecurity=False), 0
        while rest := os.pread(descriptor, min(_READ_SIZE, size - self._position), self._position):
            self._digest.update(rest)
            self._position += len(rest)
        return self._digest.digest()


class Describing:
    """Describes the files of one directory.

    Args:
        revision_of: makes revisions, as the store has it.
        contents: what the files contain, if revisions are made of that: the store's own.
    """

    def __init__(self, revision_of: RevisionOf, contents: Contents | None = None) -> None:
        self._revision_of = revision_of
        self._contents = contents

    @property
    def by_content(self) -> bool:
        """Whether revisions are made of what files contain."""
        return self._contents is not None

    def info(self, name: str, base: str, directory: int, status: os.stat_result, checksum: int | None = None) -> FileInfo:
        """Return the description of a file that is there, with a CRC32C if it is known. It may have to be read.

        Args:
            name: name of the file.
            base: the last part of the name.
            directory: the open directory.
            status: the file's.
            checksum: its CRC32C, if that is known.
        """
        if self._contents is None:
            return info_of(name, status, self._revision_of, checksum)
        content = self._contents.known(name, status)
        if content is None:
            with suppress(FileChangedError, OSError):
                content = self._learned(name, base, directory, status)
        return info_of(name, status, by_status, checksum) if content is None else self.written(name, status, content)

    def _learned(self, name: str, base: str, directory: int, status: os.stat_result) -> Content | None:
        assert self._contents is not None
        descriptor = os.open(base, READ, dir_fd=directory)
        with closing(os.fdopen(descriptor, "rb", buffering=0)):
            now = os.fstat(descriptor)
            return self._contents.learn(name, descriptor, now) if by_status(now) == by_status(status) else None

    @staticmethod
    def written(name: str, status: os.stat_result, content: Content) -> FileInfo:
        """Return the description of a file that contains this."""
        return replace(info_of(name, status, content.revision), crc32c=content.crc32c)

    def keep(self, name: str, base: str, directory: int, before: os.stat_result, content: Content) -> None:
        """Keep what a file contains that has its name now, and that nobody here has open any more.

        Args:
            name: name of the file.
            base: the last part of the name.
            directory: the open directory.
            before: its status right before it got its name.
            content: what was written to it.
        """
        assert self._contents is not None
        with suppress(OSError):
            descriptor = os.open(base, READ, dir_fd=directory)
            with closing(os.fdopen(descriptor, "rb", buffering=0)):
                after = os.fstat(descriptor)
                if _unwritten(before) == _unwritten(after):
                    self._contents.keep(name, descriptor, after, content)


def is_settled(status: os.stat_result) -> bool:
    """Whether a write from now on gives a file another modification time."""
    return not seconds_until_a_write_shows(status.st_mtime_ns)


def _unwritten(status: os.stat_result) -> tuple[int, ...]:
    """Return what is the same of a file that got a name and was not written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
