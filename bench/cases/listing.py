"""Listing very many files: the time to the first line, entries per second, memory on both sides."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report, servers
from bench.case import Case, Shown, chosen, numbers
from bench.inside import READERS, measure_inside
from bench.measure import CommandFailedError, Process, Sample, measure_output
from bench.peer import Peer, program
from bench.results import Results, in_turns, present
from bench.servers import REPOSITORY, UNSPOOL


def grow(directory: Path, count: int) -> None:
    """Add empty files to a directory until it has `count`: 0000000, 0000001, ..."""
    directory.mkdir(parents=True, exist_ok=True)
    there = sum(1 for _ in os.scandir(directory))
    for number in range(there, count):
        os.close(os.open(directory / f"{number:07}", os.O_CREAT | os.O_WRONLY, 0o644))


def _rclone(address: str, name: str, _: Path) -> Sequence[str]:
    return [str(program("rclone")), "lsf", "--config", "/dev/null", "--http-url", f"http://{address}", f":http:{name}"]


LIBRARY = "unspool.Client.list"

PEERS = [
    Peer("find", ("find",), servers.local, lambda root, name, _: ["find", f"{root}/{name}", "-type", "f"]),
    Peer("unspool ls", (), servers.unspool(), lambda address, name, _: [*UNSPOOL, "ls", f"{address}/{name}"]),
    Peer(LIBRARY, (), servers.unspool(), lambda address, name, _: [*READERS, "listing", address, name]),
    Peer("rsync daemon", ("rsync",), servers.rsync, lambda address, name, _: ["rsync", f"rsync://{address}/root/{name}/"]),
    Peer("nginx + rclone lsf", ("nginx", "rclone"), servers.nginx, _rclone),
]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--counts", type=numbers, default=[1, 1000, 200_000], help="numbers of files (default 1,1000,200000)")


def _measure(command: list[str], server: Process | None, count: int) -> Sample:
    if "bench.readers" in command:  # it measures itself, beginning with the request
        sample, inner = measure_inside(command, server)
        first, lines = inner["first"], int(inner["entries"])
        sample = dataclasses.replace(sample, seconds=inner["seconds"])
    else:
        sample, said = measure_output(command, server, cwd=REPOSITORY)
        first, lines = said.first or sample.seconds, said.lines
    if not count <= lines <= count + 1:  # rsync lists the directory too
        raise CommandFailedError(f"{command[0]}: {lines} lines for {count} files")
    return dataclasses.replace(sample, amount=count, more={"first": first})


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    root = directory / "root"
    results = Results()
    there = present(chosen(PEERS, arguments.only), results)
    for count in sorted(arguments.counts):
        grow(root / "many", count)
        with ExitStack() as stack:  # new servers for each count, so that their peaks are those of this count
            runs = {}
            for peer in there:
                process, address = stack.enter_context(peer.server(root))
                runs[peer.name] = partial(_measure, list(peer.get(address, "many", directory)), process, count)
            in_turns(runs, arguments.rounds, results, count)
    columns = [
        report.more("first", "ms to the first line, median (least to most)", 0, 1e-3),
        report.Column("entries/s, median (least to most)", lambda samples, _: report.spread(map(report.rate, samples))),
        report.CPU,
        report.PEAK,
    ]
    return Shown(
        f"One directory of empty files in {arguments.dir}, {arguments.rounds} rounds in turns. Whole processes, from their "
        f"start; {LIBRARY} from the request.",
        report.table(results, columns, x_title="files"),
        results,
        partial(
            plots.curves, results=results, value=report.rate, title="Listing", x_title="files", unit="entries/s", log_y=True
        ),
    )


LIST = Case("list", "listing very many files", _options, _run)
