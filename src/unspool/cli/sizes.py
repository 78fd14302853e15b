"""Sizes in bytes as people write them: `65536`, `64K`, `1.5GiB`."""

from __future__ import annotations

import re

import click

_UNITS = "KMGT"

_SIZE = re.compile(rf"([0-9]{{1,19}}(?:\.[0-9]{{1,9}})?) ?(?:([{_UNITS}])(?:iB?)?|B)?", re.IGNORECASE)

_DECIMAL = re.compile(rf"[0-9.]+ ?([{_UNITS}])B", re.IGNORECASE)
"""A size with an ambiguous unit: some programs use powers of 1000, others powers of 1024."""

_STEP = 1024

_MOST = (1 << 63) - 1
"""The largest number in the protocol: a signed 64-bit integer."""


class Size(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A number of bytes: a decimal number and an optional unit.

    K, M, G and T are powers of 1024, as in curl, wget and rclone; KiB, MiB, GiB and TiB are the same. Fractions of a byte are
    cut off. KB, MB and the like are refused, because other programs disagree on their meaning.

    Args:
        least, most: the smallest and the largest size allowed.
    """

    name = "size"

    def __init__(self, least: int = 0, most: int = _MOST) -> None:
        self._least = least
        self._most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click. An int, which is a default value, is returned unchanged."""
        if isinstance(value, int):
            return value
        text = str(value)
        if found := _DECIMAL.fullmatch(text):
            unit = found[1].upper()
            self.fail(f"{text!r} could mean powers of 1000 or of 1024: write {unit} or {unit}iB (powers of 1024).", param, ctx)
        found = _SIZE.fullmatch(text)
        if found is None:
            self.fail(f"{text!r} is not a size: write bytes, or a number with K, M, G or T, as in 64K or 1.5G.", param, ctx)
        from fractions import Fraction  # noqa: PLC0415 - most sizes are defaults

        power = _UNITS.index(found[2].upper()) + 1 if found[2] else 0
        size = int(Fraction(found[1]) * _STEP**power)
        if size < self._least:
            self.fail(f"{text} is too small: the least is {write_size(self._least)}.", param, ctx)
        if size > self._most:
            self.fail(f"{text} is too large: the most is {write_size(self._most)}.", param, ctx)
        return size


def write_size(size: int) -> str:
    """Return a size in the form that `Size` reads, without rounding: `1M`, `1000`."""
    power = 0
    while power < len(_UNITS) and size and size % _STEP == 0:
        size //= _STEP
        power += 1
    return f"{size}{_UNITS[power - 1] if power else ''}"
