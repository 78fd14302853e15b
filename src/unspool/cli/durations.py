"""Durations as people write them: `90d`, `12h`, `30m`."""

from __future__ import annotations

import re

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")

_LONGEST = 100 * 366 * 86_400
"""A hundred years: longer ones are typing errors."""


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A number of seconds, written as a whole number and its unit: s, m, h, d or w."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        found = _DURATION.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is not a duration: write a number with s, m, h, d or w, as in 90d or 12h.", param, ctx)
        seconds = int(found[1]) * _SECONDS[found[2]]
        if not 0 < seconds <= _LONGEST:
            self.fail(f"{value} is not between 1 s and 100 years.", param, ctx)
        return seconds
