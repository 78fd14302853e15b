"""Commands whose output goes to a pipe without a reader, or to the terminal together with progress."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path

import pytest

from gate import Gate
from processes import ENVIRONMENT, UNSPOOL, serving

MIB = 1 << 20


def run_unread(*arguments: str | Path, stream: str) -> subprocess.CompletedProcess[bytes]:
    """Run `unspool ARGUMENTS` with a standard stream that is a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: writer}
        return subprocess.run([*UNSPOOL, *map(str, arguments)], env=ENVIRONMENT, timeout=60, check=False, **streams)  # type: ignore[call-overload,no-any-return]  # by name
    finally:
        os.close(writer)


@pytest.mark.parametrize("words", ["--help", "--version", "get --help", "completion bash"])
def test_text_that_nobody_reads_is_141(words: str) -> None:
    """`unspool get --help | head -0` ends as shells report SIGPIPE, without a traceback."""
    done = run_unread(*words.split(), stream="stdout")
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("words", ["--nonsense", "nonsense", "get --nonsense", "stat :", "get"])
def test_complaints_that_nobody_reads_are_141(words: str) -> None:
    """The same for errors: `unspool get : 2>&1 | true`."""
    done = run_unread(*words.split(), stream="stderr")
    assert (done.returncode, done.stdout) == (141, b"")


def read_until_quiet(descriptor: int, seconds: float) -> bytes:
    """Return the output on a terminal, until there is none for some time."""
    data = b""
    while select.select([descriptor], [], [], seconds)[0]:
        data += os.read(descriptor, 1 << 16)
    return data


def test_no_bar_is_drawn_over_data(tmp_path: Path) -> None:
    """While `get URL -` writes to the terminal, it draws no bar there."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "text").write_bytes(b"text\n" * MIB)
    ours, theirs = pty.openpty()
    with serving(tmp_path / "root", tmp_path / "log") as server, Gate(server.address, 2 * MIB) as gate:
        command = [*UNSPOOL, "get", f"{gate.address}/text", "-"]
        environment = {**ENVIRONMENT, "TERM": "xterm"}
        with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            shown = b""
            while len(shown) < MIB:
                shown += os.read(ours, 1 << 16)
            shown += read_until_quiet(ours, 2.0)  # a bar appears after one second
            process.kill()
    os.close(ours)
    assert set(shown.split()) == {b"text", shown.split()[-1]}
    assert b"text".startswith(shown.split()[-1])
