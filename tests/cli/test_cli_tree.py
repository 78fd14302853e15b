"""`unspool get --recursive`: the files, the output, and the exit codes."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from pathlib import Path

import pytest

from cli.plainlines import Lines
from cli.serveddir import Served
from cli.test_cli_progress import STYLE, on_a_terminal
from gate import Gate
from processes import eventually, free_port, outcome_of, running, serving, unspool
from unspool.cli.treeprogress import tree_progress
from unspool.client.events import FileFailed, Restarting, Retrying, TreeAdvanced
from unspool.errors import FileChangedError, NotFoundError, StalledError

MIB = 1 << 20

RESULT = {
    "prefix",
    "path",
    "files",
    "size",
    "fetched",
    "kept",
    "failed",
    "directories",
    "left_out",
    "servers",
    "without",
    "omitted",
    "failures",
    "verified",
    "bytes_received",
    "seconds",
}


def here(directory: Path) -> dict[str, bytes]:
    """Return the files below a directory, without the tree's own."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and ".unspool-tree" not in path.parts
    }


def test_a_tree_arrives_in_a_directory(served: Served, tmp_path: Path) -> None:
    """DEST gets the files below the prefix, and one line has the totals."""
    done = unspool("get", "--recursive", served.url("sub"), tmp_path / "out")
    assert (done.code, done.out) == (0, b"")
    assert here(tmp_path / "out") == {name[4:]: data for name, data in served.files.items() if name.startswith("sub/")}
    assert re.search(r"out: 2 files, 2\.9 MiB in .*: 2 fetched, 0 already here, each verified as a whole$", done.complaint)
    again = unspool("get", "-r", served.url("sub"), tmp_path / "out")
    assert re.search(r"0 fetched, 2 already here$", again.complaint)


def test_everything_a_server_has_arrives(served: Served, tmp_path: Path) -> None:
    """Without a prefix all files are fetched, including those with unusual names, even if there are thousands."""
    done = unspool("get", "--recursive", "--quiet", served.server.address, tmp_path / "out")
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert here(tmp_path / "out") == served.files


def test_without_dest_it_is_the_prefixs_last_part(served: Served, tmp_path: Path) -> None:
    """Without DEST the tree goes to the current directory, into a directory with the last part of the prefix."""
    assert unspool("get", "-r", served.url("sub/deeper/"), cwd=tmp_path).code == 0
    assert here(tmp_path) == {"deeper/leaf": b"leaf"}


def test_json_is_one_object_with_these_fields(served: Served, tmp_path: Path) -> None:
    """--json prints one object with exactly the documented fields and the right values."""
    (tmp_path / "deeper").write_bytes(b"in the way")
    done = unspool("get", "-r", "--json", served.url("sub"), tmp_path)
    assert done.code == 10
    (line,) = done.lines
    result = json.loads(line)
    assert set(result) == RESULT
    assert (result["files"], result["fetched"], result["kept"], result["failed"]) == (2, 1, 0, 1)
    assert result["size"] == sum(len(data) for name, data in served.files.items() if name.startswith("sub/"))
    (failure,) = result["failures"]
    assert (failure["name"], failure["reason"]) == ("sub/deeper/leaf", "LOCAL_FILE")


@pytest.mark.parametrize("options", [[], ["--quiet"], ["--json"]])
def test_10_is_a_tree_with_files_missing(served: Served, tmp_path: Path, options: list[str]) -> None:
    """A file that fails is a line of its own, also with --quiet; the others arrive, and the exit code is 10."""
    (tmp_path / "deeper").write_bytes(b"in the way")
    done = unspool("get", "-r", *options, served.url("sub"), tmp_path)
    assert done.code == 10
    lines = [line for line in done.err.splitlines() if line.startswith("unspool: ")]
    assert len(lines) == 2
    assert re.match(r"unspool: .*sub/deeper/leaf.*not a directory|unspool: .*deeper.*: is not a directory", lines[0])
    assert lines[1].endswith("1 of 2 files failed; the others are here")
    assert here(tmp_path) == {"data.bin": served.files["sub/data.bin"], "deeper": b"in the way"}


