"""The cost of the progress bar: the same `get` on a terminal, with the bar and without."""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

from bench import plots, report
from bench.case import Case, Shown, random_file
from bench.measure import CommandFailedError, Process, Sample
from bench.peer import OURS
from bench.results import Results, in_turns
from bench.servers import REPOSITORY, UNSPOOL


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file (default 1024)")


def _get_on_terminal(command: list[str], server: Process | None, out: Path, size: int) -> Sample:
    """Do the same as `get_file`, with a terminal as standard error whose output is read continuously."""
    ours, theirs = pty.openpty()

    def read_on() -> None:
        try:
            while os.read(ours, 1 << 16):
                pass
        except OSError:  # the last process has closed the terminal
            pass

    reader = threading.Thread(target=read_on)
    reader.start()
    out.unlink(missing_ok=True)
    before, began = server.cpu() if server else 0.0, time.perf_counter()
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    os.close(ours)
    if process.returncode or out.stat().st_size != size:
        raise CommandFailedError(f"{' '.join(command)}: exit {process.returncode}")
    used = (server.cpu() - before, server.peak_rss()) if server else (0.0, 0)
    return Sample(seconds, usage.ru_utime + usage.ru_stime, used[0], usage.ru_maxrss * 1024, used[1], size)


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    size = arguments.size * report.MIB
    root, out = directory / "root", directory / "out"
    random_file(root / "big.bin", size)
    results = Results()
    with OURS[0].server(root) as (process, address):
        url = f"{address}/big.bin"
        runs = {
            "unspool get --quiet": partial(_get_on_terminal, [*UNSPOOL, "get", "--quiet", url, str(out)], process, out, size),
            "unspool get, progress bar": partial(_get_on_terminal, [*UNSPOOL, "get", url, str(out)], process, out, size),
        }
        in_turns(runs, arguments.rounds, results)
    columns = [report.SECONDS, report.ratio_to("unspool get --quiet"), report.CPU]
    return Shown(
        f"Whole client process on a terminal, {arguments.size} MiB in {arguments.dir}, {arguments.rounds} rounds in turns.",
        report.table(results, columns, "unspool get --quiet"),
        results,
        partial(plots.bars, results=results, value=lambda s: s.seconds, title="The progress bar", unit="seconds"),
    )


PROGRESS = Case("progress", "what the progress bar costs", _options, _run)
