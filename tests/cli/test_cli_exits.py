"""The exit codes, each caused for real, and the line on standard error for each."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.serveddir import ODD, Served
from gate import Gate
from interrupted import interrupt_get
from processes import ENVIRONMENT, UNSPOOL, Outcome, eventually, free_port, outcome_of, running, serving, size_of, unspool
from unspool.cli.exits import EXIT_CODES

MIB = 1 << 20

ALL_COMMANDS = ["serve", "get", "ls", "stat", "cat", "verify", "demo", "completion"]


def assert_complaint(done: Outcome, code: int, *words: str) -> None:
    """Check that a command failed with this code, and one plain line that has these words."""
    assert done.code == code, done.err
    assert done.complaint.startswith("unspool: ")
    for word in words:
        assert word.lower() in done.complaint.lower()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("get URL/../secret", ["'..'"]),
        ("get URL//etc/passwd", ["absolute"]),
        ("get http://localhost/a.bin", ["HOST:PORT/NAME"]),
        ("stat localhost:99999/a.bin", ["HOST:PORT"]),
        ("ls localhost:", ["HOST:PORT"]),
        ("cat --offset 14 URL/hello.txt", ["hello.txt", "14", "13"]),
        ("serve ftp://bucket", ["ftp"]),
        ("serve ROOT --listen nowhere", ["nowhere"]),
        ("serve ROOT --listen :x", ["HOST:PORT", "unix:PATH"]),
    ],
)
def test_2_is_a_request_that_makes_no_sense(served: Served, arguments: str, words: list[str]) -> None:
    """An invalid name, range or address is exit 2, and the line names it."""
    arguments = arguments.replace("URL", served.server.address).replace("ROOT", str(served.root))
    assert_complaint(unspool(*arguments.split()), 2, *words)


@pytest.mark.parametrize("arguments", ["get", "get a b c", "nonsense", "get --retry-budget -1 a", "cat --length x a"])
def test_2_is_a_command_line_that_makes_no_sense(arguments: str) -> None:
    """A usage error is exit 2, and one line that says what is wrong and where the usage is."""
    done = unspool(*arguments.split())
    assert done.code == 2
    assert done.complaint.startswith("unspool")
    assert done.complaint.endswith(" --help`")


def test_2_is_no_command_at_all() -> None:
    """Without a command the help is printed, and the exit code is 2."""
    done = unspool()
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith("Usage: unspool ")


@pytest.mark.parametrize("name", ["", "/"])
def test_2_is_a_server_named_as_a_file(served: Served, tmp_path: Path, name: str) -> None:
    """`get` of a server without a name is exit 2; the line shows the form with a name, and the option for all files."""
    done = unspool("get", served.server.address + name, cwd=tmp_path)
    assert done.code == 2
    assert f"names a server and no file: write {served.server.address}/NAME, or use -r to get all its files" in done.complaint


@pytest.mark.parametrize("words", ["stat URL", "cat URL", "rm URL", "verify URL FILE", "stat forgotten.txt"])
def test_2_is_a_url_without_a_name(served: Served, words: str) -> None:
    """Other commands show the form with a name, too, also for the name of a file alone, which reads as that of a server."""
    done = unspool(*words.replace("URL", served.server.address).replace("FILE", __file__).split())
    server = "forgotten.txt:50051" if "forgotten" in words else served.server.address
    assert done.code == 2
    assert done.complaint.endswith(f"names a server and no file: write {server}/NAME")


@pytest.mark.parametrize("name", ["/sub/", "/sub/deeper/"])
def test_2_is_a_directory_named_as_a_file(served: Served, tmp_path: Path, name: str) -> None:
    """`get` of a URL that can only be a directory is exit 2, and the line names the option for it."""
    done = unspool("get", served.server.address + name, cwd=tmp_path)
    assert done.code == 2
    assert "use -r to get the files below it" in done.complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["get", "--help"]])
def test_8_is_a_help_that_cannot_be_printed(arguments: list[str]) -> None:
    """If standard output is on a full disk, it is exit 8 and one line, also for output before a command runs."""
    with Path("/dev/full").open("wb") as full, running(*arguments, stdout=full) as process:
        done = outcome_of(process)
    assert_complaint(done, 8, "standard output: no space left on device")


@pytest.mark.parametrize(
    ("arguments", "reason", "code"),
    [
        ("get --json URL/nope.bin", "FILE_NOT_FOUND", 3),
        ("get --json -r URL/nope here", "FILE_NOT_FOUND", 3),
        ("ls --json URL/nope", "FILE_NOT_FOUND", 3),
        ("stat --json URL/sub", "NOT_A_FILE", 3),
        ("get --json files.invalid/a", "CONNECT", 7),
        ("conformance --json files.invalid", "CONNECT", 7),
    ],
)
def test_a_failure_is_json_too(served: Served, tmp_path: Path, arguments: str, reason: str, code: int) -> None:
    """With --json a failure is an object on standard output, besides the line on standard error."""
    done = unspool(*arguments.replace("URL", served.server.address).split(), cwd=tmp_path)
    assert done.code == code
    failure = json.loads(done.out)
    assert failure == {"error": done.complaint.removeprefix("unspool: "), "reason": reason, "exit_code": code}


def test_2_is_a_server_that_does_not_speak_this(served: Served, tmp_path: Path) -> None:
    """A dialect that the server does not support is exit 2, and the line says so."""
    with serving(served.root, tmp_path / "log", "--no-demo") as server:
        url = f"{server.address}/hello.txt"
        assert_complaint(unspool("get", "--dialect", "demo", url, tmp_path / "out"), 2, "hello.txt", "dialect")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["get", "stat", "cat", "ls"])
@pytest.mark.parametrize("name", ["nope.bin", "hello.txt/nope.bin"])
def test_3_is_a_file_that_is_not_there(served: Served, tmp_path: Path, command: str, name: str) -> None:
    """A missing file is exit 3; the line names it, and the command that lists files."""
    done = unspool(command, served.url(name), cwd=tmp_path)
    assert_complaint(done, 3, name, "unspool ls")
    assert list(tmp_path.iterdir()) == []


def test_3_is_a_directory(served: Served, tmp_path: Path) -> None:
    """A directory is not a file: exit 3, and the line says so."""
    assert_complaint(unspool("get", served.url("sub"), cwd=tmp_path), 3, "sub", "is a directory", "get -r")


def test_3_is_a_root_that_is_not_there(tmp_path: Path) -> None:
    """Serving a missing directory is exit 3, and the line names it."""
    assert_complaint(unspool("serve", tmp_path / "nope"), 3, str(tmp_path / "nope"))


def test_3_is_told_of_the_longest_name_too(served: Served) -> None:
    """The error about a missing file arrives unchanged even if its name, in Chinese, has the maximal length."""
    name = "/".join(["日" * 80] * 17)
    assert 4000 < len(name.encode()) <= 4096
    assert_complaint(unspool("stat", served.url(name)), 3, "日", "no such file")


@pytest.mark.parametrize("command", ["get", "stat", "cat"])
def test_4_is_a_file_that_may_not_be_read(served: Served, tmp_path: Path, command: str) -> None:
    """A link that leads out of the served directory is exit 4; the line names it, and whom to contact."""
    done = unspool(command, served.url("outside"), cwd=tmp_path)
    assert_complaint(done, 4, "outside", "ask whoever runs the server")
    assert list(tmp_path.iterdir()) == []


def test_5_is_a_file_that_changed(tmp_path: Path) -> None:
    """A file that changed since the download began is exit 5 with --on-change fail, and begun again without."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.bin").write_bytes(b"old" * (4 * MIB))
    out = tmp_path / "out"
    with serving(root, tmp_path / "log") as server:
        url = f"{server.address}/a.bin"
        assert interrupt_get(server.address, "a.bin", out, 5 * MIB).code == 130
        (root / "new").write_bytes(b"new" * (4 * MIB))
        (root / "new").rename(root / "a.bin")
        assert_complaint(unspool("get", "--on-change", "fail", url, out), 5, "a.bin", "changed", "without `--on-change fail`")
        assert not out.exists()
        done = unspool("get", url, out)
    assert done.code == 0
    assert "begun again once" in done.err
    assert out.read_bytes() == b"new" * (4 * MIB)