def test_no_overwrite_minds_only_different_files(served: Served, tmp_path: Path) -> None:
    """With --no-overwrite a different file stays and is a failure; the rest of the tree arrives."""
    (tmp_path / "data.bin").write_bytes(b"mine")
    done = unspool("get", "-r", "--no-overwrite", served.url("sub"), tmp_path)
    assert done.code == 10
    assert "--overwrite" in done.err
    assert here(tmp_path) == {"data.bin": b"mine", "deeper/leaf": b"leaf"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["URL/sub", "-"], "name a directory"), (["URL"], "name the directory"), (["URL/"], "name the directory")],
)
def test_2_is_a_tree_that_has_no_place(served: Served, tmp_path: Path, arguments: list[str], words: str) -> None:
    """A tree to standard output, and a whole server without DEST, are usage errors."""
    done = unspool("get", "-r", *(a.replace("URL", served.server.address) for a in arguments), cwd=tmp_path)
    assert done.code == 2
    assert words in done.err
    assert list(tmp_path.iterdir()) == []


def test_2_is_a_dialect_that_cannot_list(served: Served, tmp_path: Path) -> None:
    """The tutorial's dialect has no listing, and so no trees: exit 2, and the line says so."""
    done = unspool("get", "-r", "--dialect", "demo", served.url("sub"), tmp_path / "out")
    assert done.code == 2
    assert "cannot list" in done.complaint
    assert list(tmp_path.iterdir()) == []


def test_3_is_a_prefix_that_is_not_there(served: Served, tmp_path: Path) -> None:
    """A missing prefix is exit 3, and no directory is created."""
    done = unspool("get", "-r", served.url("nope"), tmp_path / "out")
    assert done.code == 3
    assert "unspool ls" in done.complaint
    assert list(tmp_path.iterdir()) == []


def test_7_is_nobody_there(tmp_path: Path) -> None:
    """If no server listens it is exit 7, as for one file, and no directory is created."""
    with free_port() as port:
        done = unspool("get", "-r", "--quiet", "--retry-budget", "1", f"127.0.0.1:{port}/a", tmp_path / "out")
    assert done.code == 7
    assert "nobody listens there" in done.complaint
    assert not (tmp_path / "out").exists()


def test_8_is_a_destination_that_is_a_file(served: Served, tmp_path: Path) -> None:
    """A tree into a file is exit 8, and the file stays."""
    (tmp_path / "out").write_bytes(b"mine")
    done = unspool("get", "-r", served.url("sub"), tmp_path / "out")
    assert done.code == 8
    assert "not a directory" in done.complaint
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_9_and_130_are_two_at_once_and_an_interrupt(served: Served, tmp_path: Path) -> None:
    """A second process with the same directory is exit 9 at once; the first one is interrupted, and resumes later."""
    out = tmp_path / "out"
    with Gate(served.server.address, 8 * MIB) as gate:
        with running("get", "-r", "--quiet", gate.address, out) as first:
            part = out / "big.bin.unspool-part"
            eventually(lambda: part.exists() and part.stat().st_size > MIB)
            second = unspool("get", "-r", served.server.address, out)
            assert second.code == 9
            assert "another process" in second.complaint
            first.send_signal(2)
            ended = outcome_of(first)
        assert ended.code == 130
        assert "run the same command again" in ended.complaint
        assert not (out / "big.bin").exists()
    done = unspool("get", "-r", "--json", served.server.address, out)
    assert done.code == 0, done.err
    assert here(out) == served.files
    assert json.loads(done.out)["bytes_received"] < sum(map(len, served.files.values())), "what was here was used"


