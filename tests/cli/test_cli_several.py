"""`unspool get` of several files: which arguments are URLs, where the files go, and the exit code."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.serveddir import Served
from gate import Gate
from processes import ENVIRONMENT, UNSPOOL, eventually, free_port, outcome_of, running, serving, size_of, unspool
from unspool.cli.getcommand import GetCommand
from unspool.cli.putcommand import PutCommand
from unspool.cli.targets import split_words
from unspool.core.address import is_server, is_url, parse_address

# Arguments


@pytest.mark.parametrize(
    ("words", "urls", "dest"),
    [
        ("h/a", ["h/a"], None),
        ("h:1/a", ["h:1/a"], None),
        ("h:1/a out", ["h:1/a"], "out"),
        ("h/a out", ["h/a"], "out"),
        ("h:1/a -", ["h:1/a"], "-"),
        ("h:1/a ./h:1/b", ["h:1/a"], "./h:1/b"),
        ("h:1/a /abs/olute", ["h:1/a"], "/abs/olute"),
        ("h/a h/b", ["h/a"], "h/b"),
        ("h:1/a i:2/b", ["h:1/a", "i:2/b"], None),
        ("h:1/a unspool://i/b", ["h:1/a", "unspool://i/b"], None),
        ("h:1/a [::1]:2/b/c dir", ["h:1/a", "[::1]:2/b/c"], "dir"),
        ("unspool://h/a unspool://h/b dir/", ["unspool://h/a", "unspool://h/b"], "dir/"),
    ],
)
def test_the_last_word_is_the_destination_if_it_is_no_url(words: str, urls: list[str], dest: str | None) -> None:
    """The last of several arguments is the destination unless it has a port and a name, or the scheme."""
    assert split_words(words.split(), listed=False) == (urls, dest)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "Missing argument 'URL'"),
        ("h:1/a i:2", "write ./i:2 for the path"),
        ("h:1/a h/b out", "'h/b' could be a path: a URL has a port or a scheme where there are several, as in unspool://h/b"),
        ("h:1/a out1 out2", "'out1' could be a path"),
        ("h/a i:1/b", "'h/a' could be a path"),
    ],
)
def test_what_could_be_both_is_refused(words: str, said: str) -> None:
    """An argument that could be a URL or a path is a usage error that shows how to write each."""
    with pytest.raises(click.UsageError, match=said.replace(".", r"\.")):
        split_words(words.split(), listed=False)


def test_a_url_that_is_a_path_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last argument is a URL, and its directory exists here as well, it is a usage error."""
    monkeypatch.chdir(tmp_path)
    assert split_words(["h:1/a", "h:1/b"], listed=False) == (["h:1/a", "h:1/b"], None)
    (tmp_path / "h:1").mkdir()
    with pytest.raises(click.UsageError, match=r"write unspool://h:1/b or \./h:1/b"):
        split_words(["h:1/a", "h:1/b"], listed=False)
    for sure in ("unspool://h:1/b", "./h:1/b"):
        split_words(["h:1/a", sure], listed=False)


@given(st.text(max_size=20))
def test_a_url_is_never_taken_for_a_server_or_a_relative_path(text: str) -> None:
    """No text is a URL and a bare server at once; a text that begins with `./` or `/` is a path."""
    assert not (is_url(text) and is_server(text))
    assert not is_url("./" + text)
    assert not is_url("/" + text)


@given(st.from_regex(r"[a-z.]{1,9}", fullmatch=True), st.integers(0, 65535), st.text(min_size=1, max_size=9))
def test_what_has_a_port_and_a_name_is_a_url(host: str, port: int, name: str) -> None:
    """HOST:PORT/NAME is a URL, and parsed as one, whatever the name."""
    url = f"{host}:{port}/{name}"
    assert is_url(url)
    if not name.startswith("/"):
        assert parse_address(url).name == name


@pytest.mark.parametrize("option", GetCommand.habits)
def test_habits_are_answered_with_what_to_write(tmp_path: Path, option: str) -> None:
    """Options of curl, wget, aria2 and rsync are a usage error of `get` that shows how to write it here."""
    done = unspool("get", "localhost:1/a", option, "out", cwd=tmp_path)
    assert done.code == 2
    assert f"there is no {option}: {GetCommand.habits[option]}" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", PutCommand.habits)
