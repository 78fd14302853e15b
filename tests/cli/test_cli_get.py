"""`unspool get`: the destination, the output, and the options."""

import json
import os
from pathlib import Path

import pytest
from crc32c import crc32c

from cli.serveddir import ODD, Served
from processes import serving, unspool

RESULT = {
    "name",
    "path",
    "size",
    "revision",
    "verified",
    "crc32c",
    "bytes_received",
    "resumed_from",
    "attempts",
    "restarts",
    "seconds",
    "already_here",
    "servers",
    "without",
}


def result_of(*arguments: str | Path) -> dict[str, object]:
    """Run `unspool get --json ARGUMENTS` and return its output."""
    done = unspool("get", "--json", *arguments)
    assert done.code == 0, done.err
    assert done.err == ""
    (line,) = done.lines
    result: dict[str, object] = json.loads(line)
    return result


@pytest.mark.parametrize("name", ["hello.txt", "sub/data.bin", "empty", ODD])
def test_it_arrives_at_a_path(served: Served, tmp_path: Path, name: str) -> None:
    """DEST is the file's final name, and nothing else is left."""
    done = unspool("get", served.url(name), tmp_path / "out")
    assert done.code == 0, done.err
    assert (tmp_path / "out").read_bytes() == served.files[name]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert "verified" in done.complaint
    assert done.out == b""


def test_a_directory_gets_the_last_part_of_the_name(served: Served, tmp_path: Path) -> None:
    """If DEST is a directory, the file gets the last part of its name there."""
    assert unspool("get", served.url("sub/data.bin"), tmp_path).code == 0
    assert (tmp_path / "data.bin").read_bytes() == served.files["sub/data.bin"]


def test_without_dest_it_arrives_in_the_current_directory(served: Served, tmp_path: Path) -> None:
    """Without DEST the file goes to the current directory, under the last part of its name."""
    assert unspool("get", f"unspool://{served.url('sub/data.bin')}", cwd=tmp_path).code == 0
    assert (tmp_path / "data.bin").read_bytes() == served.files["sub/data.bin"]


def test_a_dash_is_standard_output(served: Served, tmp_path: Path) -> None:
    """DEST - writes exactly the file's bytes to standard output, and everything else to standard error."""
    done = unspool("get", served.url("sub/data.bin"), "-", cwd=tmp_path)
    assert done.code == 0
    assert done.out == served.files["sub/data.bin"]
    assert "verified" in done.complaint
    assert list(tmp_path.iterdir()) == []


def test_json_to_standard_output_stays_apart(served: Served) -> None:
    """With DEST - the JSON object goes to standard error, so that it is not part of the file."""
    done = unspool("get", "--json", served.url("hello.txt"), "-")
    assert done.out == served.files["hello.txt"]
    assert json.loads(done.err)["path"] is None


def test_json_is_one_object_with_these_fields(served: Served, tmp_path: Path) -> None:
    """--json prints one object with exactly the documented fields and the right values."""
    data = served.files["sub/data.bin"]
    result = result_of(served.url("sub/data.bin"), tmp_path / "out")
    assert set(result) == RESULT
    assert result["name"] == "sub/data.bin"
    assert result["path"] == str(tmp_path / "out")
    assert result["size"] == result["bytes_received"] == len(data)
    assert result["verified"] == "file"
    assert (result["resumed_from"], result["attempts"], result["restarts"]) == (0, 1, 0)
    assert result["crc32c"] == crc32c(data)
    said = json.loads(unspool("stat", "--json", served.url("sub/data.bin")).out)
    assert said["revision"] == result["revision"]
    assert said["crc32c"] in {result["crc32c"], None}  # remembered only if the system reports whether a process is writing


def test_quiet_prints_nothing(served: Served, tmp_path: Path) -> None:
    """--quiet prints nothing on success."""
    done = unspool("get", "--quiet", served.url("hello.txt"), tmp_path / "out")
    assert (done.code, done.out, done.err) == (0, b"", "")


def test_a_file_that_is_there_already_is_success_at_once(served: Served, tmp_path: Path) -> None:
    """An equal file at DEST is success: no byte is fetched or written, and it gets the server's time."""
    destination = tmp_path / "out"
    destination.write_bytes(served.files["sub/data.bin"])
    before = destination.stat()
    result = result_of(served.url("sub/data.bin"), destination)
    assert result["bytes_received"] == 0
    assert result["resumed_from"] == result["size"] == len(served.files["sub/data.bin"])
    assert result["verified"] == "file"
    after = destination.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, (served.root / "sub/data.bin").stat().st_mtime_ns)
    assert "already complete" in unspool("get", served.url("sub/data.bin"), destination).err


