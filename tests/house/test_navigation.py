"""The list of pages in docs/README.md, which is the navigation of the site; and what the site is built of."""

from __future__ import annotations

import posixpath
import re

import pytest
from tools.pages import layout, page_of, resolved, tracked

import unspool
from house.documents import REPO, anchors, fenced, links, read
from unspool.cli import main

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


@pytest.fixture(scope="module")
def site() -> dict[str, str]:
    """Lay out the site."""
    if not (REPO / ".git").exists():
        pytest.skip("not a git checkout")
    return layout(REPO)


def test_links_of_the_site_lead_to_its_pages(site: dict[str, str]) -> None:
    """What a document links to in the repository is a page of the site, and the heading is there."""
    for name, text in site.items():
        if not name.startswith(("docs/", "index.md")) and "/" in name:
            continue  # code, in which there are no links
        for link in links(text):
            target, _, anchor = link.partition("#")
            if link.startswith(("https://", "mailto:")) or target.endswith(".svg"):
                continue
            page = posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) if target else name
            assert page in site, f"{name}: {link}"
            assert not anchor or anchor in anchors(site[page]), f"{name}: {link}"


def test_the_site_has_the_list_as_its_navigation(site: dict[str, str]) -> None:
    """The first page has an entry for each page that is listed, and for those that only the site has."""
    entries = {f"{line}.md" for line in re.findall(r"^(\S+)$", "".join(fenced(site["index.md"], "{toctree}")), re.MULTILINE)}
    files = tracked(REPO)
    listed = {page_of(resolved(link, "docs/README.md"), files) for link in LISTED} - {"index.md"}
    assert entries & set(site) == listed | {"docs/README.md", "reference/help.md", "reference/python.md"}
    assert set(re.findall(r"^(\S+)$", "".join(fenced(site["docs/decisions/index.md"], "{toctree}")), re.MULTILINE)) >= {
        path.name for path in (REPO / "docs" / "decisions").glob("*.md")
    }


def test_the_site_shows_the_help_of_every_command_and_the_docstring_of_every_name(site: dict[str, str]) -> None:
    """The reference has what the program and the package have."""
    for command in main.every_command:
        assert f"## unspool {command} --help" in site["reference/help.md"]
    for name in set(unspool.__all__) - {"__version__"}:
        assert re.search(rf"^\.\. auto\w+:: unspool\.{name}$", site["reference/python.md"], re.MULTILINE), name
