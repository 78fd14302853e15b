"""Globs and filters: rclone's meaning, and no pattern that keeps a client busy."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core import globs
from unspool.core.filters import Filter, Filters
from unspool.core.globs import Glob
from unspool.core.model import FileInfo
from unspool.errors import InvalidRequestError

# The table of examples in rclone's documentation of filters, without regular expressions and Perl's classes; and more.


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("file.jpg", ["file.jpg", "directory/file.jpg"], ["afile.jpg", "directory/afile.jpg", "file.jpg/x", "file_jpg"]),
        ("/file.jpg", ["file.jpg"], ["afile.jpg", "directory/file.jpg"]),
        ("*.jpg", ["file.jpg", "dir/file.jpg", ".jpg"], ["file.png", "dir/file.png", "file.jpg/x"]),
        ("/*.jpg", ["file.jpg", "file2.jpg"], ["file.png", "dir/file.jpg"]),
        ("*.{jpg,png}", ["file.jpg", "dir/file.png"], ["file.gif", "dir/file.gif"]),
        ("dir/**", ["dir/anyfile", "subdir/dir/subsubdir/anyfile"], ["file.png", "subdir/file.png", "dir"]),
        ("dir/*", ["dir/a", "x/dir/a"], ["dir/a/b", "adir/b"]),
        ("dir/", ["dir/anyfile", "x/dir/y/z"], ["dir", "xdir/a"]),
        ("/dir/", ["dir/anyfile", "dir/y/z"], ["x/dir/y"]),
        ("*.t?t", ["file.txt", "dir/file.tzt"], ["file.qxt", "dir/file.png", "file.t/t"]),
        ("*.[a-z]", ["file.a", "dir/file.b"], ["file.0", "dir/file.1"]),
        ("[!a-z]*", ["0", "d/-x"], ["a", "d/x"]),
        ("[^a]b", ["bb", "d/cb"], ["ab", "b", "/b"]),
        (r"*.\?\?\?", ["file.???", "dir/file.???"], ["file.abc", "dir/file.def"]),
        (r"[\[\]\-]", ["[", "]", "-"], ["\\", "a"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("**", ["a", "a/b/c"], []),
        ("a/**/b", ["a/x/b", "a/x/y/b", "z/a/x/b"], ["a/b"]),
        ("{a,b{c,d/**}}", ["a", "bc", "bd/x/y", "z/bc"], ["b", "bd", "ad"]),
        ("{,x}y", ["y", "xy"], ["zy"]),
        ("a,b", ["a,b"], ["a", "b"]),
        ("a.b+c$(^|)", ["a.b+c$(^|)"], ["aab+c$(^|)"]),
        ("Caf\u00e9", ["Caf\u00e9"], ["cafe\u0301"]),
        ("?", ["\U0001f600", "\n"], ["ab"]),
    ],
)
def test_globs_match_as_rclones_do(pattern: str, matching: list[str], others: list[str]) -> None:
    """Patterns match what rclone's documentation says, and nothing else."""
    glob = Glob(pattern)
    assert [name for name in matching if not glob.matches(name)] == []
    assert [name for name in others if glob.matches(name)] == []


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "1 to 1000 characters"),
        ("a" * 1001, "1 to 1000 characters"),
        ("***", "too many stars"),
        ("[a", "'[' is not closed"),
        ("[a-", "'[' is not closed"),
        ("[]", "brackets are empty"),
        ("[!]", "brackets are empty"),
        ("[z-a]", "range z-a is empty"),
        ("[[:alpha:]]", "within brackets is not supported"),
        ("a]", "closes nothing"),
        ("a}", "closes nothing"),
        ("{a,b", "'{' is not closed"),
        ("*.{{jpe?g}}", "regular expressions"),
        (r"\d", r"\d is not supported"),
        (r"[\w]", r"\w is not supported"),
        ("a\\", "at the end"),
    ],
)
def test_what_is_not_supported_is_an_error(pattern: str, words: str) -> None:
    """An invalid pattern, or rclone syntax that is not supported, is refused in one line and never matched literally."""
    with pytest.raises(InvalidRequestError, match=re.escape(words)) as caught:
        Glob(pattern)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250


LETTERS = "ab/.-"

TEXTS = st.text(LETTERS, max_size=8)


@st.composite
def patterns(draw: st.DrawFn, depth: int = 2) -> tuple[str, str]:
    """Draw a pattern and the regular expression that means the same."""
    glob, regex = "", ""
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["text", "*", "**", "?", "[ab]", "[!a.-]", "{}" if depth else "?"]))
        if kind == "text":
            text = draw(TEXTS.filter(bool))
            glob, regex = glob + text, regex + re.escape(text)
        elif kind == "{}":
            parts = draw(st.lists(patterns(depth - 1), min_size=1, max_size=3))
            inner = ",".join(part for part, _ in parts)
            if inner.startswith("{"):
                continue  # two braces in a row are rclone's regular expressions
            glob, regex = glob + "{" + inner + "}", regex + "(?:" + "|".join(part for _, part in parts) + ")"
        else:
            if kind[0] == "*" and glob.endswith("*"):
                continue
            means = {"*": "[^/]*", "**": ".*", "?": "[^/]", "[ab]": "[ab]", "[!a.-]": "[^a.\\-/]"}
            glob, regex = glob + kind, regex + means[kind]
    return glob, regex


