"""The one judgement about a whole file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.whole import agreement, check_whole
from unspool.errors import FileMismatchError

checksums = st.integers(0, 3)


@given(ours=st.none() | checksums, theirs=st.lists(st.none() | checksums, max_size=4))
def test_one_that_says_otherwise_outweighs_all_others(ours: int | None, theirs: list[int | None]) -> None:
    """It agrees if something is said and all that is said is the same; what is not said has no weight."""
    said = [each for each in theirs if each is not None]
    expected = None if not said else all(each == ours for each in said)
    assert agreement(ours, *theirs) is expected


@given(ours=st.none() | checksums, theirs=st.none() | checksums)
def test_the_verdict_follows(ours: int | None, theirs: int | None) -> None:
    """`file` if the server says the same, `blocks` if it says nothing, an error otherwise."""
    if agreement(ours, theirs) is False:
        with pytest.raises(FileMismatchError, match="throw it away"):
            check_whole("a.bin", ours, theirs, "throw it away")
    else:
        assert check_whole("a.bin", ours, theirs) == ("blocks" if theirs is None else "file")


def test_a_mismatch_shows_both_sides() -> None:
    """The error has both checksums and, with no hint, ends there."""
    with pytest.raises(FileMismatchError) as caught:
        check_whole("a.bin", 0x12, 0xABCD)
    assert caught.value.message.endswith("(crc32c 00000012 here, 0000abcd there)")
    assert caught.value.name == "a.bin"
