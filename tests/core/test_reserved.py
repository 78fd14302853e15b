"""Names of unspool's own files: they fit the file system, belong to one file only, and are recognised in any spelling."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from unspool.core.reserved import (
    HOME,
    JOURNAL_SUFFIX,
    PART_SUFFIX,
    SCRATCH_SUFFIX,
    WHOLE_SUFFIX,
    NamesBeside,
    is_home,
    is_reserved,
    is_unfinished,
    names_beside,
)

PARTS = st.binary(min_size=1, max_size=8).filter(lambda raw: not {0, ord("/")} & set(raw))

NAMES = st.builds(lambda raw, times: os.fsdecode((raw * times)[:255]), PARTS, st.sampled_from([1, 1, 40, 255]))
"""Names as Python decodes them, short and as long as any: whatever bytes a file system can have."""

ROOMS = st.integers(64, 255)
"""Bytes that a name may have: 143 where names are encrypted, else 255 almost everywhere."""


def each(names: NamesBeside) -> set[str]:
    """Return the names, whatever they are for."""
    return {names.part, names.journal, names.scratch, names.whole}


@given(NAMES, ROOMS)
def test_the_names_beside_a_destination_fit_where_it_fits(name: str, room: int) -> None:
    """Four names, none longer than the place allows, each of them known as ours; a name that leaves room stays whole."""
    names = each(names_beside(name, room))
    assert len(names) == 4
    assert all(len(os.fsencode(one)) <= room for one in names)
    assert all(is_unfinished(one) for one in names)
    if len(os.fsencode(name)) + len(SCRATCH_SUFFIX) <= room:
        assert names == {name + suffix for suffix in (PART_SUFFIX, JOURNAL_SUFFIX, SCRATCH_SUFFIX, WHOLE_SUFFIX)}


@given(NAMES, NAMES, st.text("xyz", max_size=3), st.text("xyz", max_size=3), ROOMS)
def test_no_two_destinations_share_a_name(stem: str, other: str, end: str, its_end: str, room: int) -> None:
    """Two different names have different part files and journals, even if they differ only where they are cut."""
    for one, two in ((stem, other), (stem + end, stem + its_end)):
        assert (one == two) == (not each(names_beside(one, room)).isdisjoint(each(names_beside(two, room))))


@given(st.sampled_from([PART_SUFFIX, JOURNAL_SUFFIX, SCRATCH_SUFFIX, WHOLE_SUFFIX]), st.text(max_size=20), st.data())
def test_our_names_are_known_in_any_case(suffix: str, name: str, data: st.DataObject) -> None:
    """Our names are recognised on file systems that ignore case, too."""

    def spelled(text: str) -> str:
        upper = data.draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
        return "".join(letter.upper() if up else letter for letter, up in zip(text, upper, strict=True))

    ours, home = name + spelled(suffix), spelled(HOME)
    assert is_unfinished(ours)
    assert is_home(home)
    assert is_reserved(ours)
    assert is_reserved(home)
    assert not is_unfinished(f"{name}{suffix}x")
    assert not is_home(HOME + name + "x")
    assert not is_reserved(f"{name}{suffix}x")
    assert not is_reserved(HOME + name + "x")
