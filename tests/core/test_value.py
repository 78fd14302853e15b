"""What values are."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import pytest

from unspool.client.results import Result
from unspool.client.treeresults import TreeResult
from unspool.core.model import Attributes, FileInfo, Page
from unspool.core.value import value
from unspool.local.outcome import Failure


@value
class Point:
    """A value for these tests."""

    x: int
    y: int = 0


def test_values_are_equal_if_their_fields_are() -> None:
    """Two values with the same fields are equal; a copy with another field is not."""
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert replace(Point(1, 2), y=5) == Point(1, 5)


@pytest.mark.parametrize("kind", [Attributes, Failure, FileInfo, Page, Point, Result, TreeResult])
def test_what_has_a_hash_is_frozen(kind: type) -> None:
    """A class that can be assigned to has no hash: nothing gets lost in a set or a dict because it was changed."""
    frozen: bool = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert frozen == (kind.__hash__ is not None)


def test_results_are_frozen() -> None:
    """What came of a tree cannot be changed."""
    result = TreeResult("", "here", 0, 0, 0, 0, 0, 0, 0, (), (), "file", 0, 0.0)
    with pytest.raises(FrozenInstanceError):
        result.files = 1  # type: ignore[misc]
    assert len({result, replace(result)}) == 1


def test_a_value_has_room_for_its_fields_only() -> None:
    """A value is a dataclass with slots: nothing else can be put on it, and it has no dict."""
    point = Point(1)
    assert is_dataclass(point)
    assert [each.name for each in fields(point)] == ["x", "y"]
    assert not hasattr(point, "__dict__")
