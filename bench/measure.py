"""Measures one command and its server: wall-clock time, and the CPU time and peak memory of each side."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")

LONGEST = 900.0
"""Timeout of a command in seconds. The command is then killed and counts as failed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one command.

    Attributes:
        seconds: wall-clock time of the whole client process, unless the case says otherwise.
        client_cpu, server_cpu: CPU seconds, user and system.
        client_rss, server_rss: peak resident bytes. A client's peak is never lower than that of the harness, which starts it.
        amount: bytes or files transferred.
        more: figures that only this case measures.
    """

    seconds: float
    client_cpu: float
    server_cpu: float
    client_rss: int
    server_rss: int
    amount: float = 0
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What a command wrote to its standard output. `first` is the time of its first byte, in seconds from the start."""

    first: float | None
    lines: int
    last: str


class CommandFailedError(Exception):
    """A command failed that was expected to succeed."""


class Process:
    """A running server and its resource usage."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu(self) -> float:
        """CPU seconds so far, of the process and its running and ended children."""
        return sum(_cpu_of(pid) for pid in _tree(self.pid))

    def peak_rss(self) -> int:
        """Peak resident bytes so far, summed over the process and its running children."""
        return sum(_peak_of(pid) for pid in _tree(self.pid))


@contextmanager
def running(command: Sequence[str], ready: str | None = None, *, cwd: Path | None = None) -> Iterator[tuple[Process, str]]:
    """Run a server. Yield it and the first line of its output that contains `ready`; if `ready` is None, do not wait."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE if ready else subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, cwd=cwd
    ) as process:
        try:
            line = ""
            if ready is not None:
                assert process.stdout is not None
                while ready not in line:
                    line = process.stdout.readline()
                    if not line:
                        raise CommandFailedError(f"{command[0]} ended before it was ready")
            yield Process(process.pid), line
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def measure(command: Sequence[str], server: Process | None, *, cwd: Path | None = None) -> Sample:
    """Run a client to its end. Raises CommandFailedError if its exit status is not 0."""
    return measure_output(command, server, cwd=cwd)[0]


def measure_output(command: Sequence[str], server: Process | None, *, cwd: Path | None = None) -> tuple[Sample, Said]:
    """Do the same as `measure`, and also return the client's output."""
    server_before = server.cpu() if server else 0.0
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, cwd=cwd)
        said = _listen(process, started)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            complaint = errors.read().decode(errors="replace")[-500:]
            raise CommandFailedError(f"{' '.join(command)}: exit {process.returncode}: {complaint}")
    return (
        Sample(
            seconds=seconds,
            client_cpu=usage.ru_utime + usage.ru_stime,
            server_cpu=(server.cpu() - server_before) if server else 0.0,
            client_rss=usage.ru_maxrss * 1024,
            server_rss=server.peak_rss() if server else 0,
        ),
        said,
    )


def _listen(process: subprocess.Popen[bytes], started: float) -> Said:
    """Read all output of a process. Kill the process if it takes too long."""
    assert process.stdout is not None
    first: float | None = None
    lines, last = 0, b""
    killer = threading.Timer(LONGEST, process.kill)
    killer.start()
    with process.stdout as out:
        while piece := os.read(out.fileno(), 1 << 20):
            if first is None:
                first = time.perf_counter() - started
            lines += piece.count(b"\n")
            last = (last + piece)[-4096:]
    killer.cancel()
    return Said(first, lines, last.decode(errors="replace"))


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for parent in pids:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        pids.extend(map(int, children))
    return pids


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # of the process, and of the children it has waited for


def _peak_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
