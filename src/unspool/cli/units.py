"""Numbers for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unspool.client.results import Result, TreeResult

_VERIFIED = {
    "file": "the whole file verified",
    "blocks": "every block verified (the server has no checksum of the whole)",
    "none": "NOT verified: this dialect has no checksums",
}

_VERIFIED_EACH = {
    "file": "each verified as a whole",
    "blocks": "every block verified (the server has no checksum of some whole files)",
    "none": "NOT verified",
}

_STEP = 1024.0


def say_bytes(count: float) -> str:
    """Return a number of bytes in binary units, as `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < _STEP:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _STEP
    return f"{count:.1f} TiB"


def say_count(count: int, one: str, many: str) -> str:
    """Return a number of things, as `1 file`, `3 files`."""
    return f"{count} {one if count == 1 else many}"


def say_share(part: int, whole: int | None) -> str:
    """Return how much of the whole a part is, as `61 %`, or in bytes if the whole is not known."""
    return f"{100 * part // whole} %" if whole else say_bytes(part)


def say_result(result: Result) -> str:
    """Return one line about a download that is done."""
    if result.already_here:
        how = "already complete"
    else:
        rate = result.bytes_received / result.seconds if result.seconds else 0.0
        how = f"{say_bytes(result.bytes_received)} in {result.seconds:.1f} s ({say_bytes(rate)}/s)"
        if result.resumed_from:
            how += f", resumed at {say_share(result.resumed_from, result.size)}"
        if result.restarts:
            how += f", begun again {result.restarts} times" if result.restarts > 1 else ", begun again once"
    return f"{result.path or result.name}: {say_bytes(result.size)}, {how}, {_VERIFIED[result.verified]}"


def say_tree(result: TreeResult) -> str:
    """Return one line about a tree that is done."""
    counts = f"{result.fetched} fetched, {result.kept} already here"
    if result.failed:
        counts += f", {result.failed} failed"
    if result.left_out:
        counts += f", {result.left_out} left out (records of trees)"
    how = f", {_VERIFIED_EACH[result.verified]}" if result.fetched else ""
    rate = result.bytes_received / result.seconds if result.seconds else 0.0
    return (
        f"{result.path}: {result.files} files, {say_bytes(result.size)} in {result.seconds:.1f} s "
        f"({say_bytes(rate)}/s): {counts}{how}"
    )
