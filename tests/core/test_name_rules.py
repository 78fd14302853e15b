"""What may be a file's name."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from unspool.core.names import MAX_NAME_BYTES, check_name, check_prefix, is_hidden
from unspool.errors import InvalidNameError

letters = st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0")
parts = st.text(letters, min_size=1, max_size=20).filter(lambda part: part not in (".", ".."))
names = st.lists(parts, min_size=1, max_size=6).map("/".join)


@given(st.lists(parts, min_size=1, max_size=6))
def test_a_name_is_its_parts_joined(given_parts: list[str]) -> None:
    """Parts joined by slashes are a name, and its parts are the very same."""
    assert check_name("/".join(given_parts)) == tuple(given_parts)


@given(st.text(st.sampled_from("ab./\\\0 \n~-é\ud800"), max_size=12))
def test_every_text_is_a_name_or_named_as_none(text: str) -> None:
    """An accepted name equals its parts joined by slashes, and no part is special to a file system."""
    try:
        accepted = check_name(text)
    except InvalidNameError as error:
        refusal = error
    else:
        assert "/".join(accepted) == text
        assert all(part not in ("", ".", "..") for part in accepted)
        assert not set(text) & {"\\", "\0", "\ud800"}
        return
    assert refusal.name == text
    assert refusal.message.isprintable()


BAD = {
    "empty": ("", "empty"),
    "absolute": ("/etc/passwd", "absolute"),
    "a slash": ("/", "absolute"),
    "two slashes": ("//", "absolute"),
    "empty part": ("a//b", "''"),
    "trailing slash": ("a/", "''"),
    "dot": (".", "'.'"),
    "dot part": ("a/./b", "'.'"),
    "dots": ("..", "'..'"),
    "dots first": ("../a", "'..'"),
    "dots last": ("a/..", "'..'"),
    "backslash": ("a\\b", "backslash"),
    "backslash dots": ("..\\a", "backslash"),
    "NUL": ("a\0b", "NUL"),
    "half a character": ("a\ud800", "UTF-8"),
    "too long": ("a" * (MAX_NAME_BYTES + 1), "4097 bytes"),
    "too long in bytes": ("é" * (MAX_NAME_BYTES // 2 + 1), "4098 bytes"),
}


@pytest.mark.parametrize(("name", "said"), BAD.values(), ids=BAD)
def test_what_is_no_name_is_refused_and_told_why(name: str, said: str) -> None:
    """Each kind of wrong name has an error that says what is wrong with it, in one short line."""
    with pytest.raises(InvalidNameError) as caught:
        check_name(name)
    assert said in caught.value.message
    assert caught.value.name == name
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "name", ["a" * MAX_NAME_BYTES, "é" * (MAX_NAME_BYTES // 2), "...", "..a", "a..", " ", "~", "-rf", "C:"]
)
def test_what_looks_odd_is_still_a_name(name: str) -> None:
    """The longest names, and parts that only look special, are valid."""
    assert check_name(name) == (name,)


@given(names)
def test_a_prefix_is_a_name_with_or_without_a_slash(name: str) -> None:
    """A prefix has the same parts as the name; one trailing slash is ignored, two are refused."""
    assert check_prefix(name) == check_name(name)
    assert check_prefix(name + "/") == check_name(name)
    with pytest.raises(InvalidNameError):
        check_prefix(name + "//")


def test_the_empty_prefix_is_everything() -> None:
    """No prefix has no parts."""
    assert check_prefix("") == ()


@given(st.text(st.sampled_from("ab./\\\0"), min_size=1, max_size=8))
def test_what_is_no_name_is_no_prefix(text: str) -> None:
    """A text that is not a valid name is not a valid prefix."""
    assume(not text.endswith("/"))
    try:
        accepted = check_name(text)
    except InvalidNameError:
        with pytest.raises(InvalidNameError):
            check_prefix(text)
    else:
        assert check_prefix(text) == accepted


def test_a_slash_is_no_prefix() -> None:
    """The root has no name: everything is the empty prefix."""
    with pytest.raises(InvalidNameError):
        check_prefix("/")


@given(st.lists(st.sampled_from(["a", ".a", "a.", "a.b", "..a", "..."]), min_size=1, max_size=4))
def test_a_name_is_hidden_if_one_of_its_parts_is(parts: list[str]) -> None:
    """A name is hidden exactly if some part of it begins with a dot."""
    assert is_hidden("/".join(parts)) == any(part.startswith(".") for part in parts)
