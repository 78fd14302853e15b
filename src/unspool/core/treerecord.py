"""The record of a tree: which files are here already, and at which revision. Each file has one row with its own checksum.

Rule 1: a row is used as a whole or not at all. Its CRC32C covers the whole row, the name included. A damaged row makes a file
        unknown and never wrong, and a row that ends up under another name is ignored.
Rule 2: the record lags the data and never leads it: a row is added after the file has its final name.
Rule 3: a row holds only while the local file has the recorded size, modification time and inode.
Rule 4: of two rows about one file the later one holds.
Rule 5: a record that is kept outside its tree says which tree it belongs to. That row has the empty key, which no file has.

Format, version 2: each row has a key, which is the name, and a value. The value begins with a CRC32C (four bytes, big-endian)
of the key's length in decimal, a space, the key and the rest of the value. The rest is `SIZE CRC32C MODIFIED_NS INODE GIVEN_NS
EXECUTABLE REVISION`, with numbers in decimal. GIVEN_NS is the server's modification time, and EXECUTABLE is 1 or 0; either is
`-` if the local file was not given it. In the owner's row the rest is `of SOURCE`, a line feed, and the directory. Text is
UTF-8. Version 1 had no GIVEN_NS, EXECUTABLE or owner. The database stores the version of its rows; `unspool.local.record` says
where the rows are kept.
"""

from __future__ import annotations

from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, FileInfo
from unspool.core.tree import Local, Recorded

_CRC = 4

_EXECUTABLE = {b"1": True, b"0": False, b"-": None}
_SPELLED = {executable: spelling.decode() for spelling, executable in _EXECUTABLE.items()}

OWNER = b""
"""The key of the row that says which tree the record belongs to. No file has an empty name."""


def key_of(name: str) -> bytes:
    """Return the key of a file's row."""
    return name.encode(errors="surrogatepass")  # an invalid name has no row, but may be looked up


def encode_row(name: str, recorded: Recorded) -> tuple[bytes, bytes]:
    """Return the row of a file: its key and its value."""
    key = key_of(name)
    rest = _rest_of(recorded.modified_ns, recorded.inode, recorded.given, recorded.revision)
    value = b"%d %d %b" % (recorded.size, recorded.crc32c, rest)
    return key, _sum_of(key, value) + value


def vouches(key: bytes, value: object, info: FileInfo, local: Local) -> bool:
    """Whether a row says that a local file has the bytes and the attributes of the server's file.

    A fast path, for nearly every file of a tree that is here already: the row is compared with the one that it would be, not
    decoded. It accepts only rows of which `fetch_need` says the same. If it does not, `decode_row` and `fetch_need` decide.
    """
    if type(value) is not bytes:
        return False
    said = value[_CRC:]
    checksum = said.partition(b" ")[2].partition(b" ")[0] if info.crc32c is None else b"%d" % info.crc32c
    rest = _rest_of(local.modified_ns, local.inode, info.attributes, info.revision)
    return (
        said == b"%d %b %b" % (info.size, checksum, rest)
        and info.size == local.size
        and (local.executable or not info.attributes.executable)
        and value[:_CRC] == _sum_of(key, said)
    )


def decode_row(key: bytes, value: object) -> Recorded | None:
    """Decode the row of a file; return None if it is damaged or invalid.

    Args:
        key: the key that was looked up.
        value: the value that was found, of any type.
    """
    if type(value) is not bytes or value[:_CRC] != _sum_of(key, value[_CRC:]):
        return None
    try:
        size, checksum, modified_ns, inode, given_ns, executable, revision = value[_CRC:].split(b" ", 6)
        given = Attributes(None if given_ns == b"-" else int(given_ns), executable=_EXECUTABLE[executable])
        return Recorded(revision.decode(errors="surrogatepass"), int(size), int(checksum), int(modified_ns), int(inode), given)
    except (ValueError, KeyError):  # written by another version or another program
        return None


def encode_owner(source: str, directory: str) -> tuple[bytes, bytes]:
    """Return the row that says which server and which directory a record is about: its key and its value."""
    value = f"of {source}\n{directory}".encode(errors="surrogatepass")
    return OWNER, _sum_of(OWNER, value) + value


def decode_owner(value: object) -> tuple[str, str] | None:
    """Decode the owner's row: return the source and the directory, or None if the row is damaged or invalid."""
    if type(value) is not bytes or value[:_CRC] != _sum_of(OWNER, value[_CRC:]):
        return None
    try:
        source, line_feed, directory = value[_CRC:].decode(errors="surrogatepass").partition("\n")
    except UnicodeDecodeError:  # written by another program
        return None
    return (source[3:], directory) if line_feed and source.startswith("of ") else None


def _rest_of(modified_ns: int, inode: int, given: Attributes, revision: str) -> bytes:
    """Return a row from the third number on."""
    given_ns = "-" if given.modified_ns is None else given.modified_ns
    return f"{modified_ns} {inode} {given_ns} {_SPELLED[given.executable]} {revision}".encode(errors="surrogatepass")


def _sum_of(key: bytes, value: bytes) -> bytes:
    return crc32c(b"%d %b%b" % (len(key), key, value)).to_bytes(_CRC, "big")