def test_habits_of_uploading_are_answered_with_what_to_write(tmp_path: Path, option: str) -> None:
    """The same for `put`, with the options of curl and rsync."""
    done = unspool("put", option, "in", "localhost:1/a", cwd=tmp_path)
    assert done.code == 2
    assert f"there is no {option}: {PutCommand.habits[option]}" in done.err


# Files


@pytest.fixture
def other(tmp_path: Path) -> Iterator[str]:
    """Run another server; yield its address."""
    root = tmp_path / "other"
    root.mkdir()
    (root / "theirs.bin").write_bytes(b"theirs")
    (root / "hello.txt").write_bytes(b"another hello")
    with serving(root, tmp_path / "other.log") as server:
        yield server.address


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return an empty directory."""
    path = tmp_path / "out"
    path.mkdir()
    return path


def here(directory: Path) -> dict[str, bytes]:
    """Return the files in a directory."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_several_files_of_several_servers_arrive_in_a_directory(served: Served, other: str, out: Path) -> None:
    """Each file gets the last part of its name in DEST; one line has the totals; a second run finds all complete."""
    urls = [served.url("hello.txt"), served.url("sub/data.bin"), f"{other}/theirs.bin"]
    done = unspool("get", *urls, out)
    assert (done.code, done.out) == (0, b"")
    assert here(out) == {
        "hello.txt": served.files["hello.txt"],
        "data.bin": served.files["sub/data.bin"],
        "theirs.bin": b"theirs",
    }
    assert f"{out}: 3 files, 2.9 MiB" in done.complaint
    assert done.complaint.endswith("3 fetched, 0 already here, each verified as a whole")
    assert unspool("get", *urls, out).complaint.endswith("0 fetched, 3 already here")


def test_without_a_directory_they_arrive_here(served: Served, out: Path) -> None:
    """If all arguments are URLs, the files go to the current directory."""
    assert unspool("get", "--quiet", served.url("hello.txt"), served.url("empty"), cwd=out).code == 0
    assert set(here(out)) == {"hello.txt", "empty"}


@pytest.mark.parametrize("way", ["FILE", "-"])
def test_a_list_names_more_files(served: Served, tmp_path: Path, out: Path, way: str) -> None:
    """-i reads URLs from a file or from standard input; comments and blank lines are ignored, and repeated URLs count once."""
    text = f"# two files\r\n\n  {served.url('hello.txt')}  \r\n{served.url('empty')}\n{served.url('empty')}"
    (tmp_path / "list").write_text(text)
    done = subprocess.run(
        [*UNSPOOL, "get", "-i", str(tmp_path / "list") if way == "FILE" else "-", served.url("sub/deeper/leaf"), out],
        env=ENVIRONMENT,
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"3 files" in done.stderr
    assert set(here(out)) == {"hello.txt", "empty", "leaf"}


def test_an_empty_list_is_nothing_to_do(tmp_path: Path, out: Path) -> None:
    """A list without a URL is success, and creates nothing."""
    (tmp_path / "list").write_text("# nothing\n")
    done = unspool("get", "-i", tmp_path / "list", out)
    assert (done.code, here(out)) == (0, {})
    assert "0 files" in done.complaint


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("h:1/a\n\nh:99999/b\n", "line 3: 'h:99999/b' does not name a server"),
        ("h:1\n", "line 1: the file name is empty"),
        ("h:1/a/../b", "line 1: 'a/../b' has a part that is '..'"),
        ("h:1/a\n\xff", "line 2 is not UTF-8"),
    ],
)
def test_an_error_in_a_list_names_the_line(tmp_path: Path, out: Path, lines: str, words: str) -> None:
    """A line that is not a URL is exit 2, named with file and line, and nothing is fetched."""
    (tmp_path / "list").write_bytes(lines.encode("latin-1"))
    done = unspool("get", "-i", tmp_path / "list", out)
    assert done.code == 2
    assert f"{tmp_path / 'list'}: {words}" in done.complaint
    assert here(out) == {}


