"""Omissions of listings: all are counted, and a limited number are named."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from unspool.core.model import Omission
from unspool.core.omissions import REASONS, Omissions

OMISSIONS = st.lists(st.builds(Omission, st.sampled_from(sorted(REASONS)), st.text(max_size=3), st.integers(1, 5)), max_size=12)


def counted(omitted: list[Omission] | tuple[Omission, ...]) -> Counter[str]:
    """Return how many names were left out, by reason."""
    counts: Counter[str] = Counter()
    for omission in omitted:
        counts[omission.reason] += omission.count
    return counts


@given(OMISSIONS, st.integers(0, 8))
def test_none_is_lost_and_few_are_named(omitted: list[Omission], most: int) -> None:
    """The numbers are right for each reason however few names are kept, and the names kept are the first ones."""
    omissions = Omissions(most)
    for omission in omitted:
        omissions.add(omission)
    told = omissions.as_tuple()
    assert counted(told) == counted(omitted) == omissions.counts
    assert [one.name for one in told if one.name] == [one.name for one in omitted if one.name][:most]
    assert len(told) <= most + len(REASONS)
    assert bool(omissions) == bool(omitted)


@given(OMISSIONS, st.integers(0, 8), st.integers(0, 8))
def test_what_is_told_can_be_counted_on(omitted: list[Omission], most: int, other: int) -> None:
    """Adding the omissions that a server reported gives the same counts."""
    first, second = Omissions(most), Omissions(other)
    for omission in omitted:
        first.add(omission)
    for omission in first.as_tuple():
        second.add(omission)
    assert second.counts == first.counts


@given(st.lists(st.text(max_size=5), max_size=20))
def test_reasons_that_are_unknown_are_one(reasons: list[str]) -> None:
    """Unknown reasons are counted together, so that a server cannot fill memory with them."""
    omissions = Omissions(3)
    for reason in reasons:
        omissions.add(Omission(f"!{reason}", "a"))
    assert omissions.counts == ({"OTHER": len(reasons)} if reasons else {})
