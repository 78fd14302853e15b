"""Real processes: unspool's commands as a user runs them, and what a test needs to watch them."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO, TypeAlias, TypeVar

import forking

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))
"""Whether the long forms of tests run. Then every command is a process that was started anew."""

UNSPOOL = [sys.executable, "-m", "unspool"]

# gRPC would send even loopback traffic through a proxy that the machine has set.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}

T = TypeVar("T")

Running: TypeAlias = subprocess.Popen[bytes] | forking.Command
"""A process that a test watches."""


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.out.decode().splitlines()

    @property
    def complaint(self) -> str:
        """The one line on standard error."""
        line, newline, rest = self.err.partition("\n")
        assert newline == "\n", self.err
        assert not rest, self.err
        return line


def unspool(
    *arguments: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None, seconds: float = 60
) -> Outcome:
    """Run `unspool ARGUMENTS` to its end, which comes within so many seconds."""
    if environment is None and not DEEP:
        code, out, err = forking.run([*map(str, arguments)], str(cwd or Path.cwd()), ENVIRONMENT, seconds)
        return Outcome(code, out, err.decode())
    done = subprocess.run(
        [*UNSPOOL, *map(str, arguments)],
        cwd=cwd,
        env={**ENVIRONMENT, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr.decode())


@contextmanager
def running(
    *arguments: str | Path,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
    descriptors: int | None = None,
    anew: bool = DEEP,
) -> Iterator[Running]:
    """Run `unspool ARGUMENTS` beside the test; what is left of it at the end is killed.

    With `descriptors` it may have so many. With `anew` it is not forked, so that its memory is its own.
    """
    words = [*map(str, arguments)]
    started: Running
    if anew or descriptors is not None:
        started = subprocess.Popen([*UNSPOOL, *words], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    else:
        started = forking.Command(words, str(Path.cwd()), ENVIRONMENT, stdout, stderr)
    with started as process:
        if descriptors is not None:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
        try:
            yield process
        finally:
            process.kill()


def outcome_of(process: Running) -> Outcome:
    """Wait for a running command to end by itself."""
    out, err = process.communicate(timeout=60)
    return Outcome(process.wait(), out or b"", (err or b"").decode())


@dataclass(frozen=True)
class Serving:
    """A running `unspool serve`; `log` is the file its standard error goes to. `address` is the last of `addresses`."""

    process: Running
    addresses: list[str]
    log: Path

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.addresses[-1]

    def entries(self) -> list[dict[str, object]]:
        """Return what was logged so far, in JSON; the last line may still be under way."""
        lines = self.log.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def reads(self) -> list[dict[str, object]]:
        """Return the log's lines about reads that ended."""
        return [entry for entry in self.entries() if "outcome" in entry]

    def stop(self) -> int:
        """End it with SIGTERM and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(
    root: Path | str,
    log: Path,
    *options: str,
    listen: str = "127.0.0.1:0",
    log_format: str = "json",
    descriptors: int | None = None,
    anew: bool = DEEP,
) -> Iterator[Serving]:
    """Run `unspool serve ROOT OPTIONS` while inside, ready when entered. See `running`."""
    arguments: tuple[str | Path, ...] = ("serve", root, "--listen", listen, "--log-format", log_format, *options)
    with (
        log.open("ab") as stderr,
        running(*arguments, stderr=stderr, descriptors=descriptors, anew=anew) as process,
    ):
        assert process.stdout is not None
        ready = process.stdout.readline().decode()
        assert ready, log.read_text()
        yield Serving(process, ready.rpartition(" on ")[2].strip().split(", "), log)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@contextmanager
def free_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nobody listens, and nobody else can."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield int(one.getsockname()[1])


def eventually(what: Callable[[], T], seconds: float = 30.0) -> T:
    """Ask until the answer is true, and return it; fail when the time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return answer


def size_of(path: Path) -> int:
    """Return a file's size, or 0 while there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def small_and_big(directory: Path) -> Path:
    """Put a small file, `hello.txt`, and one of 48 MiB, `big.bin`, into a directory; return it."""
    (directory / "hello.txt").write_bytes(b"hello, world\n")
    (directory / "big.bin").write_bytes(Random(3).randbytes(48 << 20))
    return directory


def peak_memory(status: str | Path) -> int:
    """Return the most bytes of memory that a process has held so far, out of its status as Linux keeps it below /proc."""
    for line in Path(status).read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("this is not a process's status")
