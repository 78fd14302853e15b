"""A temporary file that holds the listing of a tree, for work that takes longer than a server keeps a listing open.

All calls block. Only one may run at a time. They raise LocalFileError if the temporary file cannot be written or read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile

from unspool.core.model import FileInfo
from unspool.local.oserrors import mapped

_PATH = Path("the temporary file for the listing")


class ListingSpool:
    """The name, size, revision and CRC32C of listed files, in the order in which they were added."""

    def __init__(self) -> None:
        with mapped(_PATH):
            self._file = TemporaryFile()  # noqa: SIM115 - closed by `close`

    def clear(self) -> None:
        """Forget all files."""
        with mapped(_PATH):
            self._file.seek(0)
            self._file.truncate()

    def add(self, infos: Iterable[FileInfo]) -> None:
        """Add files."""
        with mapped(_PATH):
            self._file.writelines(map(_encoded, infos))

    def rewind(self) -> None:
        """Begin reading at the first file."""
        with mapped(_PATH):
            self._file.seek(0)

    def read(self, count: int) -> list[FileInfo]:
        """Return the next files, at most `count`; none at the end."""
        with mapped(_PATH):
            return [_decoded(line) for line in islice(self._file, count)]

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()


def _encoded(info: FileInfo) -> bytes:
    return json.dumps([info.name, info.size, info.revision, info.crc32c]).encode() + b"\n"


def _decoded(line: bytes) -> FileInfo:
    name, size, revision, checksum = json.loads(line)
    return FileInfo(name, size, revision, crc32c=checksum)
