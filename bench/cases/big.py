"""One big file, whole client process."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report
from bench.case import Case, Shown, chosen, get_file, random_file
from bench.peer import PEERS
from bench.results import Results, in_turns, present

_BESIDE = ("cp", "unspool")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file (default 1024)")
    parser.add_argument("--to", help="where the file is downloaded to (default: as --dir)")
    parser.add_argument("--sync", action="store_true", help="include an fsync of the file in the time, for every peer")


def _run(arguments: argparse.Namespace, directory: Path, *, few: bool = False) -> Shown:
    size = arguments.size * report.MIB
    peers = [peer for peer in chosen(PEERS, arguments.only, ("cp",)) if not few or peer.name in _BESIDE]
    root = directory / "root"
    random_file(root / "big.bin", size)
    results = Results()
    with ExitStack() as stack:
        to = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.to or directory, prefix="unspool-bench-")))
        runs = {}
        for peer in present(peers, results):
            process, address = stack.enter_context(peer.server(root))
            command = peer.get(address, "big.bin", to / "out")
            runs[peer.name] = partial(get_file, command, process, to / "out", size, sync=arguments.sync)
        in_turns(runs, arguments.rounds, results)
    where = f"from {arguments.dir} to {arguments.to or arguments.dir}{', synchronised' if arguments.sync else ''}"
    return Shown(
        f"Whole client process, {where}, {arguments.size} MiB, {arguments.rounds} rounds in turns.",
        report.table(results, [report.MEGABYTES, report.ratio_to("cp"), report.CPU_PER_GIB, report.PEAK], "cp"),
        results,
        partial(
            plots.bars,
            results=results,
            value=lambda sample: report.rate(sample) / report.MB,
            title=f"One file of {arguments.size} MiB, whole process, loopback",
            unit="MB/s",
        ),
    )


FIRST = Case("first", "a first figure: one file, beside cp", _options, partial(_run, few=True))
BIG = Case("big", "one big file, every peer", _options, _run)
