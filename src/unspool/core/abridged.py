"""Shortens text from outside, such as a peer's error message, so that it fits into a message of ours."""

from __future__ import annotations

MOST_CHARACTERS = 300
"""Longest text from outside in a message: about four lines of a terminal."""

ONE_LINE = 80
"""Longest text in the middle of a sentence: what fits on a line."""


def abridged(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return `text`, shortened to at most `most` characters. The middle is cut, because the ends say the most."""
    if len(text) <= most:
        return text
    half = (most - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