def test_a_list_that_is_not_there_is_exit_8(tmp_path: Path, out: Path) -> None:
    """A list that cannot be read is a local file error."""
    done = unspool("get", "-i", tmp_path / "list", out)
    assert (done.code, done.complaint) == (8, f"unspool: {tmp_path / 'list'}: no such file or directory")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("U/hello.txt U/empty -", "cannot go to standard output"),
        ("U/hello.txt U/empty nodir", "'nodir' is not a directory, and several files need one"),
        ("U/hello.txt U/sub/data.bin O/hello.txt", "would both be hello.txt: get them into different directories"),
        ("-r U/sub U/many .", "--recursive takes one URL"),
    ],
)
def test_several_files_without_a_place_are_a_usage_error(
    served: Served, other: str, out: Path, arguments: str, words: str
) -> None:
    """Several files need a directory, and different names in it: otherwise exit 2, and nothing is created."""
    done = unspool("get", *(a.replace("U", served.server.address).replace("O", other) for a in arguments.split()), cwd=out)
    assert done.code == 2
    assert words in done.err
    assert here(out) == {}


# Failures


def test_one_that_fails_stops_no_other(served: Served, out: Path) -> None:
    """A file that fails is a line of its own, the others arrive, and the exit code is 10, whichever server is down."""
    (out / "empty").mkdir()
    with free_port() as port:
        done = unspool(
            "get",
            "--quiet",
            "--retry-budget=0",
            f"127.0.0.1:{port}/dead",
            served.url("nope"),
            served.url("empty"),
            served.url("hello.txt"),
            out,
        )
    assert done.code == 10
    lines = done.err.splitlines()
    assert len(lines) == 4
    assert [line.startswith("unspool: ") for line in lines] == [True] * 4
    for name in (f"127.0.0.1:{port}/dead", "nope", "empty: is a directory"):
        assert any(name in line for line in lines[:3])
    assert lines[3] == "unspool: 3 of 4 files failed; the others are here"
    assert (out / "hello.txt").read_bytes() == served.files["hello.txt"]


def test_what_all_failed_with_is_the_exit_code(served: Served, out: Path) -> None:
    """If all files fail with one code, it is the exit code; with several codes it is 10."""
    assert unspool("get", served.url("no"), served.url("nope"), out).code == 3
    with free_port() as port:
        mixed = unspool("get", "--retry-budget=0", served.url("no"), f"127.0.0.1:{port}/dead", out)
    assert mixed.code == 10


def test_json_is_one_object_for_each_file(served: Served, out: Path) -> None:
    """--json prints a line for each file: its URL, and its result or error."""
    done = unspool("get", "--json", served.url("hello.txt"), served.url("nope"), out)
    assert done.code == 10
    objects = {one["url"]: one for one in map(json.loads, done.lines)}
    assert set(objects) == {served.url("hello.txt"), served.url("nope")}
    good, bad = objects[served.url("hello.txt")], objects[served.url("nope")]
    assert (good["size"], good["verified"], good["path"]) == (13, "file", str(out / "hello.txt"))
    assert (bad["reason"], bad["exit_code"]) == ("FILE_NOT_FOUND", 3)
    assert "nope" in bad["error"]


def test_an_interrupted_list_goes_on(served: Served, tmp_path: Path, out: Path) -> None:
    """After an interruption the same command resumes each file from its last good byte."""
    part = out / "big.bin.unspool-part"
    with (
        Gate(served.server.address, 20 << 20) as gate,
        running("get", "-q", f"{gate.address}/big.bin", served.url("empty"), out) as first,
    ):
        eventually(lambda: size_of(part) > 4 << 20 and (out / "empty").exists())
        first.send_signal(2)
        ended = outcome_of(first)
    assert ended.code == 130
    assert "interrupted; run the same command again" in ended.complaint
    done = unspool("get", "--json", served.url("big.bin"), served.url("empty"), out)
    assert done.code == 0, done.err
    (big,) = [one for one in map(json.loads, done.lines) if one["name"] == "big.bin"]
    assert big["resumed_from"] > 0
    assert (out / "big.bin").read_bytes() == served.files["big.bin"]
