"""The progress of `unspool get`: a bar on a terminal, plain lines elsewhere, nothing with --quiet."""

import os
import pty
import re
import select
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from cli.plainlines import Lines
from cli.serveddir import ODD, Served
from gate import Gate
from interrupted import interrupt_get
from processes import ENVIRONMENT, UNSPOOL, free_port, size_of, unspool
from unspool.cli.progress import progress
from unspool.client.events import Advanced, Rechecked, Repairing, Restarting, Retrying, Started
from unspool.errors import StalledError

MIB = 1 << 20

STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""The control sequences of a bar: colours, and cursor movements."""


class Output:
    """The output of a program on a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.text = ""

    def read_until(self, enough: Callable[[str], object]) -> None:
        """Read until the output has what is expected, or the program ends."""
        while not enough(self.text):
            try:
                data = os.read(self._descriptor, 4096)
            except OSError:  # how Linux reports that the other end is closed
                return
            self.text += data.decode()

    def quiet_for(self, seconds: float) -> bool:
        """Return whether there is no output for some time."""
        readable, _, _ = select.select([self._descriptor], [], [], seconds)
        return not readable


@contextmanager
def on_a_terminal(*arguments: str | Path, term: str = "xterm-256color") -> Iterator[tuple[Output, subprocess.Popen[bytes]]]:
    """Run `unspool ARGUMENTS` with a terminal as its standard error."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    with subprocess.Popen(
        [*UNSPOOL, *map(str, arguments)],
        env={**ENVIRONMENT, "TERM": term},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        try:
            yield Output(ours), process
        finally:
            process.kill()
            os.close(ours)


def begun(served: Served, destination: Path) -> None:
    """Begin a download of the big file and interrupt it after about 20 MiB."""
    assert interrupt_get(served.server.address, "big.bin", destination, 20 * MIB).code == 130
    assert size_of(destination.with_name(destination.name + ".unspool-part")) > 16 * MIB


def test_a_bar_is_drawn_on_a_terminal(served: Served, tmp_path: Path) -> None:
    """On a terminal a bar shows the name, the bytes so far and the size, and disappears at the end."""
    with (
        Gate(served.server.address, 20 * MIB) as gate,
        on_a_terminal("get", f"{gate.address}/big.bin", tmp_path / "out") as (terminal, process),
    ):
        terminal.read_until(lambda text: re.search(r"1[0-9]\.[0-9]/48\.0 MiB", STYLE.sub("", text)))
        gate.open()
        terminal.read_until(lambda _: False)
        assert process.wait(30) == 0
    plain = STYLE.sub("", terminal.text)
    assert re.search(r"big\.bin \[=+> +\] 1[0-9]\.[0-9]/48\.0 MiB", plain)
    assert "\r\x1b[K" in terminal.text.rpartition("]")[2], "the bar's line is erased"
    assert "the whole file verified" in plain.rpartition("]")[2]
    assert (tmp_path / "out").read_bytes() == served.files["big.bin"]


def test_a_terminal_shows_where_it_resumed(served: Served, tmp_path: Path) -> None:
    """On a terminal a resumed download prints at which percentage it resumed."""
    begun(served, tmp_path / "out")
    with on_a_terminal("get", served.url("big.bin"), tmp_path / "out") as (terminal, process):
        terminal.read_until(lambda _: False)
        assert process.wait(30) == 0
    assert re.search(r"big\.bin: resumed at [34][0-9] %", STYLE.sub("", terminal.text))


def test_a_terminal_never_sees_a_name_raw(served: Served, tmp_path: Path) -> None:
    """The bar shows control characters in a name escaped."""
    with (
        Gate(served.server.address, 0) as gate,
        on_a_terminal("get", f"{gate.address}/{ODD}", tmp_path / "out") as (terminal, process),
    ):
        terminal.read_until(lambda text: "MiB" in text or " B" in text)
        gate.open()
        terminal.read_until(lambda _: False)
        assert process.wait(30) == 0
    assert "\x1b]0" not in terminal.text
    assert "odd \\x1b]0;title\\x07\\nname.txt 0 B" in terminal.text


def test_a_short_download_needs_no_bar(served: Served, tmp_path: Path) -> None:
    """A download that takes less than a second draws no bar."""
    with on_a_terminal("get", served.url("hello.txt"), tmp_path / "out") as (terminal, process):
        terminal.read_until(lambda _: False)
        assert process.wait(30) == 0
    assert "\x1b" not in terminal.text
    assert "the whole file verified" in terminal.text


def test_a_dumb_terminal_gets_plain_lines(served: Served, tmp_path: Path) -> None:
    """A terminal that cannot erase a line gets the lines of a pipe, and no cursor movements."""
    begun(served, tmp_path / "out")
    with (
        Gate(served.server.address, 2 * MIB) as gate,
        on_a_terminal("get", f"{gate.address}/big.bin", tmp_path / "out", term="dumb") as (terminal, process),
    ):
        terminal.read_until(lambda text: "resumed at" in text)
        assert terminal.quiet_for(1.5)
        gate.open()
        terminal.read_until(lambda _: False)
        assert process.wait(30) == 0
    assert "\x1b" not in terminal.text
    assert terminal.text.replace("\r\n", "\n").count("\r") == 0
    assert len(terminal.text.splitlines()) == 2


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_a_terminal_shows_nothing_that_is_not_wanted(served: Served, tmp_path: Path, option: str) -> None:
    """--quiet and --json draw no bar."""
    with on_a_terminal("get", option, served.url("hello.txt"), tmp_path / "out") as (terminal, process):
        terminal.read_until(lambda _: False)
        assert process.wait(30) == 0
    assert terminal.text == ""


def test_a_pipe_gets_plain_lines(served: Served, tmp_path: Path) -> None:
    """In a pipe there is no bar, but a line where the download resumed and one at the end."""
    begun(served, tmp_path / "out")
    done = unspool("get", served.url("big.bin"), tmp_path / "out")
    assert "\r" not in done.err
    assert "\x1b" not in done.err
    resumed, result = done.err.splitlines()
    assert re.fullmatch(r"big\.bin: resumed at [34][0-9] %", resumed)
    assert re.search(r"resumed at [34][0-9] %, the whole file verified$", result)


def test_a_pipe_is_told_of_every_retry(tmp_path: Path) -> None:
    """In a pipe every retry is a line with the file, the time of the retry and the reason."""
    with free_port() as port:
        done = unspool("get", "--wait", "1", f"127.0.0.1:{port}/a.bin", tmp_path)
    *retries, end = done.err.splitlines()
    assert len(retries) >= 2
    for line in retries:
        assert re.match(r"a\.bin: retrying in [0-9]\.[0-9] s: ", line)
    assert end.startswith("unspool: ")


# The lines of each event, without a process.


def test_plain_lines_come_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Progress is a line every ten seconds, not one for every block, so that a log stays readable."""
    lines = Lines(capsys, partial(progress, "a.bin", quiet=False))
    assert lines.after(Rechecked(MIB, 7, "t"), at=9) == []
    assert lines.after(Rechecked(2 * MIB, 6, "t"), at=10) == ["a.bin: 2.0 MiB checked again"]
    assert lines.after(Started("a.bin", 40 * MIB, 0, "t"), at=11) == []
    assert lines.after(Advanced(9 * MIB, "t"), at=19.9) == []
    assert lines.after(Advanced(10 * MIB, "t"), at=20) == ["a.bin: 10.0 MiB here (25 %)"]
    assert lines.after(Advanced(11 * MIB, "t"), at=29) == []


def test_what_matters_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Resuming, retrying, restarting and repairing each print a line at once."""
    lines = Lines(capsys, partial(progress, "a.bin", quiet=False))
    error = StalledError("a.bin: at byte 7: the server sent nothing for 30 s")
    assert lines.after(Started("a.bin", 100, 61, "t"), at=0) == ["a.bin: resumed at 61 %"]
    assert lines.after(Started("a.bin", 100, 100, "t"), at=0) == []  # the last line says so
    assert lines.after(Started("a.bin", None, 1536, "t"), at=0) == ["a.bin: resumed at 1.5 KiB"]
    assert lines.after(Retrying(error, 1, 0.25, "t"), at=0) == [f"a.bin: retrying in 0.2 s: {error.message}"]
    assert lines.after(Restarting(error, 0.0, "t"), at=0) == [f"a.bin: beginning again from zero: {error.message}"]
    assert lines.after(Restarting(error, 2.5, "t"), at=0) == [f"a.bin: beginning again from zero in 2.5 s: {error.message}"]
    assert lines.after(Repairing(16 * MIB, "t"), at=0) == ["a.bin: 16.0 MiB were damaged here, fetching them again"]
