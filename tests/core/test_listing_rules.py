"""The limits of a listing as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core import listing
from unspool.core.listing import REPEATS, Listing
from unspool.core.model import FileInfo, Omission, Page
from unspool.errors import ProtocolError


def page(*names: str) -> Page:
    """Return a page of files with these names."""
    return Page(files=tuple(FileInfo(name, 1, "r") for name in names))


def take(rules: Listing, pages: Iterable[Page]) -> None:
    """Process one page after another."""
    for each in pages:
        rules.take(each)


@given(st.lists(st.integers(1, 20), max_size=50))
def test_a_listing_without_repetition_is_taken(sizes: list[int]) -> None:
    """A normal listing is accepted, however it is divided into pages."""
    rules = Listing("", 10_000)
    for number, size in enumerate(sizes):
        rules.take(page(*(f"{number}-{n}" for n in range(size))))


@given(st.integers(1, 30), st.integers(1, 30))
def test_a_listing_that_repeats_itself_ends(pages: int, size: int) -> None:
    """A listing that repeats itself is refused soon after its second round, whatever the length of a round."""
    rules = Listing("a", 1_000_000)
    taken = 0

    def repeating() -> Iterator[Page]:
        nonlocal taken
        while True:
            taken += 1
            yield page(*(f"{taken % pages}-{n}" for n in range(size)))

    with pytest.raises(ProtocolError, match=r"^a: the listing repeats itself: \d+-0 came again"):
        take(rules, repeating())
    assert taken == pages + REPEATS + 1


def test_prefixes_that_repeat_are_seen_too() -> None:
    """A prefix and a file with the same name are different entries."""
    rules = Listing("", 1_000_000)
    rules.take(Page(prefixes=("a",)))
    for number in range(2 * REPEATS):
        rules.take(page(f"{number}", "a"))
    with pytest.raises(ProtocolError, match="a/ came again"):
        take(rules, [Page(prefixes=("a",))] * (REPEATS + 1))


def test_a_name_that_comes_twice_is_no_repetition() -> None:
    """A directory that changes while it is read may repeat names, up to a hundred times in all."""
    rules = Listing("", 1_000_000)
    rules.take(page("a"))
    for number in range(REPEATS):
        rules.take(page(f"{number}", "a"))
    with pytest.raises(ProtocolError):
        rules.take(page("a"))


def test_more_entries_than_the_limit_end_it() -> None:
    """Files, prefixes and omitted names count."""
    rules = Listing("", 4)
    rules.take(Page(files=page("a").files, prefixes=("b",), omitted=(Omission("NAME", "c"), Omission("NAME", "d"))))
    rules.take(Page())
    with pytest.raises(ProtocolError, match=r"^/: the listing has more than 4 entries$"):
        rules.take(page("e"))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a number of pages no more names are remembered; the first ones are still known."""
    monkeypatch.setattr(listing, "REMEMBERED", 2)
    rules = Listing("", 1_000_000)
    for name in ("a", "b", "c"):
        rules.take(page(name))
    for _ in range(2 * REPEATS):
        rules.take(page("c"))
    with pytest.raises(ProtocolError, match="b came again"):
        take(rules, [page("b")] * (REPEATS + 1))
