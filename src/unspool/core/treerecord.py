"""The record of a tree: what is here already, and which bytes it is. One row a file, each checking itself.

Rule 1: a row is believed as a whole or not at all: its CRC32C covers all of it, the name included. Damage makes a file unknown,
        never wrong, and a row that got to another name says nothing of that one.
Rule 2: it lags the data and never leads it: a row is added when the file has its final name.
Rule 3: what it says of a file is true as long as that file is the one described: size, time of modification and inode.
Rule 4: of two rows about one file the later one holds.
Rule 5: a record that is kept away from its tree says whose it is, in a row that no file can have: the one with an empty key.

Format, version 2: a key, which is the name; and what is said of it: the CRC32C (four bytes, the highest first) of the key's
length in decimal, a blank, the key and what follows; then `SIZE CRC32C MODIFIED_NS INODE TOLD_NS EXECUTABLE REVISION`, the
numbers in decimal. TOLD_NS is the server's time of modification, EXECUTABLE is 1 or 0; either is `-` if the local file was not
given it. Of the owner is said, behind the CRC32C, `of SOURCE`, a line feed, and the directory. Texts are UTF-8. Version 1 had
neither time, executable nor owner: the database says which version its rows have. Where the rows are is
`unspool.local.record`'s business.
"""

from __future__ import annotations

from unspool.core.checksum import crc32c
from unspool.core.model import Attributes
from unspool.core.tree import Kept

_CRC = 4

_EXECUTABLE = {b"1": True, b"0": False, b"-": None}
_SPELLED = {value: spelling.decode() for spelling, value in _EXECUTABLE.items()}

OWNER = b""
"""The key of the row that says whose a record is. No file has an empty name."""


def key_of(name: str) -> bytes:
    """Return what a file's row is found by."""
    return name.encode(errors="surrogatepass")  # what is no name has no row, but may be asked for


def row_of(name: str, kept: Kept) -> tuple[bytes, bytes]:
    """Return the row that says what a file is: its key, and what is said."""
    key = key_of(name)
    told = f"{'-' if kept.told.modified_ns is None else kept.told.modified_ns} {_SPELLED[kept.told.executable]}"
    text = f"{kept.size} {kept.crc32c} {kept.modified_ns} {kept.inode} {told} {kept.revision}"
    said = text.encode(errors="surrogatepass")
    return key, _sum_of(key, said) + said


def kept_of(key: bytes, said: object) -> Kept | None:
    """Return what a row says; None if it is damaged or makes no sense: then it says nothing.

    Args:
        key: that the row was looked for with.
        said: whatever was found.
    """
    if type(said) is not bytes or said[:_CRC] != _sum_of(key, said[_CRC:]):
        return None
    try:
        size, checksum, modified_ns, inode, told_ns, executable, revision = said[_CRC:].split(b" ", 6)
        told = Attributes(None if told_ns == b"-" else int(told_ns), executable=_EXECUTABLE[executable])
        return Kept(revision.decode(errors="surrogatepass"), int(size), int(checksum), int(modified_ns), int(inode), told)
    except (ValueError, KeyError):  # another version, or somebody else, may have written it
        return None


def owner_row(source: str, directory: str) -> tuple[bytes, bytes]:
    """Return the row that says which server and which directory a record is about: its key, and what is said."""
    said = f"of {source}\n{directory}".encode(errors="surrogatepass")
    return OWNER, _sum_of(OWNER, said) + said


def owner_of(said: object) -> tuple[str, str] | None:
    """Return the source and the directory that a record is about; None if its row is damaged or makes no sense."""
    if type(said) is not bytes or said[:_CRC] != _sum_of(OWNER, said[_CRC:]):
        return None
    source, line_feed, directory = said[_CRC:].decode(errors="surrogatepass").partition("\n")
    return (source[3:], directory) if line_feed and source.startswith("of ") else None


def _sum_of(key: bytes, said: bytes) -> bytes:
    return crc32c(b"%d %b%b" % (len(key), key, said)).to_bytes(_CRC, "big")
