"""Numbers with their nouns, in messages."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun, as `1 file`, `3 files`. `many` is the plural; without it, `one` and an "s"."""
    return f"{count} {one if count == 1 else many or one + 's'}"
