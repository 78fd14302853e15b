"""The text of a progress bar, fitted to the width of the terminal.

    name.bin [==========>                   ] 19.0/48.0 MiB    10.1 MiB/s    0:03 left

Rule 1: the line is always shorter than the terminal is wide.
Rule 2: a figure is shown whole or not at all. If the line is too long, first the name is shortened, then the bar is left out,
        then the figures move closer together. Only if they still do not fit, one is left out: first the time left, then the
        files, then the rate.
"""

from __future__ import annotations

from unicodedata import category, east_asian_width

from unspool.cli.meter import Amounts
from unspool.cli.units import say_amount, say_bytes, say_duration, say_files
from unspool.core.value import value

_NAME_LEAST = 8
"""Columns of the name that matter more than space between the figures."""

_NAME_BESIDE_BAR = 16
"""Columns of the name that matter more than a bar."""

_BAR_LEAST, _BAR_MOST = 12, 42
"""Columns of a bar. A shorter bar shows less than the figures; a longer one shows no more (rich: 40)."""

_RATE_WIDTH = len("1023.9 MiB/s")
_TIME_WIDTH = len("10:00:00 left")

_DOTS = "..."
_VARIATION = "\ufe0f"
"""Variation selector 16: shows the character before it as an emoji, which is wider."""


@value
class Figure:
    """A figure in several forms: the full one first, then shorter ones."""

    forms: tuple[str, ...]

    def form(self, number: int) -> str:
        """Return a form by its number, or the shortest if there are not so many."""
        return self.forms[min(number, len(self.forms) - 1)]


def bar_line(name: str, amounts: Amounts, rate: float | None, status: tuple[str, ...], columns: int) -> str:
    """Return the line of a bar.

    Args:
        name: the file or tree; printable.
        amounts: the progress.
        rate: bytes per second; None to show no rate.
        status: shown in place of the rate and the time left, in full and in shorter forms; () if there is none.
        columns: of the terminal. The last one stays empty, because some terminals begin a new line when it is filled.
    """
    room = max(columns - 1, 0)
    figures = figures_of(amounts, rate, status)
    while figures:
        order = sorted(figures)
        for number in range(3):
            text = ("  " if number == 0 else " ").join(figures[place].form(number) for place in order)
            left = room - len(text) - 1
            if number == 0 and left >= min(columns_of(name), _NAME_LEAST):
                return f"{_name_and_bar(name, amounts, left)} {text}".lstrip()
            if number > 0 and len(text) <= room:
                return f"{shortened(name, left)} {text}".lstrip()
        del figures[next(place for place in _LEFT_OUT if place in figures)]
    return shortened(name, room)


_FILES, _BYTES, _PACE, _TIME = range(4)
"""The figures' places in the line."""

_LEFT_OUT = (_TIME, _FILES, _PACE, _BYTES)
"""The order in which figures are left out."""


def figures_of(amounts: Amounts, rate: float | None, status: tuple[str, ...]) -> dict[int, Figure]:
    """Return the figures of a line by their places."""
    figures = {
        _BYTES: Figure(
            (say_amount(amounts.completed, amounts.total, padded=True), say_amount(amounts.completed, amounts.total))
        )
    }
    if (files := amounts.files) is not None:
        full = say_files(files.done, files.listed, listed_all=files.listed_all)
        figures[_FILES] = Figure((full, full.rpartition(" ")[0]))
    if status:
        figures[_PACE] = Figure(status)
    elif rate is not None:
        pace = f"{say_bytes(rate)}/s"
        figures[_PACE] = Figure((pace.rjust(_RATE_WIDTH), pace))
        if rate > 0 and amounts.total is not None:
            time = say_duration(max(amounts.total - amounts.completed, 0) / rate)
            figures[_TIME] = Figure((f"{time} left".rjust(_TIME_WIDTH), time))
    return figures


def _name_and_bar(name: str, amounts: Amounts, room: int) -> str:
    wide = columns_of(name)
    if amounts.total is None or room - _BAR_LEAST - 1 < min(wide, _NAME_BESIDE_BAR):
        return shortened(name, room)
    size = max(min(room - wide - 1, _BAR_MOST), _BAR_LEAST)
    inside = size - 2
    share = min(amounts.completed / amounts.total, 1.0) if amounts.total else 1.0
    filled = int(share * inside)
    bar = "=" * filled + (">" if filled < inside else "")
    return f"{shortened(name, room - size - 1)} [{bar.ljust(inside)}]"


# Columns


def columns_of(text: str) -> int:
    """Return the most columns that a text takes on a terminal."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if character.isascii() or character == _VARIATION:
        return 1
    if category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def shortened(text: str, columns: int) -> str:
    """Return a text that takes at most `columns`. Leaves out the middle, because both ends of a name matter more."""
    if columns_of(text) <= columns:
        return text
    room = columns - len(_DOTS)
    if room < 2:  # noqa: PLR2004 - one character at either end
        return ""
    return f"{_first(text, room - room // 2)}{_DOTS}{_first(text[::-1], room // 2)[::-1]}"


def _first(text: str, columns: int) -> str:
    """Return the beginning of a text that fits."""
    taken = 0
    for count, character in enumerate(text):
        taken += _columns(character)
        if taken > columns:
            return text[:count]
    return text