def test_6_is_a_file_that_is_not_the_servers(served: Served, tmp_path: Path) -> None:
    """`verify` of a local file with other bytes is exit 6, and the line names both files."""
    (tmp_path / "mine").write_bytes(b"hello, w0rld\n")
    assert_complaint(unspool("verify", served.url("hello.txt"), tmp_path / "mine"), 6, str(tmp_path / "mine"), "hello.txt")


@pytest.mark.parametrize("budget", ["0", "1", "2"])
def test_7_is_nobody_there(tmp_path: Path, budget: str) -> None:
    """If no server listens it is exit 7, whatever the retry budget; the line names the server, and what to check."""
    with free_port() as port:
        done = unspool("get", "--quiet", "--retry-budget", budget, f"127.0.0.1:{port}/a.bin", tmp_path)
    assert_complaint(done, 7, f"127.0.0.1:{port}", "nobody listens there", "check the port")
    assert list(tmp_path.iterdir()) == []


def test_7_is_a_server_that_says_nothing(tmp_path: Path) -> None:
    """A server that accepts the connection and never answers is exit 7 after the idle timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}/a.bin"
        done = unspool("get", "--quiet", "--retry-budget", "1", "--idle-timeout", "0.2", url, tmp_path)
    assert_complaint(done, 7, "a.bin", "sent nothing for 0.2 s", "run the same command again")


def test_7_is_a_server_that_stalls_and_progress_is_kept(served: Served, tmp_path: Path) -> None:
    """A server that stalls in the middle is exit 7, and the same command resumes from there."""
    out = tmp_path / "out"
    with Gate(served.server.address, 20 * MIB) as gate:
        url = f"{gate.address}/big.bin"
        done = unspool("get", "--quiet", "--retry-budget", "1", "--idle-timeout", "1", url, out)
        assert_complaint(done, 7, "big.bin", "sent nothing for 1 s")
        assert not out.exists()
        gate.open()
        again = unspool("get", url, out)
    assert again.code == 0
    assert "resumed at" in again.err
    assert out.read_bytes() == served.files["big.bin"]


def test_8_is_a_directory_that_is_not_there(served: Served, tmp_path: Path) -> None:
    """A destination in a missing directory is exit 8, and the line names it."""
    done = unspool("get", served.url("hello.txt"), tmp_path / "no" / "out")
    assert_complaint(done, 8, str(tmp_path / "no" / "out"), "no such directory")


def test_8_is_a_trailing_slash_after_no_directory(served: Served, tmp_path: Path) -> None:
    """DEST/ is a directory: if it does not exist, it is exit 8, and no file of that name is created."""
    assert_complaint(unspool("get", served.url("hello.txt"), "new/", cwd=tmp_path), 8, "new/", "no such directory")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "new").mkdir()
    assert unspool("get", served.url("hello.txt"), "new/", cwd=tmp_path).code == 0
    assert (tmp_path / "new" / "hello.txt").read_bytes() == served.files["hello.txt"]


def test_8_is_a_place_where_no_files_are_made(served: Served) -> None:
    """A destination in /proc is exit 8, and the line does not say that it exists already."""
    assert_complaint(unspool("get", served.url("hello.txt"), "/proc/x"), 8, "/proc/x", "no file can be made there")


def test_8_is_a_device(served: Served) -> None:
    """A destination that a rename would damage is exit 8, and the line says how to write to it."""
    assert_complaint(unspool("get", served.url("hello.txt"), "/dev/null"), 8, "/dev/null", "`-`")


def test_8_is_a_local_file_that_cannot_be_compared(served: Served, tmp_path: Path) -> None:
    """`verify` with a missing file or a directory is exit 8, not 6."""
    assert_complaint(unspool("verify", served.url("hello.txt"), tmp_path / "mine"), 8, str(tmp_path / "mine"))
    assert_complaint(unspool("verify", served.url("hello.txt"), tmp_path), 8, str(tmp_path), "is a directory")


@pytest.mark.parametrize("command", ["cat URL", "get URL -", "stat URL", "ls URL"])
def test_8_is_an_output_that_takes_nothing(served: Served, command: str) -> None:
    """Standard output on a full disk is exit 8 and one plain line, for every command that writes there."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*UNSPOOL, *command.replace("URL", served.url("sub/data.bin")).split()],
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert_complaint(Outcome(done.returncode, b"", done.stderr.decode()), 8, "no space left on device")


