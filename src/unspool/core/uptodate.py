"""Decides whether a local file has to be uploaded into a tree.

Rule 1: a file that the server has with the same size and the same modification time is skipped, as rsync does: `put` gives it
        the local time. With `checksum`, or if only the size is the same, the checksums are compared, and equal files skipped.
Rule 2: a file whose checksum the server does not say is sent. The server finds out whether it has the same bytes.
"""

from __future__ import annotations

from enum import Enum, auto

from unspool.core.model import FileInfo

_COARSE_NS = (1_000, 1_000_000_000, 2_000_000_000)
"""Nanoseconds to which file systems round times: microseconds (network file systems), seconds (ext3), two seconds (FAT)."""


class SendNeed(Enum):
    """What to do about a local file."""

    NOTHING = auto()
    COMPARE = auto()
    SEND = auto()


def send_need(size: int, modified_ns: int, there: FileInfo | None, *, checksum: bool = False) -> SendNeed:
    """Return what to do about a local file.

    Args:
        size: of the local file.
        modified_ns: its modification time.
        there: what the server has at the name; None if nothing.
        checksum: compare the checksums even if the times are the same.
    """
    if there is None or there.size != size:
        return SendNeed.SEND
    if not checksum and _same_time(modified_ns, there.attributes.modified_ns):
        return SendNeed.NOTHING
    return SendNeed.SEND if there.crc32c is None else SendNeed.COMPARE


def _same_time(ours: int, theirs: int | None) -> bool:
    """Whether the server's time is ours, as far as its file system could store it."""
    return theirs is not None and (ours == theirs or any(ours - ours % coarse == theirs for coarse in _COARSE_NS))
