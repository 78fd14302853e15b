"""Random spans of a few files: what programs do that read shards, columns or chunks. In one client process, bytes discarded."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report, servers
from bench.case import Case, Shown, chosen, random_file
from bench.inside import READERS, measure_inside
from bench.measure import Process, Sample
from bench.peer import Peer
from bench.readers import FILE_SIZE, FILES
from bench.results import Results, in_turns, present
from bench.servers import Server

_MANY = "unspool.Client.read_many"

_AT_ONCE = 32


def _peer(name: str, reader: str, server: Server, at_once: int, *needs: str) -> Peer:
    return Peer(name, needs, server, lambda address, numbers, _: [*READERS, reader, address, *numbers.split(), str(at_once)])


PEERS = [
    _peer(_MANY, "spans_many", servers.unspool(), 0),
    _peer("unspool.Client.read, 1 at a time", "spans_single", servers.unspool(), 1),
    _peer(f"unspool.Client.read, {_AT_ONCE} at once", "spans_single", servers.unspool(), _AT_ONCE),
    _peer("raw gRPC, a stream each, 1 at a time", "spans_grpc", servers.program("grpc"), 1),
    _peer(f"raw gRPC, a stream each, {_AT_ONCE} at once", "spans_grpc", servers.program("grpc"), _AT_ONCE),
    _peer(f"nginx + aiohttp, {_AT_ONCE} at once", "spans_aiohttp", servers.nginx_for_spans, _AT_ONCE, "nginx", ".aiohttp"),
    _peer(f"nginx + obstore, {_AT_ONCE} at once", "spans_obstore", servers.nginx_for_spans, _AT_ONCE, "nginx", ".obstore"),
]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=64, help="KiB of each span (default 64)")
    parser.add_argument("--count", type=int, default=4096, help="number of spans (default 4096)")


def _measure(command: list[str], server: Process | None, size: int) -> Sample:
    sample, inner = measure_inside(command, server)
    # The server's processor time is of all spans, also of those that are read before time is taken; its start is before.
    return dataclasses.replace(
        sample, seconds=inner["seconds"], client_cpu=inner["cpu"], amount=inner["spans"], more={"size": size}
    )


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    for number in range(FILES):
        random_file(directory / f"{number}.bin", FILE_SIZE)
    size = arguments.size * 1024
    results = Results()
    with ExitStack() as stack:
        runs = {}
        for peer in present(chosen(PEERS, arguments.only, (_MANY,)), results):
            process, address = stack.enter_context(peer.server(directory))
            command = list(peer.get(address, f"{arguments.count} {size}", directory))
            runs[peer.name] = partial(_measure, command, process, size)
        in_turns(runs, arguments.rounds, results)
    per_second = report.Column("spans/s, median (least to most)", lambda s, _: report.spread(map(report.rate, s)))
    each = report.Column("us of a processor for each, client + server", lambda s, _: _each(s))
    return Shown(
        f"{arguments.count} random spans of {arguments.size} KiB of {FILES} files, in one client process, "
        f"{arguments.rounds} rounds in turns.",
        report.table(results, [per_second, report.ratio_to(_MANY), each, report.PEAK], _MANY),
        results,
        partial(plots.bars, results=results, value=report.rate, title=f"Spans of {arguments.size} KiB", unit="spans/s"),
    )


def _each(samples: Sequence[Sample]) -> str:
    client = report.median(samples, lambda s: 1e6 * s.client_cpu / s.amount)
    server = report.median(samples, lambda s: 1e6 * s.server_cpu / s.amount)
    return f"{client:.0f} + {server:.0f} = {client + server:.0f}"


SPANS = Case("spans", "random spans of 64 KiB, by the thousand", _options, _run)
