"""Continuing a listing after keys that obstore cannot handle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.stores.oddkeys import past


def is_odd(key: str) -> bool:
    """Return whether obstore cannot handle a key."""
    return not {"", ".", ".."}.isdisjoint(key.split("/")) or any(char < " " or char == "\x7f" for char in key)


@pytest.mark.parametrize(
    ("key", "beyond"),
    [
        ("m//b", "m/0"),
        ("m/./x", "m/.0"),
        ("../e", "..0"),
        (".", ". "),
        ("a/..", "a/.. "),
        ("m\x01b", "m "),
        ("m\x7fb", "m\x80"),
    ],
)
def test_the_next_key_that_can_be_taken(key: str, beyond: str) -> None:
    """The result is the first key after all those that are odd for the same reason."""
    assert past(key) == beyond


keys = st.text("./ab0\x01 \x7f", min_size=1, max_size=8)


@given(key=keys, other=keys)
def test_no_key_is_passed_over(key: str, other: str) -> None:
    """The result is a normal key after the odd one, and every key between them is odd, too, or marks a directory."""
    beyond = past(key)
    if not is_odd(key) or key.endswith("/"):
        return
    assert key < beyond
    assert not is_odd(beyond)
    if key < other < beyond:
        assert is_odd(other)
