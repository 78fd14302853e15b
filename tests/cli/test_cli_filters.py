"""`--include` and `--exclude` of `get -r` and `ls -r`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.serveddir import Served
from processes import unspool
from unspool.core.counted import counted


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("--include h*.txt", ["hello.txt"]),
        ("--include=h*.txt --include leaf", ["hello.txt", "sub/deeper/leaf"]),
        ("--exclude many/ --exclude=big.bin --exclude odd*", ["empty", "hello.txt", "sub/data.bin", "sub/deeper/leaf"]),
        ("--exclude sub/deeper/ --include sub/", ["sub/data.bin"]),
        ("--include sub/ --exclude sub/deeper/", ["sub/data.bin", "sub/deeper/leaf"]),
        ("--include /s*/*.bin", ["sub/data.bin"]),
        ("--exclude **", []),
    ],
)
def test_the_order_of_the_command_line_decides(served: Served, tmp_path: Path, options: str, names: list[str]) -> None:
    """`get -r` fetches and `ls -r` lists exactly the files that the first matching option includes."""
    arguments = options.split()
    assert sorted(unspool("ls", "-r", *arguments, served.url()).lines) == names
    done = unspool("get", "-r", *arguments, served.url(), tmp_path / "out")
    assert done.code == 0, done.err
    assert f"out: {counted(len(names), 'file')}" in done.err
    here = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {str(path) for path in here if ".unspool-tree" not in path.parts} == set(names)


def test_patterns_are_about_names_below_the_url(served: Served) -> None:
    """A leading slash is the directory of the URL, not the server's root."""
    assert unspool("ls", "-r", "--include", "/data.bin", served.url("sub")).lines == ["sub/data.bin"]
    assert unspool("ls", "-r", "--include", "/sub/data.bin", served.url("sub")).lines == []


@pytest.mark.parametrize("command", [["get", "URL", "OUT"], ["ls", "URL"]])
def test_filters_without_a_tree_are_a_usage_error(served: Served, tmp_path: Path, command: list[str]) -> None:
    """Without -r these options are exit 2, and the message says what to add."""
    arguments = [a.replace("URL", served.url("hello.txt")).replace("OUT", str(tmp_path / "out")) for a in command]
    done = unspool(*arguments, "--exclude", "*.bak")
    assert done.code == 2
    assert "--exclude chooses among the files of a tree: add --recursive" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pattern", ["***", "[", "{{x}}", r"\d", ""])
def test_a_pattern_that_makes_no_sense_is_exit_2(served: Served, tmp_path: Path, pattern: str) -> None:
    """An unsupported pattern is one line and exit 2, before any request."""
    done = unspool("get", "-r", "--include", pattern, served.url(), tmp_path / "out")
    assert done.code == 2
    assert f"the pattern {pattern!r} makes no sense" in done.complaint
    assert list(tmp_path.iterdir()) == []
