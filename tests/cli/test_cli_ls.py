"""`unspool ls` on a terminal: sorted, with units and totals."""

from __future__ import annotations

import io
import os
import pty
import subprocess
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.serveddir import ODD, Served
from processes import ENVIRONMENT, UNSPOOL, unspool
from unspool.cli.ls import TextLines
from unspool.cli.output import printable
from unspool.core.model import FileInfo


def on_a_terminal(*arguments: str) -> list[str]:
    """Run `unspool ARGUMENTS` with a terminal as its standard output; return the lines."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*UNSPOOL, *arguments], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.STDOUT
    ) as process:
        os.close(theirs)
        text = b""
        try:
            while data := os.read(ours, 1 << 16):
                text += data
        except OSError:  # how Linux reports the end of a terminal
            pass
        os.close(ours)
        assert process.wait(30) == 0
    return text.decode().splitlines()


def test_a_terminal_shows_a_sorted_list(served: Served) -> None:
    """On a terminal entries are sorted by name, prefixes among the files."""
    *entries, omitted = on_a_terminal("ls", served.url())
    assert entries == sorted(["big.bin", "empty", "hello.txt", "many/", printable(ODD), "sub/"])
    assert "1 link that leads outside" in omitted
    assert on_a_terminal("ls", served.url("many")) == [f"many/{number:04}" for number in range(2500)]


def test_a_long_list_ends_with_totals(served: Served) -> None:
    """-l on a terminal ends with the numbers of prefixes and files, and the bytes of the files."""
    *rows, totals, _ = on_a_terminal("ls", "-l", served.url())
    assert totals == "2 prefixes, 4 files, 48.0 MiB"
    assert [row.split()[0] for row in rows if row.endswith("hello.txt")] == ["13"]
    assert on_a_terminal("ls", "-lr", served.url("sub"))[-1] == "2 files, 2.9 MiB"
    assert on_a_terminal("ls", "-l", served.url("hello.txt"))[-1] == "1 file, 13 B"


def test_human_sizes_have_units(served: Served) -> None:
    """-h prints sizes with units; without it they are in bytes, so that programs can add them."""
    rows = on_a_terminal("ls", "-lhr", served.url("sub"))
    assert rows[0].split()[:2] == ["2.9", "MiB"]
    assert unspool("ls", "-lh", served.url("sub/data.bin")).lines[0].split()[:2] == ["2.9", "MiB"]


def test_json_on_a_terminal_is_as_elsewhere(served: Served) -> None:
    """--json on a terminal prints one object a line, without totals."""
    lines = on_a_terminal("ls", "--json", "-l", served.url("sub"))
    assert [line[0] + line[-1] for line in lines] == ["{}", "{}"]


def test_help_is_asked_for_by_its_whole_name(served: Served) -> None:
    """`ls --help` prints the help, and `ls -h` does not."""
    assert "--human-readable" in unspool("ls", "--help").out.decode()
    assert unspool("ls", "-h", served.url("hello.txt")).lines == ["hello.txt"]


def infos(*names: str) -> list[FileInfo]:
    """Return files of one byte."""
    return [FileInfo(name, 1, "r") for name in names]


def test_what_is_collected_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    """If there are too many entries to sort, the sorted ones are printed, then a line says so, then the rest follows."""
    lines = TextLines(long=False, human=False, sort=True, most=3)
    lines.add([], infos("c", "b"))
    assert capsys.readouterr().out == ""
    lines.add(["a/"], infos("d"))
    said = capsys.readouterr()
    assert said.out == "a/\nb\nc\nd\n"
    assert said.err == "unspool: more than 3 entries: those from here on are not sorted\n"
    lines.add([], infos("z", "y"))
    lines.flush()
    lines.end()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("z\ny\n", "")


def test_what_came_before_a_listing_broke_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """If the listing breaks, the entries collected for sorting are printed without totals."""
    lines = TextLines(long=True, human=False, sort=True)
    lines.add([], infos("b", "a"))
    lines.flush()
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["a", "b"]


@given(st.lists(st.lists(st.text("ab/", min_size=1), max_size=5), max_size=5), st.booleans())
def test_every_entry_is_printed_once(pages: list[list[str]], sort: bool) -> None:  # noqa: FBT001
    """For any pages, every entry is a line, sorted on a terminal and in the server's order elsewhere."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
        lines = TextLines(long=False, human=False, sort=sort, most=8)
        for page in pages:
            lines.add([], infos(*page))
        lines.flush()
        lines.end()
    printed = out.getvalue().splitlines()
    names = [name for page in pages for name in page]
    assert sorted(printed) == sorted(names)
    if not sort:
        assert printed == names
    elif len(names) <= 8:
        assert printed == sorted(names)
