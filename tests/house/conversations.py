"""What documents show of a terminal, run: its servers and commands, and whether they print what is shown."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from house.documents import fenced
from processes import UNSPOOL, unspool

ADDRESS = "localhost:50051"
"""What the documents call the server."""


def conversations(text: str) -> list[list[tuple[str, list[str]]]]:
    """Return each console block of a document as its commands, each with the lines that are shown after it."""
    found = []
    for block in fenced(text, "console"):
        parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
        found.append([(command, shown.splitlines()) for command, shown in zip(parts[1::2], parts[2::2], strict=True)])
    return found


def likeness(lines: list[str]) -> list[str]:
    """Return lines as they would be with other numbers in them."""
    return [
        re.sub(r"[\d.]+ [KMG]?i?B", "#", re.sub(r"\b\d+ %", "# %", re.sub(r"\bin [\d.]+ s", "in # s", line))) for line in lines
    ]


@contextmanager
def server(directory: Path, command: str, shown: list[str]) -> Iterator[tuple[str, int]]:
    """Run the server that a document shows on a free port; yields its address and process."""
    arguments = [*UNSPOOL, *shlex.split(command)[1:], "--listen", "127.0.0.1:0", "--quiet"]
    with subprocess.Popen(arguments, cwd=directory, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            address = ready.split()[-1]
            assert [ready.rstrip("\n").replace(address, "127.0.0.1:50051")] == shown
            yield address, process.pid
        finally:
            process.terminate()


def python(block: str, directory: Path) -> list[str]:
    """Run a block of Python to its good end, with warnings as errors; return the lines it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=directory,
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def run(arguments: list[str], directory: Path) -> list[str]:
    """Run a command to its good end; return the lines it printed, without those that gRPC logs."""
    done = subprocess.run(
        arguments,
        cwd=directory,
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def interrupt(arguments: list[str], directory: Path, server_pid: int) -> list[str]:
    """Run a command until it has a part file, press Ctrl-C; return the lines it printed."""
    with subprocess.Popen(
        arguments, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        while not any(part.stat().st_size for part in directory.glob("*.unspool-part")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        # Else it could be done before the signal comes.
        os.kill(server_pid, signal.SIGSTOP)
        try:
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=60)
        finally:
            os.kill(server_pid, signal.SIGCONT)
    assert process.returncode == 130
    return printed.splitlines()


def replay(line: str, shown: list[str], directory: Path, address: str, pid: int) -> None:
    """Run a command that a document shows against a server, interrupted if `^C` is shown; it prints what is shown."""
    arguments = shlex.split(line.replace(ADDRESS, address))[1:]
    interrupted = shown[:1] == ["^C"]
    if interrupted:
        printed = interrupt([*UNSPOOL, *arguments], directory, pid)
    else:
        done = unspool(*arguments, cwd=directory)
        assert done.code == 0, done.err
        printed = [*done.lines, *done.err.splitlines()]
    printed = [text.replace(address, ADDRESS) for text in printed]
    assert likeness(printed) == likeness(shown[interrupted:]), line
