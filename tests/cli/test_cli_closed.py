"""Commands with closed standard descriptors do what they can, and never abort."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from processes import ENVIRONMENT, UNSPOOL, free_port, serving

CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


def run(command: list[str], closed: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command with some of its standard descriptors closed."""
    line = f"{shlex.join([*UNSPOOL, *command])} {closed}"
    return subprocess.run(["sh", "-c", line], env=ENVIRONMENT, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("closed", CLOSED)
def test_a_download_arrives_all_the_same(tmp_path: Path, closed: str) -> None:
    """With standard error closed, `get` still downloads the file."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"hello")
    with serving(tmp_path / "root", tmp_path / "log") as server:
        done = run(["get", f"{server.address}/a", str(tmp_path / "out")], closed)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == b"hello"


@pytest.mark.parametrize("closed", CLOSED)
def test_an_error_has_its_exit_code_all_the_same(tmp_path: Path, closed: str) -> None:
    """If no server listens, the exit code is 7."""
    with free_port() as port:
        done = run(["get", "--retry-budget", "0", f"127.0.0.1:{port}/a", str(tmp_path / "out")], closed)
    assert done.returncode == 7, done.stderr


@pytest.mark.parametrize("command", ["cat", "get"])
def test_bytes_that_can_go_nowhere_are_an_error(tmp_path: Path, command: str) -> None:
    """With standard output closed, nothing is written, and the exit code is 8 with a message."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"hello")
    with serving(tmp_path / "root", tmp_path / "log") as server:
        done = run([command, f"{server.address}/a", *(["-"] if command == "get" else [])], ">&-")
    assert done.returncode == 8
    assert done.stderr.decode() == "unspool: standard output: is closed; nothing can be written to it\n"


@pytest.mark.parametrize("command", ["ls", "stat --json", "verify", "get --json"])
def test_a_result_that_can_go_nowhere_is_an_error(tmp_path: Path, command: str) -> None:
    """The same for commands that print text: exit code 0 would say that somebody was told."""
    (tmp_path / "root").mkdir()
    file = tmp_path / "root" / "a"
    file.write_bytes(b"hello")
    name, *options = command.split()
    more = {"verify": [str(file)], "get": [str(tmp_path / "out")]}
    with serving(tmp_path / "root", tmp_path / "log") as server:
        done = run([name, *options, f"{server.address}/a", *more.get(name, [])], ">&-")
    assert done.returncode == 8
    assert done.stderr.decode() == "unspool: standard output: is closed; nothing can be written to it\n"


def test_an_error_that_can_go_nowhere_as_json_is_told_once(tmp_path: Path) -> None:
    """With `--json` the exit code and the line of an error are the same, though the object goes nowhere."""
    with free_port() as port:
        done = run(["get", "--json", f"127.0.0.1:{port}/a", str(tmp_path / "out")], ">&-")
    assert done.returncode == 7
    assert done.stderr.decode().count("\n") == 1


@pytest.mark.parametrize("closed", CLOSED)
def test_a_server_that_cannot_listen_says_so_by_its_exit_code(tmp_path: Path, closed: str) -> None:
    """`serve` behaves as with open descriptors: for an address that is not of this machine, exit 2."""
    done = run(["serve", str(tmp_path), "--listen", "192.0.2.1:1"], closed)
    assert done.returncode == 2, done.stderr