@pytest.mark.parametrize("words", ["get URL OUT", "get -r URL OUT", "ls URL", "get NONE OUT", "get --nonsense"])
def test_complaints_that_nothing_takes_change_no_exit_code(served: Served, tmp_path: Path, words: str) -> None:
    """Standard error on a full disk: the command does its work, and its exit code is its own."""
    where = {"URL": served.url("sub/data.bin"), "NONE": served.url("none"), "OUT": str(tmp_path)}
    arguments = [where.get(word, word) for word in words.split()]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*UNSPOOL, *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.returncode == {"get NONE OUT": 3, "get --nonsense": 2}.get(words, 0)
    assert (tmp_path / "data.bin").exists() == words.startswith(("get URL", "get -r"))


LEAVING = "import atexit, sys; from unspool.cli.program import leaving\nwith leaving(): {}"


def test_what_is_left_to_the_end_is_done() -> None:
    """A process that ends at once has called what is to be called at its end, and written what was printed."""
    program = LEAVING.format("atexit.register(print, 'ended'); print('said'); sys.exit(3)")
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "said\nended\n")


@pytest.mark.parametrize(("code", "told"), [(0, 8), (3, 3)])
def test_8_is_an_output_that_takes_nothing_at_the_end(code: int, told: int) -> None:
    """What is printed and cannot be written when the process ends is a failure, unless there was another."""
    with Path("/dev/full").open("w") as full:
        program = LEAVING.format(f"print('said'); sys.exit({code})")
        done = subprocess.run([sys.executable, "-E", "-c", program], check=False, stdout=full)
        assert done.returncode == told


