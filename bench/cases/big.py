"""One big file, whole client process."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report
from bench.case import Case, Shown, chosen, get_file, random_file
from bench.peer import CP, OURS, PEERS, Peer
from bench.results import Results, in_turns, present


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a case that gets one big file."""
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file (default 1024)")
    parser.add_argument("--to", help="where the file is downloaded to (default: as --dir)")
    parser.add_argument("--sync", action="store_true", help="include an fsync of the file in the time, for every peer")


def measured(arguments: argparse.Namespace, directory: Path, peers: Sequence[Peer], reference: str, what: str) -> Shown:
    """Get one big file with each peer. Ratios are to the peer that `reference` names; `what` ends the plot's title."""
    size = arguments.size * report.MIB
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
        report.table(results, [report.MEGABYTES, report.ratio_to(reference), report.CPU_PER_GIB, report.PEAK], reference),
        results,
        partial(
            plots.bars,
            results=results,
            value=lambda sample: report.rate(sample) / report.MB,
            title=f"One file of {arguments.size} MiB, whole process, {what}",
            unit="MB/s",
        ),
    )


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    return measured(arguments, directory, chosen(PEERS, arguments.only, (CP.name,)), CP.name, "loopback")


def _first(arguments: argparse.Namespace, directory: Path) -> Shown:
    peers = [peer for peer in chosen(PEERS, arguments.only) if peer.name == OURS[0].name]
    return measured(arguments, directory, [CP, *peers], CP.name, "loopback")


FIRST = Case("first", "a first figure: one file, beside cp", options, _first)
BIG = Case("big", "one big file, every peer", options, _run)
