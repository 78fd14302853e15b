"""The library in steady state: the middle half of one read, without start-up and end. Bytes are discarded."""

from __future__ import annotations

import argparse
import dataclasses
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report, servers
from bench.case import Case, Shown, chosen, random_file
from bench.inside import READERS, measure_inside
from bench.measure import Process, Sample
from bench.peer import Peer
from bench.results import Results, in_turns, present


def _reader(name: str, size: int) -> Peer:
    server = servers.unspool() if name == "unspool" else servers.program(name)
    titles = {"unspool": "unspool.Client.open", "grpc": "raw gRPC, 1 MiB, unchecked", "flight": "Arrow Flight, 1 MiB"}
    needs = (".pyarrow",) if name == "flight" else ()
    return Peer(titles[name], needs, server, lambda address, file, _: [*READERS, f"steady_{name}", address, file, str(size)])


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=2048, help="MiB of the file (default 2048)")


def _measure(command: list[str], server: Process | None) -> Sample:
    sample, inner = measure_inside(command, server)
    return dataclasses.replace(
        sample,
        seconds=inner["seconds"],
        amount=inner["bytes"],
        client_cpu=inner["cpu"],
        server_cpu=sample.server_cpu / 2,  # it was measured for the whole file, of which the middle is half
    )


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    size = arguments.size * report.MIB
    random_file(directory / "big.bin", size)
    peers = chosen([_reader(name, size) for name in ("unspool", "grpc", "flight")], arguments.only)
    results = Results()
    with ExitStack() as stack:
        runs = {}
        for peer in present(peers, results):
            process, address = stack.enter_context(peer.server(directory))
            runs[peer.name] = partial(_measure, list(peer.get(address, "big.bin", directory)), process)
        in_turns(runs, arguments.rounds, results)
    return Shown(
        f"In one client process, bytes discarded: from 25 % to 75 % of one read of {arguments.size} MiB, "
        f"{arguments.rounds} rounds in turns.",
        report.table(
            results,
            [report.MEGABYTES, report.ratio_to("raw gRPC, 1 MiB, unchecked"), report.CPU_PER_GIB, report.PEAK],
            "raw gRPC, 1 MiB, unchecked",
        ),
        results,
        partial(
            plots.bars, results=results, value=lambda s: report.rate(s) / report.MB, title="Steady state, one read", unit="MB/s"
        ),
    )


STEADY = Case("steady", "the library in steady state: the middle of one read", _options, _run)
