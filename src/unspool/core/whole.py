"""Whether a whole file is what the server says it is: the one place where that is judged.

Rule 1: what the server does not say confirms nothing, and contradicts nothing.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from unspool.errors import FileMismatchError

Verified: TypeAlias = Literal["file", "blocks", "none"]
"""How far a result was verified: `file`, the whole against the server's checksum; `blocks`, every block, but the server gave
no checksum of the whole; `none`, because the dialect has no checksums."""


def agreement(ours: int | None, *theirs: int | None) -> bool | None:
    """Compare the CRC32C of a whole file with all that the server says of it.

    Args:
        ours: of what is here; None if it is not all here, which agrees with nothing.
        theirs: each what it says in one place; None where it says nothing.

    Returns:
        True if it says the same, False if it says anything else, None if it says nothing.
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
    """Return how far a file is verified whose every block was right.

    Args:
        name: of the file.
        ours: CRC32C of what is here; None if it is not all here.
        theirs: what the server says of the whole; None if nothing.
        hint: what to do if they disagree.

    Raises:
        FileMismatchError: they disagree.
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
