"""The documents as data: their tables, their blocks of text, their links."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]

DOCUMENTS = sorted([*REPO.glob("*.md"), *REPO.glob("docs/**/*.md")])


def read(name: str) -> str:
    """Return a document's text."""
    return (REPO / name).read_text()


def table_after(text: str, mark: str) -> list[list[str]]:
    """Return the rows of the first table after `mark`, without its head, each cell without the backticks around it."""
    match = re.search(r"^\|.*\n\|[-| ]+\|\n((?:\|.*\n)*)", text[text.index(mark) :], re.MULTILINE)
    assert match, f"no table after {mark!r}"
    return [[cell.strip().strip("`") for cell in line.strip().strip("|").split("|")] for line in match[1].splitlines()]


def text_after(text: str, mark: str) -> str:
    """Return what stands in the first fenced block after `mark`."""
    match = re.search(r"^```\w*\n(.*?)^```$", text[text.index(mark) :], re.MULTILINE | re.DOTALL)
    assert match, f"no block after {mark!r}"
    return match[1]


def fenced(text: str, language: str) -> list[str]:
    """Return all fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one that is not deeper."""
    level = heading.partition(" ")[0]
    match = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"no section {heading!r}"
    return match[1]


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    """Return the targets of a document's links and pictures."""
    return re.findall(r"\]\(([^)]+)\)", text)


def octets(dump: str) -> bytes:
    """Return the bytes of a hex dump, in which two spaces begin a remark."""
    return bytes.fromhex("".join(line.strip().partition("  ")[0] for line in dump.splitlines()))