def test_a_terminal_shows_files_and_bytes(served: Served, tmp_path: Path) -> None:
    """On a terminal a bar shows the number of files so far and in all, and disappears at the end."""
    with (
        Gate(served.server.address, 20 * MIB) as gate,
        on_a_terminal("get", "-r", gate.address, tmp_path / "out") as (terminal, process),
    ):
        terminal.read_until(lambda text: re.search(r"[1-9][0-9]*/[0-9]+\+? files", STYLE.sub("", text)))
        gate.open()
        terminal.read_until(lambda _: False)
        assert process.wait(30) == 0
    assert re.search(rf"\] +[0-9]+/{len(served.files)} files +[0-9.]+/[0-9.]+ MiB", STYLE.sub("", terminal.text))
    assert f"{len(served.files)} fetched" in terminal.text
    assert "\x1b]0" not in terminal.text


def test_plain_lines_come_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe, the progress of the tree is a line every ten seconds, with a plus while the listing grows."""
    lines = Lines(capsys, partial(tree_progress, "host/d", quiet=False))
    assert lines.after(TreeAdvanced(5, MIB, 0, 100, 9 * MIB, listed_all=False, transfer="t"), at=9) == []
    assert lines.after(TreeAdvanced(6, 2 * MIB, 0, 100, 9 * MIB, listed_all=False, transfer="t"), at=10) == [
        "host/d: 6/100+ files, 2.0 MiB here"
    ]
    assert lines.after(TreeAdvanced(7, 2 * MIB, 0, 100, 9 * MIB, listed_all=True, transfer="t"), at=19.9) == []
    assert lines.after(TreeAdvanced(8, 3 * MIB, 0, 100, 9 * MIB, listed_all=True, transfer="t"), at=20) == [
        "host/d: 8/100 files, 3.0/9.0 MiB here"
    ]


def test_plain_lines_of_an_upload_say_where_the_files_are(capsys: pytest.CaptureFixture[str]) -> None:
    """The files of `put -r` are there, not here, and what begins again is what the server has."""
    lines = Lines(capsys, partial(tree_progress, "host/d", quiet=False, sending=True))
    assert lines.after(TreeAdvanced(6, 2 * MIB, 0, 100, 9 * MIB, listed_all=True, transfer="t"), at=10) == [
        "host/d: 6/100 files, 2.0/9.0 MiB there"
    ]
    assert lines.after(Restarting(FileChangedError("a: changed"), 0.0, "t"), at=11) == [
        "host/d: what the server has is not used: a: changed"
    ]


def test_failures_and_retries_are_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that failed is one line with its escaped name; with --quiet nothing else is printed."""
    failed = FileFailed("d/a\x1b.bin", NotFoundError("d/a\x1b.bin: no such file"), "t")
    nameless = FileFailed("d/b.bin", NotFoundError("no such file"), "t")
    retrying = Retrying(StalledError("d/a.bin: the server sent nothing for 30 s"), 1, 0.25, "t")
    for quiet in (False, True):
        lines = Lines(capsys, partial(tree_progress, "host/d", quiet=quiet))
        assert lines.after(failed, at=0) == ["unspool: d/a\\x1b.bin: no such file"]
        assert lines.after(nameless, at=0) == ["unspool: d/b.bin: no such file"]
        said = lines.after(retrying, at=0)
        assert said == ([] if quiet else [f"host/d: retrying in 0.2 s: {retrying.error.message}"])


def test_a_file_is_got_as_without_recursive(served: Served, tmp_path: Path) -> None:
    """`get -r` of a file gets that file, to where `get` would put it, and creates no directory."""
    assert unspool("get", "-r", served.url("sub/data.bin"), cwd=tmp_path).code == 0
    assert (tmp_path / "data.bin").read_bytes() == served.files["sub/data.bin"]
    assert unspool("get", "-r", served.url("hello.txt"), "other", cwd=tmp_path).code == 0
    assert (tmp_path / "other").read_bytes() == served.files["hello.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.bin", "other"]


