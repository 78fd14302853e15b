"""A whole `get` by the size of the file. The files served are sparse: they are zeros and take no disk space."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report
from bench.case import Case, Shown, chosen, get_file
from bench.peer import CURL, OURS
from bench.results import Results, in_turns, present

_SMALLEST = 4096


def sizes_up_to(most: int) -> list[int]:
    """Return 4 KiB, 16 KiB, 64 KiB ... up to `most` bytes."""
    sizes = []
    size = _SMALLEST
    while size <= most:
        sizes.append(size)
        size *= 4
    return sizes


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--most", type=int, default=1024, help="MiB of the largest file (default 1024); the download takes this much space"
    )
    parser.add_argument("--to", help="where files are downloaded to (default: as --dir)")


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    root = directory / "root"
    root.mkdir()
    results = Results()
    with ExitStack() as stack:
        to = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.to or directory, prefix="unspool-bench-")))
        out = to / "out"
        there = []
        for peer in present(chosen([OURS[0], CURL], arguments.only), results):
            process, address = stack.enter_context(peer.server(root))
            there.append((peer, process, address))
        for size in sizes_up_to(arguments.most * report.MIB):
            with (root / str(size)).open("wb") as file:
                file.truncate(size)
            runs = {
                peer.name: partial(get_file, peer.get(address, str(size), out), process, out, size)
                for peer, process, address in there
            }
            in_turns(runs, arguments.rounds, results, size)
            out.unlink(missing_ok=True)
    columns = [report.SECONDS, report.MEGABYTES, report.ratio_to(CURL.name), report.CPU, report.PEAK]
    return Shown(
        f"Whole client process, from {arguments.dir} (sparse files: zeros) to {arguments.to or arguments.dir}, "
        f"{arguments.rounds} rounds in turns. Peaks of servers are since their start.",
        report.table(results, columns, CURL.name, "bytes"),
        results,
        partial(
            plots.curves,
            results=results,
            value=lambda s: report.rate(s) / report.MB,
            title="Throughput of a whole get against the size",
            x_title="bytes",
            unit="MB/s",
            log_y=True,
        ),
    )


SIZES = Case("sizes", "the whole get against the size of the file", _options, _run)
