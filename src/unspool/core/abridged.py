"""Text that somebody else chose the length of, cut to what a person reads."""

from __future__ import annotations

MOST_CHARACTERS = 300
"""Of a text from elsewhere within a message: four lines of a terminal."""


def abridged(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text of at most so many characters, with its middle left out if need be: what matters is at its ends."""
    if len(text) <= most:
        return text
    half = (most - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
