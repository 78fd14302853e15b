"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from unspool.core.counted import counted


@pytest.mark.parametrize(
    ("count", "nouns", "said"),
    [
        (0, ("file",), "0 files"),
        (1, ("file",), "1 file"),
        (2, ("file",), "2 files"),
        (1, ("prefix", "prefixes"), "1 prefix"),
        (3, ("prefix", "prefixes"), "3 prefixes"),
    ],
)
def test_only_one_is_singular(count: int, nouns: tuple[str] | tuple[str, str], said: str) -> None:
    """The noun is singular after 1 and plural after any other number."""
    assert counted(count, *nouns) == said
