"""What ARCHITECTURE.md and its picture say of the house, counted."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import grimp
import pytest

import unspool
from house.documents import read, table_after


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    """Return which room imports which; a room is what lies directly in the package, and the package itself."""
    graph = grimp.build_graph("unspool", cache_dir=None)
    found: dict[str, set[str]] = defaultdict(set)
    for module in graph.modules:
        room = room_of(module)
        found[room] |= {room_of(imported) for imported in graph.find_modules_directly_imported_by(module)} - {room}
    return dict(found)


def room_of(module: str) -> str:
    """Return the room that a module is in."""
    return [*module.split("."), "unspool"][1]


def loose_modules(rooms: set[str]) -> set[str]:
    """Return the rooms that are a single module."""
    graph = grimp.build_graph("unspool", cache_dir=None)
    return {room for room in rooms if room == "unspool" or not graph.find_children(f"unspool.{room}")}


def floors(arrows: dict[str, set[str]]) -> int:
    """Return how many rooms the longest chain of arrows has. Raises RecursionError if they go in a circle."""

    @cache
    def above(room: str) -> int:
        return 1 + max(map(above, arrows[room]), default=0)

    return max(map(above, arrows))


def test_the_house_in_numbers(arrows: dict[str, set[str]]) -> None:
    """The table of rooms, arrows and floors says what is so."""
    said = [int(row[2]) for row in table_after(read("ARCHITECTURE.md"), "The house in numbers")]
    counted = [len(arrows), len(loose_modules(set(arrows))), sum(map(len, arrows.values())), floors(arrows), 0]
    assert said == counted


def test_the_picture_has_every_room(arrows: dict[str, set[str]]) -> None:
    """The picture shows the rooms there are, and no other."""
    shown = set(re.findall(r"[\w]+", " ".join(re.findall(r'class="name"[^>]*>([^<]+)<', read("docs/rooms.svg")))))
    shown -= {"DEST", "or", "its", "part", "file", "the", "served", "directory"}
    assert shown == set(arrows) - {"unspool", "__main__", "_version"}


def test_the_picture_names_the_modules_of_the_core() -> None:
    """What the core consists of is named in the picture, module by module."""
    graph = grimp.build_graph("unspool", cache_dir=None)
    modules = {child.rpartition(".")[2] for child in graph.find_children("unspool.core")} - {"value"}
    picture = read("docs/rooms.svg")
    missing = {module for module in modules if not re.search(rf"\b{module}\b", picture)}
    assert missing == set()


def test_each_room_names_its_modules() -> None:
    """The docstring of a package says what is in each of its modules, and names no other."""
    for room in Path(unspool.__file__).parent.glob("*/__init__.py"):
        modules = {path.name for path in room.parent.glob("*.py")} - {"__init__.py"}
        if not any(name.endswith("_pb2.py") for name in modules):  # generated
            named = set(re.findall(r"\b\w+\.py\b", ast.get_docstring(ast.parse(room.read_text())) or ""))
            assert named == modules, room.parent.name
