"""Numbers, times and results as text for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from unspool.core.counted import counted

if TYPE_CHECKING:
    from unspool.client.results import Result
    from unspool.client.treeresults import TreeResult
    from unspool.client.writeresults import PutResult, PutTreeResult

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

_DAY = 24 * 60 * 60

_NS = 1_000_000_000


def say_bytes(count: float) -> str:
    """Return a number of bytes in binary units, as `1.5 GiB`."""
    size, unit = _unit_for(count)
    return f"{_in_units(count, size)} {unit}"


def say_amount(part: int, whole: int | None, *, padded: bool = False) -> str:
    """Return an amount of a whole in the unit of the whole, as `7.0/48.0 MiB`; only the amount if the whole is not known.

    Args:
        part: the amount, in bytes.
        whole: the whole, in bytes.
        padded: put spaces before the amount, so that the text keeps its length while the amount grows.
    """
    if whole is None:
        return say_bytes(part)
    size, unit = _unit_for(whole)
    number = _in_units(whole, size)
    return f"{_in_units(part, size).rjust(len(number) if padded else 0)}/{number} {unit}"


def _unit_for(count: float) -> tuple[float, str]:
    """Return the unit for a number of bytes: its size in bytes, and its name."""
    size = 1.0
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < size * _STEP:
            return size, unit
        size *= _STEP
    return size, "TiB"


def _in_units(count: float, size: float) -> str:
    return f"{count / size:.1f}" if size > 1 else f"{count:.0f}"


def say_duration(seconds: float) -> str:
    """Return a duration as `0:04`, `12:34` or `1:02:03`; from one day on in days and hours, as `3 d 04 h`."""
    if seconds >= _DAY:
        hours = round(seconds / 3600)
        return f"{hours // 24} d {hours % 24:02} h"
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def say_time(nanoseconds: int | None) -> str:
    """Return a time as ISO 8601 in UTC; "" if it is not known."""
    if nanoseconds is None:
        return ""
    try:
        return datetime.fromtimestamp(nanoseconds // _NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # outside of the years 1 to 9999
        return "?"


def say_files(done: int, listed: int, *, listed_all: bool) -> str:
    """Return how many of the listed files are done, as `5/40 files`; `5/40+ files` while the listing grows."""
    return f"{done}/{listed}{'' if listed_all else '+'} {'file' if listed == 1 and listed_all else 'files'}"


def say_share(part: int, whole: int | None) -> str:
    """Return a part as a percentage of the whole, as `61 %`; in bytes if the whole is not known."""
    return f"{100 * part // whole} %" if whole else say_bytes(part)


def say_result(result: Result) -> str:
    """Return the line about a finished download."""
    if result.already_here:
        how = "already complete"
    elif 0 < result.size == result.resumed_from and not result.bytes_received:
        how = "complete from an earlier run"
    else:
        rate = result.bytes_received / result.seconds if result.seconds else 0.0
        how = f"{say_bytes(result.bytes_received)} in {result.seconds:.1f} s ({say_bytes(rate)}/s{_say_servers(result)})"
        if result.resumed_from:
            how += f", resumed at {say_share(result.resumed_from, result.size)}"
        if result.restarts:
            how += f", begun again {result.restarts} times" if result.restarts > 1 else ", begun again once"
    return f"{result.path or result.name}: {say_bytes(result.size)}, {how}, {_VERIFIED[result.verified]}"


def _say_servers(result: Result | TreeResult | PutResult | PutTreeResult, way: str = "from") -> str:
    """Return from how many servers the bytes came, or to how many they went, if to several."""
    return f" {way} {len(result.servers)} servers" if len(result.servers) > 1 else ""


def say_put(result: PutResult, url: str) -> str:
    """Return the line about a finished upload to `url`."""
    if result.already_there:
        how = "already there"
    else:
        rate = result.bytes_sent / result.seconds if result.seconds else 0.0
        how = f"{say_bytes(result.bytes_sent)} in {result.seconds:.1f} s ({say_bytes(rate)}/s{_say_servers(result, 'to')})"
        if result.resumed_from:
            how += f", resumed at {say_share(result.resumed_from, result.size)}"
    return f"{url}: {say_bytes(result.size)}, {how}, {_VERIFIED[result.verified]}"


def say_put_tree(result: PutTreeResult, url: str) -> str:
    """Return the line about a tree that was uploaded to `url`."""
    counts = f"{result.sent} sent, {result.kept} already there"
    if result.failed:
        counts += f", {result.failed} failed"
    how = ", every file verified" if result.sent else ""
    rate = result.bytes_sent / result.seconds if result.seconds else 0.0
    return (
        f"{url}: {counted(result.files, 'file')}, {say_bytes(result.size)} in {result.seconds:.1f} s "
        f"({say_bytes(rate)}/s{_say_servers(result, 'to')}): {counts}{how}"
    )


def say_tree(result: TreeResult) -> str:
    """Return the line about a finished tree."""
    counts = f"{result.fetched} fetched, {result.kept} already here"
    if result.failed:
        counts += f", {result.failed} failed"
    if result.left_out:
        counts += f", {result.left_out} left out (records of trees)"
    how = f", {_VERIFIED_EACH[result.verified]}" if result.fetched else ""
    rate = result.bytes_received / result.seconds if result.seconds else 0.0
    return (
        f"{result.path}: {counted(result.files, 'file')}, {say_bytes(result.size)} in {result.seconds:.1f} s "
        f"({say_bytes(rate)}/s{_say_servers(result)}): {counts}{how}"
    )