def test_a_different_file_is_replaced_unless_forbidden(served: Served, tmp_path: Path) -> None:
    """A different file at DEST is replaced by default, and kept under --no-overwrite, with exit 8."""
    destination = tmp_path / "out"
    destination.write_bytes(b"mine")
    refused = unspool("get", "--no-overwrite", served.url("hello.txt"), destination)
    assert refused.code == 8
    assert str(destination) in refused.complaint
    assert "--overwrite" in refused.complaint
    assert destination.read_bytes() == b"mine"
    assert unspool("get", served.url("hello.txt"), destination).code == 0
    assert destination.read_bytes() == served.files["hello.txt"]


def test_no_overwrite_minds_only_different_files(served: Served, tmp_path: Path) -> None:
    """--no-overwrite allows a new file and an equal one."""
    for _ in range(2):
        assert unspool("get", "--no-overwrite", served.url("hello.txt"), tmp_path / "out").code == 0
    assert (tmp_path / "out").read_bytes() == served.files["hello.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_destinations_permissions_stay(served: Served, tmp_path: Path) -> None:
    """A replaced file keeps its permissions."""
    destination = tmp_path / "out"
    destination.write_bytes(b"mine")
    destination.chmod(0o640)
    assert unspool("get", served.url("hello.txt"), destination).code == 0
    assert destination.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("destination", [".", "-"])
def test_control_characters_never_reach_the_terminal(served: Served, tmp_path: Path, destination: str) -> None:
    """A name with an escape sequence or a line break is printed escaped, on one line."""
    done = unspool("get", served.url(ODD), destination, cwd=tmp_path)
    assert done.code == 0
    assert "\x1b" not in done.err
    assert "\\x1b" in done.complaint


def test_an_empty_file_that_was_just_made_is_not_said_to_be_there_already(served: Served, tmp_path: Path) -> None:
    """An empty file is downloaded without bytes; only the second run finds it already complete."""
    first, second = (unspool("get", served.url("empty"), cwd=tmp_path) for _ in range(2))
    assert "already complete" not in first.complaint
    assert "already complete" in second.complaint
    assert result_of(served.url("empty"), tmp_path)["already_here"] is True
    assert result_of(served.url("empty"), tmp_path / "other")["already_here"] is False


@pytest.mark.parametrize("recursive", [False, True])
def test_it_has_the_servers_time_and_may_be_run(tmp_path: Path, *, recursive: bool) -> None:
    """A program gets its time and executable bit; --no-times and --no-executable leave both as for any new file."""
    (tmp_path / "root").mkdir()
    tool = tmp_path / "root" / "tool"
    tool.write_bytes(b"#!/bin/sh\nexit 0\n")
    tool.chmod(0o755)
    os.utime(tool, ns=(1_600_000_000_123_456_789,) * 2)
    with serving(tmp_path / "root", tmp_path / "log") as server:
        for options, times, runs in (([], True, True), (["--no-times"], False, True), (["--no-executable"], True, False)):
            out = tmp_path / f"out{len(options)}{times}"
            url = server.address if recursive else f"{server.address}/tool"
            out.mkdir()
            assert unspool("get", *options, *["-r"] * recursive, url, out).code == 0
            assert ((out / "tool").stat().st_mtime_ns == tool.stat().st_mtime_ns) is times
            assert os.access(out / "tool", os.X_OK) is runs


@pytest.mark.parametrize("options", [[], ["--jobs", "4"]])
def test_a_limit_of_the_rate_is_kept(served: Served, tmp_path: Path, options: list[str]) -> None:
    """--limit-rate holds for a real transfer, over all streams: 2.9 MiB at 4 MiB/s take 0.7 s, less a burst of 0.25 s."""
    result = result_of("--limit-rate", "4M", *options, served.url("sub/data.bin"), tmp_path / "out")
    seconds = result["seconds"]
    assert isinstance(seconds, float)
    assert seconds >= len(served.files["sub/data.bin"]) / (4 << 20) - 0.25
    assert (tmp_path / "out").read_bytes() == served.files["sub/data.bin"]