def test_9_is_a_second_download_to_one_destination(served: Served, tmp_path: Path) -> None:
    """Two downloads to one destination: the second ends at once with exit 9, and the first is not disturbed."""
    out = tmp_path / "out"
    with Gate(served.server.address, 4 * MIB) as gate, running("get", f"{gate.address}/big.bin", out) as first:
        eventually(lambda: size_of(tmp_path / "out.unspool-part"))
        second = unspool("get", served.url("big.bin"), out)
        assert_complaint(second, 9, str(out), "another process")
        gate.open()
        assert outcome_of(first).code == 0
    assert out.read_bytes() == served.files["big.bin"]


def test_1_is_a_bug_of_ours(served: Served, tmp_path: Path) -> None:
    """An unexpected error is exit 1 and one line; --debug adds the traceback."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "from unspool import loops\ndef run(main):\n    main.close()\n    raise ZeroDivisionError('forced')\nloops.run = run\n"
    )
    environment = {"PYTHONPATH": str(broken)}
    done = unspool("get", served.url("hello.txt"), tmp_path, environment=environment)
    assert_complaint(done, 1, "internal error", "ZeroDivisionError: forced")
    shown = unspool("get", "--debug", served.url("hello.txt"), tmp_path, environment=environment)
    assert shown.code == 1
    assert shown.err.startswith("Traceback")
    assert shown.err.endswith(done.err)


def test_debug_shows_the_traceback(served: Served) -> None:
    """--debug prints the traceback before the usual line."""
    plain = unspool("stat", served.url("nope"))
    shown = unspool("stat", "--debug", served.url("nope"))
    assert "NotFoundError" in shown.err
    assert shown.err.startswith("Traceback")
    assert shown.err.endswith(plain.err)


@pytest.mark.parametrize("command", ["stat", "get", "cat", "ls", "verify"])
def test_control_characters_in_errors_are_escaped(served: Served, tmp_path: Path, command: str) -> None:
    """Control characters in a name in an error cannot change the terminal or add a second line."""
    arguments = [command, served.url("\x1b[31mred\nunspool: fake"), *([str(tmp_path)] if command == "verify" else [])]
    done = unspool(*arguments, cwd=tmp_path)
    assert_complaint(done, 3, "\\x1b[31mred\\n")


def test_a_mismatch_of_an_oddly_named_file_is_one_line(served: Served, tmp_path: Path) -> None:
    """The line of `verify` about a file with control characters in its name is one line, too."""
    (tmp_path / "mine").write_bytes(b"odd")
    good = unspool("verify", served.url(ODD), tmp_path / "mine")
    assert good.code == 0
    assert len(good.lines) == 1
    assert b"\x1b" not in good.out
    assert unspool("stat", served.url(ODD)).out.count(b"\n") == 7


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """Every command has help for itself and its options."""
    for option in ("-h", "--help") if command != "ls" else ("--help",):  # for `ls`, -h has the meaning of ls(1)
        done = unspool(command, option)
        assert done.code == 0
        assert done.out.startswith(b"Usage: ")
        assert b"--debug" in done.out


def test_the_main_help_lists_commands_and_exit_codes() -> None:
    """`unspool --help` lists every command and every exit code with its meaning."""
    text = unspool("--help").out.decode()
    for command in ALL_COMMANDS:
        assert f"\n  {command} " in text
    for code, meaning in EXIT_CODES.items():
        assert f"{code:>3}  {meaning}\n" in text
