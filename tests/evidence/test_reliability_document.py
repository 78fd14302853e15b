"""The documents about the tests name existing tests, and their real counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

TEXT = (REPO / "docs" / "reliability.md").read_text()

BOTH = TEXT + (REPO / "docs" / "security.md").read_text()

NAMED = sorted(set(re.findall(r"`((?:tests|src)/[\w/]+\.py)(?:::(\w+))?`", BOTH)))


@pytest.mark.parametrize(("path", "function"), NAMED, ids=[function or path for path, function in NAMED])
def test_every_test_it_names_is_there(path: str, function: str) -> None:
    """Each file, and each function in it, that docs/reliability.md or docs/security.md names exists."""
    source = (REPO / path).read_text()
    assert f"def {function}(" in source if function else "def test_" in source or "\nclass Test" in source


@pytest.mark.parametrize(
    ("path", "normal", "deep"),
    re.findall(r"`(tests/evidence/\w+\.py)` \| ([\d,]+) \w+ \| ([\d,]+) \|", TEXT),
)
def test_the_counts_it_names_are_the_ones_that_are_run(path: str, normal: str, deep: str) -> None:
    """The counts in docs/reliability.md are those of the tests."""
    source = (REPO / path).read_text().replace("_", "")
    numbers = (deep.replace(",", ""), normal.replace(",", ""))
    assert f"normal={numbers[1]}, deep={numbers[0]}," in source or f"KILLS = {numbers[0]} if DEEP else {numbers[1]}\n" in source
