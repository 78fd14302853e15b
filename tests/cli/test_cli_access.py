"""`unspool access`: the decisions of a rules file, the lines that decide, and errors in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from processes import unspool

RULES = """\
[[rule]]
prefix = "a"
who = "alice"
may = "read"
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a file with one rule."""
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def test_a_verdict_is_said_with_its_line_and_as_an_exit_code(rules: Path) -> None:
    """The exit code is 0 if allowed and 4 if denied, and the deciding line is named."""
    yes = unspool("access", "explain", "alice", "read", "a/b", "--rules", rules)
    assert (yes.code, yes.lines) == (0, [f'alice may read a/b: {rules} line 1 grants it to alice below "a"'])
    no = unspool("access", "explain", "@anyone", "list", "a/b", "--rules", rules)
    assert (no.code, no.err) == (4, "")
    assert no.lines == [f'@anyone may not list a/b: {rules} line 1 decides below "a", and does not grant it']


def test_a_file_is_checked(rules: Path) -> None:
    """For a valid file the rules are counted; for an invalid one the line is named."""
    assert unspool("access", "check", "--rules", rules).lines == [f"{rules}: 1 rule, and no error"]
    assert unspool("access", "check", "-q", "--rules", rules).lines == []
    rules.write_text(RULES.replace("read", "reed"))
    bad = unspool("access", "check", "--rules", rules)
    said = f"unspool: {rules}: line 4: 'reed' is no right: there are list, read, write, delete and watch"
    assert (bad.code, bad.complaint) == (2, said)


@pytest.mark.parametrize("words", [("alice", "read", "../a"), ("alice", "reed", "a")])
def test_what_makes_no_sense_is_a_usage_error(rules: Path, words: tuple[str, ...]) -> None:
    """An invalid name or right is an error."""
    assert unspool("access", "explain", *words, "--rules", rules).code == 2
