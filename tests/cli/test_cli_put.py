"""`unspool put` against a real server: the output, the exit codes, and going on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest

from processes import ENVIRONMENT, UNSPOOL, Outcome, Serving, eventually, serving, unspool

DATA = Random(2).randbytes(24 << 20)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with files to upload."""
    (tmp_path / "small").write_bytes(b"small\n")
    (tmp_path / "big.bin").write_bytes(DATA)
    return tmp_path


def put(here: Path, *arguments: str) -> Outcome:
    """Run `unspool put` there, with a state directory of its own."""
    return unspool("put", *arguments, cwd=here, environment={"XDG_STATE_HOME": str(here / "state")})


def test_files_go_below_a_directory(here: Path, root: Path, server: Serving) -> None:
    """Each file has its own name below the URL, its bytes and its time; a second run sends nothing."""
    os.utime(here / "small", (1, 1_700_000_000))
    done = put(here, "small", "big.bin", f"{server.address}/several/")
    assert (done.code, done.out) == (0, b"")
    assert [line.split(": ")[0] for line in done.err.splitlines()] == [
        f"{server.address}/several/small",
        f"{server.address}/several/big.bin",
    ]
    assert (root / "several" / "big.bin").read_bytes() == DATA
    assert (root / "several" / "small").stat().st_mtime == 1_700_000_000
    again = put(here, "--json", "small", "big.bin", f"{server.address}/several/")
    results = [json.loads(line) for line in again.lines]
    assert [(one["name"], one["already_there"], one["bytes_sent"]) for one in results] == [
        ("several/small", True, 0),
        ("several/big.bin", True, 0),
    ]


def test_standard_input_is_uploaded(here: Path, root: Path, server: Serving) -> None:
    """From a pipe, whole."""
    with subprocess.Popen([*UNSPOOL, "put", "-", f"{server.address}/piped"], stdin=subprocess.PIPE, env=ENVIRONMENT) as process:
        process.communicate(DATA, timeout=60)
    assert process.returncode == 0
    assert (root / "piped").read_bytes() == DATA


