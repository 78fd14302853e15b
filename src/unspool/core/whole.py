"""Compares the checksum of a whole file with the server's. No other code makes this decision.

Rule 1: a checksum that the server does not send neither confirms nor contradicts the file.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from unspool.errors import FileMismatchError

Verified: TypeAlias = Literal["file", "blocks", "none"]
"""What was verified. `file`: the whole file against the server's checksum. `blocks`: every block, but the server sent no
checksum of the whole file. `none`: nothing, because the dialect has no checksums."""


def agreement(ours: int | None, *theirs: int | None) -> bool | None:
    """Compare the CRC32C of a whole local file with every checksum that the server sent for it.

    Args:
        ours: CRC32C of the local file; None if it is incomplete, which matches no checksum.
        theirs: the server's checksums, one from each place that can carry one; None where there is none.

    Returns:
        True if there are any and all are equal to `ours`, False if one differs, None if there are none.
    """
    confirmed = None
    for said in theirs:
        if said is None:
            continue
        if said != ours:
            return False
        confirmed = True
    return confirmed


def check_whole(name: str, ours: int | None, theirs: int | None, hint: str = "") -> Verified:
    """Check the checksum of a file whose every block has been verified, and return what is verified now.

    Args:
        name: name of the file.
        ours: CRC32C of the local file; None if it is incomplete.
        theirs: the server's CRC32C of the whole file; None if it sent none.
        hint: advice for the error message.

    Raises:
        FileMismatchError: the checksums differ.
    """
    agrees = agreement(ours, theirs)
    if agrees is False:
        way_out = f": {hint}" if hint else ""
        raise FileMismatchError(
            f"{name}: every block was right, but the whole is not what the server says "
            f"(crc32c {ours or 0:08x} here, {theirs or 0:08x} there){way_out}",
            name=name,
        )
    return "file" if agrees else "blocks"
