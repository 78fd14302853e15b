"""Latency that people notice: start-up, and a tiny file."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report
from bench.case import Case, Shown, chosen, get_file, random_file
from bench.measure import measure
from bench.peer import CURL, OURS
from bench.results import Results, in_turns, present
from bench.servers import REPOSITORY, UNSPOOL

_TINY = 1024


def _options(_: argparse.ArgumentParser) -> None:
    pass


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    root = directory / "root"
    random_file(root / "tiny.bin", _TINY)
    results = Results()
    runs = {
        "python -c pass": partial(measure, [sys.executable, "-c", "pass"], None),
        "unspool --version": partial(measure, [*UNSPOOL, "--version"], None, cwd=REPOSITORY),
        "curl --version": partial(measure, ["curl", "--version"], None),
    }
    with ExitStack() as stack:
        for peer in present(chosen([OURS[0], CURL], arguments.only), results):
            process, address = stack.enter_context(peer.server(root))
            out = directory / "out"
            runs[f"{peer.name}, 1 KiB"] = partial(get_file, peer.get(address, "tiny.bin", out), process, out, _TINY)
            if peer.name not in results.why_not:
                del results.samples[peer.name]
        in_turns(runs, arguments.rounds, results)
    milliseconds = report.Column("ms, median (least to most)", lambda s, _: report.spread(1e3 * one.seconds for one in s))
    return Shown(
        f"Whole processes, {arguments.rounds} rounds in turns.",
        report.table(results, [milliseconds, report.CPU, report.PEAK]),
        results,
        partial(plots.bars, results=results, value=lambda s: 1e3 * s.seconds, title="Small things", unit="ms"),
    )


SMALL = Case("small", "starting, and a file of 1 KiB", _options, _run)
