"""`unspool rm` against a real server: the output, the exit codes, and what stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from processes import Outcome, Serving, serving, unspool
from unspool.cli.advice import advice
from unspool.errors import FileChangedError, NotAFileError, UnreachableError


@pytest.fixture
def files(root: Path) -> Path:
    """The directory that is served, with some files."""
    (root / "dir/deep").mkdir(parents=True, exist_ok=True)
    for name, size in (("dir/a", 2048), ("dir/b", 3), ("dir/deep/c", 5), ("other", 1)):
        (root / name).write_bytes(bytes(size))
    return root


def rm(server: Serving, *arguments: str) -> Outcome:
    """Run `unspool rm`; a word that begins with `:` is a URL of the server."""
    return unspool("rm", *(f"{server.address}{one[1:]}" if one.startswith(":") else one for one in arguments))


def names(root: Path) -> list[str]:
    """Return the names of the files that are there."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("[!.]*") if path.is_file() and ".unspool" not in str(path))


def test_files_are_deleted(server: Serving, files: Path) -> None:
    """Each has a line on standard error; the second time it is not found, and the other one is deleted all the same."""
    done = rm(server, ":/dir/a", ":/dir/b")
    assert (done.code, done.out) == (0, b"")
    assert done.err.splitlines() == [f"{server.address}/dir/a: deleted (2.0 KiB)", f"{server.address}/dir/b: deleted (3 B)"]
    assert names(files) == ["dir/deep/c", "other"]
    again = rm(server, ":/dir/a", ":/other")
    assert again.code == 10
    assert "dir/a: no such file" in again.err
    assert again.err.splitlines()[-1] == "unspool: 1 of 2 files failed; the others are deleted"
    assert names(files) == ["dir/deep/c"]
    only = rm(server, "--json", ":/dir/a")
    assert (only.code, json.loads(only.out)["reason"]) == (3, "FILE_NOT_FOUND")
    assert "`unspool ls` shows what there is" in only.complaint


def test_a_revision_that_is_another_is_left(server: Serving, files: Path) -> None:
    """With --if-revision only the file that was meant is deleted; JSON says which that was."""
    wrong = rm(server, "--if-revision", "x", ":/dir/a")
    assert wrong.code == 5
    assert "`unspool stat` shows its revision" in wrong.complaint
    revision = json.loads(unspool("stat", "--json", f"{server.address}/dir/a").out)["revision"]
    told = json.loads(rm(server, "--json", "--if-revision", revision, ":/dir/a").out)
    assert told == {"name": "dir/a", "size": 2048, "revision": revision}
    assert "dir/a" not in names(files)


def test_a_dry_run_deletes_nothing(server: Serving, files: Path) -> None:
    """It prints what would go, of a file and of a tree, and fails as the deletion would."""
    before = names(files)
    tree = rm(server, "-rn", ":/dir")
    assert sorted(line.split() for line in tree.lines) == [["2048", "dir/a"], ["3", "dir/b"], ["5", "dir/deep/c"]]
    assert tree.err.splitlines() == ["would delete 3 files, 2.0 KiB"]
    both = rm(server, "--dry-run", ":/other", ":/never")
    assert both.code == 10
    assert both.err.splitlines()[1:] == ["would delete 1 file, 1 B, 1 would fail", "unspool: 1 file would fail"]
    assert rm(server, "-n", "--if-revision", "x", ":/other").code == 5
    assert names(files) == before


def test_a_tree_is_deleted(server: Serving, files: Path) -> None:
    """All files below the prefix; directories and what the server does not list stay, and are said."""
    (files / "dir/link").symlink_to("nowhere")
    planned = rm(server, "-rnv", ":/dir")
    assert planned.err.splitlines()[1:] == [
        "left out: dir/link (link that leads nowhere)",
        "1 name was left out: 1 link that leads nowhere",
    ]
    done = rm(server, "-rv", ":/dir")
    assert done.code == 0
    lines = done.err.splitlines()
    assert lines[0].startswith(f"{server.address}/dir: 3 files, 2.0 KiB in ")
    assert lines[0].endswith(": 3 deleted")
    assert lines[1] == "left out: dir/link (link that leads nowhere)"
    assert names(files) == ["other"]
    assert (files / "dir/deep").is_dir()
    assert (files / "dir/link").is_symlink()
    (files / "dir/link").unlink()
    empty = json.loads(rm(server, "-r", "--json", ":/dir/").out)
    assert (empty["files"], empty["deleted"], empty["failures"]) == (0, 0, [])


def test_what_cannot_be_meant_is_refused(server: Serving, files: Path) -> None:
    """A directory without -r, a whole server, and options that do not fit, delete nothing."""
    before = names(files)
    directory = rm(server, ":/dir")
    assert (directory.code, "`unspool rm -r` deletes the files of a directory" in directory.complaint) == (3, True)
    for words, said in (
        (["-r", ":"], "is all that the server has"),
        (["-r", ":/"], "is all that the server has"),
        (["--if-revision", "x", "-r", ":/dir"], "--if-revision is for one file"),
        (["--if-revision", "x", ":/dir/a", ":/dir/b"], "--if-revision is for one file"),
        (["--jobs", "2", ":/dir/a"], "add --recursive"),
        ([":/dir/../a"], "dir/../a"),
        ([], "Missing argument"),
    ):
        refused = rm(server, *words)
        assert refused.code == 2, words
        assert said.lower() in refused.err.lower(), words
    assert names(files) == before


def test_a_server_that_only_serves_says_so(tmp_path: Path) -> None:
    """Nothing is deleted, and the line says why."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"a")
    with serving(root, tmp_path / "log") as server:
        for words in (["a"], ["-r", "a"]):
            refused = unspool("rm", *words[:-1], f"{server.address}/{words[-1]}")
            assert refused.code in {2, 10}
            assert "takes no files" in refused.err
    assert (root / "a").exists()


def test_advice_is_about_deleting() -> None:
    """No error of `rm` advises to download or to upload."""
    for error in (FileChangedError("a: changed"), NotAFileError("a: is a directory"), UnreachableError("a: cut")):
        line = advice(error, "h:1/a", command="rm")
        assert "download" not in line
        assert "get" not in line
