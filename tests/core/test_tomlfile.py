"""TOML files whose errors name their line."""

from __future__ import annotations

import pytest

from unspool.core.tomlfile import TomlFile
from unspool.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = [", "a.toml: line 2: not TOML: "),
        ("a = 1\na = 2\n", "a.toml: line 2: not TOML: cannot overwrite a value"),
        ("a = " + "[" * 100_000, "a.toml: line 1: nested too deeply"),
        ("a = " + "1" * 100_000, "a.toml: line 1: not TOML: "),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(text: str, said: str) -> None:
    """An error of syntax names the file and the line."""
    with pytest.raises(InvalidRequestError) as caught:
        TomlFile(text, "a.toml").document()
    assert caught.value.message.startswith(said)


def test_the_line_of_a_key_is_found_however_it_is_written() -> None:
    """Keys may be quoted, and may be in a table; without a line of their own, the table's is returned, or the first."""
    file = TomlFile('# a = 1\na = 1\n"b" = 2\n[c]\nd = 3\n[e]\na = 4\n', "a.toml")
    assert [file.line_of(key) for key in "abcdex"] == [2, 3, 4, 5, 6, 1]
    assert (file.line_of("a", 6), file.line_of("a", 4)) == (7, 4)
