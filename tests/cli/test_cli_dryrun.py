"""`unspool get --dry-run`: it prints what `get` would do, and changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cli.serveddir import Served
from processes import free_port, unspool


def everything(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return everything below a directory: times, types and bytes."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [directory, *sorted(directory.rglob("*"))]
    }


def planned(lines: list[str]) -> dict[str, int]:
    """Return the printed names and sizes."""
    return {name: int(size) for size, name in (line.split(maxsplit=1) for line in lines)}


def test_a_tree_that_is_not_here_would_be_fetched_whole(served: Served, tmp_path: Path) -> None:
    """Names and sizes of all files are printed, and totals; no directory is created."""
    done = unspool("get", "-r", "--dry-run", served.url("sub"), tmp_path / "out")
    assert done.code == 0
    assert planned(done.lines) == {name: len(data) for name, data in served.files.items() if name.startswith("sub/")}
    assert done.complaint == "would fetch 2 files, 2.9 MiB; 0 already here"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("record", [[], ["--record", "record"]])
def test_it_says_what_the_next_run_does(served: Served, tmp_path: Path, record: list[str]) -> None:
    """Files that the record lists are not printed; missing and changed files are; a real run fetches exactly those."""
    arguments = ["-r", *record, "--exclude", "big.bin", "--exclude", "many/", served.server.address, "out"]
    assert unspool("get", *arguments, cwd=tmp_path).code == 0
    (tmp_path / "out" / "hello.txt").unlink()
    (tmp_path / "out" / "sub" / "deeper" / "leaf").write_bytes(b"LEAF!")
    before = everything(tmp_path)
    done = unspool("get", "--dry-run", *arguments, cwd=tmp_path)
    assert done.code == 0
    assert everything(tmp_path) == before
    assert planned(done.lines) == {"hello.txt": 13, "sub/deeper/leaf": 4}
    assert done.err.splitlines() == [
        "would fetch 2 files, 17 B; 3 already here",
        "1 name was left out: 1 link that leads outside (-v names them)",
    ]
    real = unspool("get", "--json", *arguments, cwd=tmp_path)
    result = json.loads(real.out)
    assert (result["fetched"], result["kept"]) == (2, 3)


def test_json_is_an_object_a_file_and_one_of_totals(served: Served, tmp_path: Path) -> None:
    """--json prints an object for each file, and a last one with the totals."""
    done = unspool("get", "-r", "-n", "--json", served.url("sub"), tmp_path / "out")
    *files, totals = map(json.loads, done.lines)
    assert {one["url"]: one["size"] for one in files} == {
        served.url(name): len(data) for name, data in served.files.items() if name.startswith("sub/")
    }
    assert totals == {"files": 2, "size": sum(one["size"] for one in files), "kept": 0, "failed": 0, "omitted": []}
    assert done.err == ""


def test_what_could_not_be_put_there_is_exit_10(served: Served, tmp_path: Path) -> None:
    """A file that cannot be written, or must not be replaced, is a line, and the exit code is that of the real run."""
    out = tmp_path / "out"
    (out / "sub" / "deeper").mkdir(parents=True)
    (out / "sub" / "deeper" / "leaf").mkdir()
    (out / "hello.txt").write_bytes(b"mine")
    arguments = ["-r", "--no-overwrite", "--include", "hello.txt", "--include", "sub/", served.server.address, str(out)]
    before = everything(tmp_path)
    done = unspool("get", "--dry-run", *arguments)
    assert everything(tmp_path) == before
    assert planned(done.lines) == {"sub/data.bin": 3_000_001}
    assert "is not a regular file" in done.err
    assert "--overwrite" in done.err
    assert "1 file, 2.9 MiB; 0 already here, 2 would fail" in done.err
    assert done.code == unspool("get", *arguments).code == 10


def test_a_file_is_looked_up_and_compared(served: Served, tmp_path: Path) -> None:
    """For one file: whether it would be fetched, by size and checksum; nothing is written, not even to standard output."""
    out = tmp_path / "data.bin"
    for data, line in (
        (None, "would fetch 1 file, 2.9 MiB; 0 already here"),
        (bytes(3_000_001), "would fetch 1 file, 2.9 MiB; 0 already here"),
        (served.files["sub/data.bin"], "would fetch 0 files, 0 B; 1 already here"),
    ):
        if data is not None:
            out.write_bytes(data)
        before = everything(tmp_path)
        for destination in (out, tmp_path):
            done = unspool("get", "--dry-run", served.url("sub/data.bin"), destination)
            assert (done.code, done.complaint) == (0, line)
        assert everything(tmp_path) == before
    assert planned(unspool("get", "--dry-run", served.url("hello.txt"), "-").lines) == {"hello.txt": 13}
    assert unspool("get", "--dry-run", "--quiet", served.url("nope"), tmp_path).code == 3


def test_several_files_are_looked_up(served: Served, tmp_path: Path) -> None:
    """For several files: those that would be fetched; a missing one is a line, and exit 10."""
    (tmp_path / "empty").touch()
    urls = [served.url(name) for name in ("hello.txt", "empty", "nope")]
    done = unspool("get", "--dry-run", *urls, tmp_path)
    assert done.code == 10
    assert planned(done.lines) == {"hello.txt": 13}
    assert "nope" in done.err.splitlines()[0]
    assert "would fetch 1 file, 13 B; 1 already here, 1 would fail" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_dead_server_is_exit_7(tmp_path: Path) -> None:
    """Without a server it is exit 7, as for a real run."""
    with free_port() as port:
        done = unspool("get", "-r", "-n", "--retry-budget=0", f"127.0.0.1:{port}/a", tmp_path / "out")
    assert done.code == 7
    assert list(tmp_path.iterdir()) == []


def test_a_record_of_another_tree_is_refused(served: Served, tmp_path: Path) -> None:
    """A dry run refuses another tree's record, too."""
    assert unspool("get", "-r", "--record", "record", served.url("sub"), "out", cwd=tmp_path).code == 0
    done = unspool("get", "-r", "-n", "--record", "record", served.url("sub"), "other", cwd=tmp_path)
    assert done.code == 8
    assert "is the record of" in done.complaint


@pytest.mark.parametrize("damage", ["garbage", "pipe", "directory"])
def test_a_record_that_cannot_be_read_is_not_believed(served: Served, tmp_path: Path, damage: str) -> None:
    """Without a valid record, files are compared; a damaged record is ignored, and nothing hangs."""
    assert unspool("get", "-r", served.url("sub/deeper"), tmp_path / "out").code == 0
    record = tmp_path / "out" / ".unspool-tree" / "record.sqlite"
    record.unlink()
    if damage == "garbage":
        record.write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    elif damage == "pipe":
        os.mkfifo(record)
    else:
        record.mkdir()
    done = unspool("get", "-r", "-n", served.url("sub/deeper"), tmp_path / "out")
    assert done.code == 0
    assert "already here" in done.complaint
