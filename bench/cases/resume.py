"""A download killed half-way and run again: the time to the first new byte, and the speed of the re-check."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report
from bench.case import Case, Shown, random_file
from bench.inside import READERS
from bench.measure import CommandFailedError, Process, Sample
from bench.peer import JOBS, OURS
from bench.results import Results, in_turns, present
from bench.servers import REPOSITORY, UNSPOOL


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file (default 1024)")


def _kill_half_way(command: list[str], out: Path, size: int) -> None:
    """Run a download and kill it when half of the file has arrived."""
    part = out.with_name(f"{out.name}.unspool-part")
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL) as client:
        while client.poll() is None and not (part.exists() and _stored(part) >= size // 2):
            time.sleep(0.001)
        client.send_signal(signal.SIGKILL)
    if out.exists():
        raise CommandFailedError("the client was done before it could be killed: take a larger --size")


def _stored(part: Path) -> int:
    """Return how many bytes of a file are stored. A part file may have its full size from the start, with holes."""
    status = part.stat()
    return min(status.st_blocks * 512, status.st_size)


def recheck_speed(seen: Mapping[str, float]) -> float | None:
    """Return bytes per second between the first and the last event of the re-check, or None if there was only one.

    There is an event after every segment except the last. All segments are taken to have the same size.
    """
    segment = seen["good"] / (seen["first_left"] + 1)
    checked = (seen["first_left"] - seen["last_left"]) * segment
    return checked / (seen["last_check"] - seen["first_check"]) if checked else None


def _resume(address: str, server: Process, out: Path, size: int, options: Sequence[str]) -> Sample:
    out.unlink(missing_ok=True)
    command = [*READERS, "watched_get", *options, f"{address}/big.bin", str(out)]
    _kill_half_way([*UNSPOOL, "get", "-q", *options, f"{address}/big.bin", str(out)], out, size)
    before, began = server.cpu(), time.monotonic()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise CommandFailedError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.decode()[-500:]}")
    seen = json.loads(done.stdout.splitlines()[-1])
    first = seen["advanced"] - began
    more = {"first": first}
    if "good" in seen:
        more["good"] = seen["good"]
        if speed := recheck_speed(seen):
            more |= {"recheck": speed, "rest": first - seen["good"] / speed}
    return Sample(seconds, 0, server.cpu() - before, 0, server.peak_rss(), size, more)


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    size = arguments.size * report.MIB
    root = directory / "root"
    random_file(root / "big.bin", size)
    results = Results()
    with ExitStack() as stack:
        runs = {}
        for peer in present(OURS, results):
            process, address = stack.enter_context(peer.server(root))
            assert process is not None
            runs[peer.name] = partial(_resume, address, process, directory / "out", size, JOBS[peer.name])
        in_turns(runs, arguments.rounds, results)
    columns = [
        report.more("good", "MiB that were good", 0, report.MIB),
        report.more("first", "ms to the first new byte", 0, 1e-3),
        report.more("recheck", "re-check, GB/s", 2, 1e9),
        report.more("rest", "ms without the re-check", 0, 1e-3),
    ]
    return Shown(
        f"`unspool get` of {arguments.size} MiB killed (SIGKILL) half-way and run again: from the start of the second process "
        f"to its first new verified byte; {arguments.rounds} rounds.",
        report.table(results, columns),
        results,
        partial(plots.bars, results=results, value=lambda s: 1e3 * s.more["first"], title="After a kill", unit="ms"),
    )


RESUME = Case("resume", "killed half-way and run again: time to the first new byte, speed of the re-check", _options, _run)
