"""The list of pages in docs/README.md, which is the navigation of the site."""

from __future__ import annotations

from house.documents import REPO, links, read

LISTED = [link.partition("#")[0] for link in links(read("docs/README.md"))]


def test_every_page_is_in_the_navigation() -> None:
    """Whoever reads only the list finds every page: those of docs/, and those beside the README."""
    listed = [(REPO / "docs" / link).resolve() for link in LISTED]
    pages = {*REPO.glob("*.md"), *REPO.glob("docs/**/*.md")} - {REPO / "docs" / "README.md"}
    assert {page for page in pages if page not in listed and not any(page.is_relative_to(one) for one in listed)} == set()


def test_every_entry_of_the_navigation_is_there() -> None:
    """What is listed is a page or a directory of pages, and is listed once; a second entry leads to a section of it."""
    for link in LISTED:
        path = (REPO / "docs" / link).resolve()
        assert path.suffix == ".md" or any(path.glob("*.md")), link
    whole = [link for link in links(read("docs/README.md")) if "#" not in link]
    assert len(whole) == len(set(whole))
    assert set(LISTED) == set(whole)