def test_standard_input_that_is_lost_is_not_said_to_be_kept(root: Path, tmp_path: Path) -> None:
    """A pipe cannot be read again, so nobody is told that the upload goes on."""
    with serving(root, tmp_path / "log", "--write") as killed:
        command = [*UNSPOOL, "put", "--retry-budget", "0", "-", f"{killed.address}/lost"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
            assert process.stdin is not None
            process.stdin.write(DATA[: 1 << 20])
            process.stdin.flush()
            eventually(lambda: list((root / ".unspool-uploads").glob("*.unspool-part")))
            killed.process.kill()
            said = process.communicate(DATA[: 1 << 20], timeout=60)[1]
    assert process.returncode == 7
    assert said.endswith(b"; nothing was written, and what came from standard input is lost\n")


def test_conditions_have_their_exit_code_and_advice(here: Path, root: Path, server: Serving) -> None:
    """A file that is there stays, and the line says what to do."""
    (root / "taken").write_bytes(b"there before")
    url = f"{server.address}/taken"
    absent = put(here, "--if-absent", "small", url)
    assert absent.code == 5
    assert "exists already" in absent.complaint
    assert "without `--if-absent` replaces it" in absent.complaint
    other = put(here, "--json", "--if-revision", "other", "small", url)
    assert other.code == 5
    assert json.loads(other.lines[-1])["reason"] == "FILE_CHANGED"
    revision = json.loads(unspool("stat", "--json", url).out)["revision"]
    assert put(here, "--if-revision", revision, "small", url).code == 0
    assert (root / "taken").read_bytes() == b"small\n"


def test_a_dry_run_sends_nothing(here: Path, root: Path, server: Serving) -> None:
    """It prints what would be sent, and counts what is there."""
    assert put(here, "small", f"{server.address}/dry/small").code == 0
    done = put(here, "-n", "small", "big.bin", f"{server.address}/dry/")
    assert done.lines == [f"{len(DATA):>15}  dry/big.bin"]
    assert done.complaint == "would send 1 file, 24.0 MiB; 1 already there"
    assert [one.name for one in (root / "dry").iterdir()] == ["small"]


def test_one_file_that_fails_does_not_stop_the_others(here: Path, root: Path, server: Serving) -> None:
    """It has a line of its own, and the exit code says that some failed."""
    done = put(here, "none", "small", f"{server.address}/some/")
    assert done.code == 10
    assert (root / "some" / "small").exists()
    assert "none: cannot be read: no such file or directory" in done.err


def test_a_directory_needs_recursive(here: Path, server: Serving) -> None:
    """The error names the option."""
    done = put(here, ".", f"{server.address}/x")
    assert (done.code, done.complaint) == (8, "unspool: .: is a directory: add --recursive")


def test_a_directory_at_the_name_is_told_with_a_way_out(here: Path, root: Path, server: Serving) -> None:
    """The advice is about uploads, not about `get`."""
    (root / "folder").mkdir()
    done = put(here, "small", f"{server.address}/folder")
    said = "unspool: folder: is a directory; choose another name; a URL that ends in `/` is a directory"
    assert (done.code, done.complaint) == (3, said)


def test_a_server_that_only_serves_says_so(here: Path, root: Path, tmp_path: Path) -> None:
    """One line, with the exit code of a request that makes no sense there."""
    with serving(root, tmp_path / "log") as reading:
        done = put(here, "small", f"{reading.address}/x")
    assert done.code == 2
    assert "it was started without writing" in done.complaint


def test_the_same_command_goes_on_after_a_kill(here: Path, root: Path, server: Serving) -> None:
    """After SIGKILL nothing is at the name; the same command sends the rest, and the bytes are the same."""
    url = f"{server.address}/killed.bin"
    environment = {**ENVIRONMENT, "XDG_STATE_HOME": str(here / "state")}
    arguments = [*UNSPOOL, "put", "--limit-rate", "40M", "big.bin", url]
    staged = root / ".unspool-uploads"
    with subprocess.Popen(arguments, cwd=here, env=environment, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while sum(one.stat().st_size for one in staged.glob("*")) < 8 << 20:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (root / "killed.bin").exists()
    result = json.loads(put(here, "--json", "big.bin", url).out)
    assert (root / "killed.bin").read_bytes() == DATA
    assert result["resumed_from"] >= 4 << 20
    assert result["resumed_from"] + result["bytes_sent"] == len(DATA)
    assert not [one for one in staged.glob("*") if one.stat().st_size > 1 << 20]


def test_dotfiles_that_the_server_does_not_take_are_left_out(here: Path, root: Path, server: Serving) -> None:
    """They are said and counted, but are no failures, also with --dry-run and --json. With `serve --hidden` they are sent."""
    tree = here / "dotted"
    for name in (".env", ".git/config", "a/.hidden", "a/b", "c"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(name.encode())
    dotfiles = [".env", ".git/config", "a/.hidden"]
    said = "3 names were left out: 3 dotfiles, which the server does not take"
    url = f"{server.address}/dotted"
    planned = put(here, "-rn", "dotted", url)
    assert (planned.code, sorted(line.split()[1] for line in planned.lines)) == (0, ["dotted/a/b", "dotted/c"])
    assert planned.err.splitlines() == ["would send 2 files, 4 B; 0 already there", f"{said} (-v names them)"]
    totals = json.loads(put(here, "-rn", "--json", "dotted", url).lines[-1])
    assert sorted(one["name"] for one in totals["omitted"]) == dotfiles
    done = put(here, "-rv", "dotted", url)
    assert done.code == 0, done.err
    first, *named, last = done.err.splitlines()
    assert first.endswith(": 2 sent, 0 already there, every file verified")
    assert sorted(named) == [f"left out: {name} (dotfile, which the server does not take)" for name in dotfiles]
    assert last == said
    result = json.loads(put(here, "-r", "--json", "dotted", url).out)
    assert (result["files"], result["kept"], result["failed"]) == (2, 2, 0)
    assert sorted((one["reason"], one["name"]) for one in result["omitted"]) == [("HIDDEN", name) for name in dotfiles]
    some = put(here, "-r", "--exclude", ".*", "--exclude", ".git/", "dotted", url)
    assert "left out" not in some.err
    refused = put(here, "-r", "dotted", f"{server.address}/.dotted")  # whoever names a dot means it
    assert refused.code == 10
    assert refused.err.splitlines()[-1].endswith("/.dotted: 5 of 5 files failed")  # and there are no others
    with serving(root, here / "hidden.log", "--write", "--hidden") as other:
        done = put(here, "-r", "dotted", f"{other.address}/dotted")
        assert "3 sent, 2 already there" in done.err
        assert "left out" not in done.err
    assert (root / "dotted/.git/config").read_bytes() == b".git/config"


def test_a_tree_is_uploaded_and_then_skipped(here: Path, root: Path, server: Serving) -> None:
    """With -r all files below the directory; the second run sends nothing, and says what was left out."""
    tree = here / "tree"
    for number in range(60):
        (tree / f"d{number % 4}").mkdir(parents=True, exist_ok=True)
        (tree / f"d{number % 4}" / str(number)).write_bytes(DATA[: number * 1000])
    (tree / "large").write_bytes(DATA)
    (tree / "out").symlink_to("/etc/hostname")
    first = put(here, "-r", "tree", f"{server.address}/tree")
    assert first.code == 0, first.err
    assert "61 sent, 0 already there, every file verified" in first.err
    assert "1 name was left out: 1 link that leads outside" in first.err
    assert {path.relative_to(tree): path.read_bytes() for path in tree.rglob("*") if path.is_file() and path.name != "out"} == {
        path.relative_to(root / "tree"): path.read_bytes() for path in (root / "tree").rglob("*") if path.is_file()
    }
    assert put(here, "-r", "small", f"{server.address}/one/").code == 0
    assert (root / "one" / "small").read_bytes() == b"small\n"
    second = put(here, "-r", "--json", "tree", f"{server.address}/tree/")
    result = json.loads(second.out)
    assert (result["sent"], result["kept"], result["bytes_sent"]) == (0, 61, 0)