@given(patterns(), st.lists(TEXTS, max_size=20), st.booleans())
def test_globs_mean_what_regular_expressions_say(pattern: tuple[str, str], names: list[str], anchored: bool) -> None:  # noqa: FBT001
    """A pattern matches exactly the names that the regular expression made from it, as rclone makes it, matches."""
    glob, regex = pattern
    if not glob and not anchored:
        return
    if glob.startswith("/"):
        glob, regex, anchored = glob[1:], regex[1:], True
    if anchored:
        glob = "/" + glob
    if glob.endswith("/"):
        regex += ".*"
    if glob == "/":
        regex = ".*"
    whole = re.compile(("" if anchored else "(?:.*/)?") + regex, re.DOTALL)
    matcher = Glob(glob)
    assert [matcher.matches(name) for name in names] == [bool(whole.fullmatch(name)) for name in names]


@given(st.text(max_size=30), st.text(max_size=30))
def test_every_pattern_is_matched_or_refused(pattern: str, name: str) -> None:
    """Any pattern either is refused with our error or matches names."""
    try:
        glob = Glob(pattern)
    except InvalidRequestError:
        return
    assert glob.matches(name) in (True, False)


@given(st.text(min_size=1, max_size=30))
def test_what_is_escaped_stands_for_itself(text: str) -> None:
    """A name with every special character escaped is a pattern for that name."""
    escaped = "".join(f"\\{c}" if c in "*?[]{}\\" else c for c in text)
    if not escaped.endswith("/"):
        assert Glob("/" + escaped).matches(text)


def test_no_name_keeps_a_pattern_busy() -> None:
    """Matching many stars takes time linear in the length of the name; a regular expression would take years."""
    glob = Glob("*a*a*a*a*a*a*a*a*{a*a*a*,**a**a}*b")
    began = time.process_time()
    assert not glob.matches("a" * 4096)
    assert time.process_time() - began < 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are remembered up to a limit, and forgetting them changes no answer."""
    monkeypatch.setattr(globs, "_MOST_STEPS", 10)
    glob = Glob("*[x-z]{b,?}")
    names = [f"{chr(0x400 + number)}xb" for number in range(100)]
    assert all(glob.matches(name) for name in names)
    assert glob._remembered <= 10
    assert not glob.matches("xyab/")


# Filters


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        ([], "a.txt b.bak d/a.txt d/c"),
        ([("include", "*.txt")], "a.txt d/a.txt"),
        ([("exclude", "*.bak")], "a.txt d/a.txt d/c"),
        ([("exclude", "d/"), ("include", "*.txt")], "a.txt"),
        ([("include", "*.txt"), ("exclude", "d/")], "a.txt d/a.txt"),
        ([("include", "/a.txt"), ("include", "c")], "a.txt d/c"),
        ([("exclude", "/d/a.txt"), ("exclude", "*.bak")], "a.txt d/c"),
        ([("exclude", "**")], ""),
        ([("exclude", "/d/a*"), ("include", "/d/**")], "d/c"),
    ],
)
def test_the_first_rule_that_matches_decides(rules: list[Filter], taken: str) -> None:
    """The first match wins; without a match a file is taken, unless there is an include."""
    filters = Filters(rules)
    infos = [FileInfo(f"p/{name}", 1, "r") for name in ("a.txt", "b.bak", "d/a.txt", "d/c")]
    assert [info.name for info in filters.select(infos, "p/")] == [f"p/{name}" for name in taken.split()]


def test_a_file_listed_by_itself_is_matched_by_its_last_part() -> None:
    """A prefix that is a file lists that file: its last part is matched."""
    filters = Filters([("include", "/a.txt")])
    assert len(filters.select([FileInfo("p/a.txt", 1, "r")], "p/a.txt/")) == 1


def test_a_rule_is_an_include_or_an_exclude() -> None:
    """Another kind of rule is refused, and the message says which there are."""
    with pytest.raises(InvalidRequestError, match="'include' and 'exclude'"):
        Filters([("only", "*")])  # type: ignore[list-item]


@given(st.lists(st.tuples(st.sampled_from(["include", "exclude"]), st.sampled_from(["*", "/a/", "a", "**b", "?/*"]))), TEXTS)
def test_what_comes_behind_a_match_makes_no_difference(rules: list[Filter], name: str) -> None:
    """Rules after the first match have no effect, and neither has a repeated rule."""
    answer = Filters(rules).accept(name)
    first = next((at for at, (_, pattern) in enumerate(rules) if Glob(pattern).matches(name)), None)
    if first is not None:
        assert Filters(rules[: first + 1]).accept(name) == answer == (rules[first][0] == "include")
    assert Filters([rule for rule in rules for _ in range(2)]).accept(name) == answer