def test_empty_directories_are_listed_and_made(tmp_path: Path) -> None:
    """`ls -r` lists empty directories with a slash, and `get -r` creates them."""
    (tmp_path / "root" / "a" / "empty").mkdir(parents=True)
    with serving(tmp_path / "root", tmp_path / "log") as server:
        assert unspool("ls", "-r", server.address).lines == ["a/empty/"]
        assert unspool("get", "-r", server.address, tmp_path / "out").code == 0
    assert (tmp_path / "out" / "a" / "empty").is_dir()


OMITTED = {
    "out": "link that leads outside",
    "to-dir": "link to a directory",
    "pipe": "special file",
    "a\\b": "name that cannot",
}
COUNTS = "1 link that leads outside", "1 link to a directory", "1 special file", "1 name that cannot be asked for"


@pytest.mark.parametrize("command", ["ls", "ls -r", "get -r", "get -rn"])
def test_what_is_left_out_is_told(tmp_path: Path, command: str) -> None:
    """Omissions are counted in one line on standard error, named with -v, in --json too, and are neither fetched nor listed."""
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "file").write_bytes(b"x")
    (root / "out").symlink_to("/etc/passwd")
    (root / "to-dir").symlink_to("dir")
    os.mkfifo(root / "pipe")
    (root / "a\\b").touch()
    with serving(root, tmp_path / "log") as server:
        rest = [server.address, tmp_path / "here"] if command.startswith("get") else [server.address]
        short = unspool(*command.split(), *rest)
        long = unspool(*command.split(), "-v", *rest)
        as_json = unspool(*command.split(), "--json", *rest)
        quiet = unspool("get", "-r", "-q", server.address, tmp_path / "here")
    for done in (short, long, as_json, quiet):
        assert done.code == 0
    last = short.err.splitlines()[-1]
    assert last.startswith("4 names were left out: ")
    assert last.endswith(" (-v names them)")
    assert all(count in last for count in COUNTS)
    for name, why in OMITTED.items():
        assert f"left out: {name} ({why}" in long.err
    assert "(-v names them)" not in long.err
    assert (as_json.err, quiet.err) == ("", "")
    objects = [json.loads(line) for line in as_json.lines]
    omitted = objects[-1]["omitted"] if command.startswith("get") else [one["omitted"] for one in objects if "omitted" in one]
    assert {one["name"]: one["count"] for one in omitted} == dict.fromkeys(OMITTED, 1)
    assert here(tmp_path / "here") == {"file": b"x"}


def test_ls_is_silent_where_nothing_is_left_out(tmp_path: Path) -> None:
    """Without omissions there is no line; a single name is in the singular."""
    (tmp_path / "root").mkdir()
    with serving(tmp_path / "root", tmp_path / "log") as server:
        assert unspool("ls", server.address).err == ""
        (tmp_path / "root" / "link").symlink_to("nothing")
        assert unspool("ls", server.address).err == "1 name was left out: 1 link that leads nowhere (-v names them)\n"


@pytest.mark.parametrize("options", [["--record", "record"], ["--no-record"]])
def test_a_record_is_kept_elsewhere_or_not_at_all(served: Served, tmp_path: Path, options: list[str]) -> None:
    """--record and --no-record leave none of unspool's files in DEST, and the next run finds the files."""
    for fetched in (2, 0):
        done = unspool("get", "-r", *options, served.url("sub"), "out", cwd=tmp_path)
        assert done.code == 0, done.err
        assert f"{fetched} fetched" in done.err or options == ["--no-record"], (
            "without a record what has no checksum comes again"
        )
        assert not (tmp_path / "out" / ".unspool-tree").exists()
    assert (tmp_path / "record").exists() == ("--record" in options)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-r --record a --no-record URL out", "exclude each other"),
        ("--record a URL out", "add --recursive"),
        ("--no-record URL out", "add --recursive"),
    ],
)
def test_2_is_a_record_of_no_tree(served: Served, tmp_path: Path, arguments: str, words: str) -> None:
    """Invalid combinations of the options for records are usage errors."""
    done = unspool("get", *arguments.replace("URL", served.url("sub")).split(), cwd=tmp_path)
    assert done.code == 2
    assert words in done.err
    assert list(tmp_path.iterdir()) == []
