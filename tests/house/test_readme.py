"""What the README shows is run: its commands, with the output it shows, and its Python."""

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

from house.documents import REPO, fenced, read

README = read("README.md")

ADDRESS = "localhost:50051"
"""What the README calls the server."""

UNSPOOL = [sys.executable, "-m", "unspool"]


def conversations() -> list[list[tuple[str, list[str]]]]:
    """Return each console block as its commands, each with the lines that the README shows after it."""
    found = []
    for block in fenced(README, "console"):
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
    """Run the README's server on a free port; yields its address and process."""
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


def run(arguments: list[str], directory: Path) -> list[str]:
    """Run a command to its good end; return the lines it printed."""
    done = subprocess.run(
        arguments, cwd=directory, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
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


def test_what_the_readme_shows_is_what_happens(tmp_path: Path) -> None:
    """The README's commands, in their order, print what the README shows but for numbers, and its Python runs."""
    (serving, *getting) = conversations()
    [(command, shown)] = serving
    (tmp_path / "models").mkdir()
    with (tmp_path / "models" / "model.bin").open("wb") as file:
        file.truncate(256 << 20)
    (tmp_path / "models" / "hello.txt").write_text("hello\n")
    here = tmp_path / "here"
    here.mkdir()

    with server(tmp_path, command, shown) as (address, pid):
        for line, expected in [step for conversation in getting for step in conversation]:
            arguments = [*UNSPOOL, *shlex.split(line.replace(ADDRESS, address))[1:]]
            interrupted = expected[:1] == ["^C"]
            printed = interrupt(arguments, here, pid) if interrupted else run(arguments, here)
            printed = [text.replace(address, ADDRESS) for text in printed]
            assert likeness(printed) == likeness(expected[interrupted:]), line
        assert (here / "model.bin").stat().st_size == 256 << 20
        assert (here / "hello.txt").read_text() == "hello\n"

        [script] = fenced(README, "python")
        printed = run([sys.executable, "-W", "error", "-c", script.replace(ADDRESS, address)], here)
        assert printed[0] == "file"
        assert "model.bin" in printed[1:]
        assert sorted(path.name for path in here.iterdir()) == ["copy.bin", "hello.txt", "model.bin"]


def test_the_readmes_make_targets_are_there() -> None:
    """Every `make` that the README and CONTRIBUTING show is a target."""
    targets = re.findall(r"^([\w-]+):", (REPO / "Makefile").read_text(), re.MULTILINE)
    shown = re.findall(r"^    make ([\w-]+)", README + read("CONTRIBUTING.md"), re.MULTILINE)
    assert {"demo", "test"} <= set(shown) <= set(targets)
