"""What values are."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

from unspool.core.value import value


@value
class Point:
    """A value for these tests."""

    x: int
    y: int = 0


def test_values_are_equal_if_what_is_in_them_is() -> None:
    """Two values with the same in them are the same key of a dict; a changed copy is another."""
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert {Point(1, 2): "here"}[Point(1, 2)] == "here"
    assert replace(Point(1, 2), y=5) == Point(1, 5)


def test_a_value_has_room_for_its_fields_only() -> None:
    """A value is a dataclass with slots: nothing else can be put on it, and it has no dict."""
    point = Point(1)
    assert is_dataclass(point)
    assert [each.name for each in fields(point)] == ["x", "y"]
    assert not hasattr(point, "__dict__")
