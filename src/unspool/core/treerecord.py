"""The record of a tree: what is here already, and which bytes it is. One line a file, each checking itself.

Rule 1: a line is believed as a whole or not at all: its CRC32C covers all of it. Damage makes a file unknown, never wrong.
Rule 2: it lags the data and never leads it: a line is added when the file has its final name.
Rule 3: what it says of a file is true as long as that file is the one described: size, time of modification and inode.
Rule 4: of two lines about one file the later one holds.

Format, version 1: a line `unspool-tree 1`, then `CRC NAME<tab>[revision, size, crc32c, modified_ns, inode]` for each file: the
CRC32C of what follows the blank, eight hex digits; name and list in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from unspool.core.checksum import crc32c
from unspool.core.tree import Kept

HEAD = b"unspool-tree 1\n"

_quoted = json.encoder.encode_basestring_ascii
_CRC = 8
_FIELDS = 5
_SLACK = 1000
"""Lines that may be superseded before it is worth while to write the record again."""


class TreeRecord:
    """What a record says, by name.

    Args:
        lines: of the record, each with its end.

    Attributes:
        readable: whether it is a record of this version; if not, it says nothing, and nothing may be added to it.
    """

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self._lines: dict[bytes, bytes] = {}
        self._superseded = 0
        rest = iter(lines)
        self.readable = next(rest, None) == HEAD
        if not self.readable:
            return
        for line in rest:
            body = line[_CRC + 1 : -1]
            if line[:_CRC] == b"%08x" % crc32c(body) and line[_CRC:].startswith(b" ") and line.endswith(b"\n"):
                name, _, said = body.partition(b"\t")
                self._superseded += name in self._lines
                self._lines[name] = said
            else:
                self._superseded += 1

    @property
    def wasteful(self) -> bool:
        """Whether most of its lines say nothing any more."""
        return self._superseded > len(self._lines) + _SLACK

    def take(self, name: str) -> Kept | None:
        """Return what it says of a file, and forget it: a listing names each file once."""
        said = self._lines.pop(_quoted(name).encode(), None) if self._lines else None
        return None if said is None else _read(said)

    def lines(self) -> Iterator[bytes]:
        """Yield a record that says the same and nothing twice."""
        yield HEAD
        for name, said in self._lines.items():
            yield _sealed(name + b"\t" + said)


def line_of(name: str, kept: Kept) -> bytes:
    """Return the line that says what a file is."""
    said = f"[{_quoted(kept.revision)},{kept.size},{kept.crc32c},{kept.modified_ns},{kept.inode}]"
    return _sealed(f"{_quoted(name)}\t{said}".encode())


def _sealed(body: bytes) -> bytes:
    return b"%08x %b\n" % (crc32c(body), body)


def _read(said: bytes) -> Kept | None:
    """Return what a line says, if it makes sense: another version, or somebody else, may have written it."""
    try:
        fields = json.loads(said)
    except (ValueError, RecursionError):
        return None
    if type(fields) is not list or len(fields) != _FIELDS:
        return None
    revision, *numbers = fields
    if type(revision) is not str or not all(type(number) is int for number in numbers):
        return None
    return Kept(revision, *numbers)
