"""Many clients at once: a server's total throughput and cost, by the number of clients and of server processes.

The load is the same for every server: a program in Go (`tutorial load`) whose clients have one connection each, read one file
again and again, and only count bytes. So only the servers differ. unspool is measured a second time with the same number of
clients of its own library in one process, which verify every block; there the client process is the limit.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import plots, report, servers
from bench.case import Case, Shown, numbers, random_file, wanted
from bench.inside import READERS, measure_inside
from bench.measure import Sample
from bench.peer import Peer
from bench.results import Results, in_turns, present

_FILE_MIB = 256
_NO_LIMITS = ["--max-streams", "100000", "--max-streams-per-peer", "100000", "--max-connections", "100000"]


def _raw(method: str, request: Callable[[str], bytes]) -> Callable[[str, str, int, float], list[str]]:
    def command(address: str, name: str, clients: int, seconds: float) -> list[str]:
        message = ["--method", method, "--request", request(name).hex()]
        load = ["--clients", str(clients), "--seconds", str(seconds)]
        return [servers.tutorial_binary(), "load", "--addr", address, *message, *load]

    return command


def _library(address: str, name: str, clients: int, seconds: float) -> list[str]:
    return [*READERS, "load", address, name, str(clients), str(seconds)]


def _read_request(name: str) -> bytes:
    from unspool.v1.file_service_pb2 import ReadFileRequest

    return ReadFileRequest(name=name).SerializeToString()


def _demo_request(name: str) -> bytes:
    from unspool.demo.files_pb2 import Request

    return Request(name=name).SerializeToString()


@dataclasses.dataclass(frozen=True, slots=True)
class _Way:
    """A server and a load for it."""

    peer: Peer
    load: Callable[[str, str, int, float], list[str]]


def _ways(workers: list[int]) -> list[_Way]:
    ways = []
    unspool_read = _raw("/unspool.v1.FileService/ReadFile", _read_request)
    for count in workers:
        server = servers.unspool("--workers", str(count), *_NO_LIMITS)
        ways.append(_Way(_peer(f"unspool, --workers {count}", ("go",), server), unspool_read))
        ways.append(_Way(_peer(f"unspool, --workers {count}, library clients", (), server), _library))
    for count in workers:
        server = servers.program("grpc", str(count))
        ways.append(_Way(_peer(f"raw gRPC, 1 MiB, {count} processes", ("go",), server), _raw("/raw.Raw/Read", str.encode)))
    for title, size in (("32 KiB", 32 * 1024), ("1 MiB", 1 << 20)):
        peer = _peer(f"tutorial in Go, {title}", ("go",), servers.tutorial(size))
        ways.append(_Way(peer, _raw("/demo.Files/GetFile", _demo_request)))
    return ways


def _peer(name: str, needs: tuple[str, ...], server: servers.Server) -> Peer:
    return Peer(name, needs, server, lambda *_: [])


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=numbers, default=[1, 2, 4, 8, 16, 32, 64, 128, 256], help="how many: 1,2,4,...")
    parser.add_argument("--workers", type=numbers, default=[1, 2], help="processes of a server: 1,2 (default)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each is measured (default 3)")


def _measure(way: _Way, root: Path, clients: int, seconds: float) -> Sample:
    with way.peer.server(root) as (process, address):  # a new server each time, so that its peak is that of this load
        sample, inner = measure_inside(way.load(address, "big.bin", clients, seconds), process)
    part = inner["bytes"] / inner["all"]
    return dataclasses.replace(
        sample,
        seconds=inner["seconds"],
        amount=inner["bytes"],
        client_cpu=sample.client_cpu * part,
        server_cpu=sample.server_cpu * part,
    )


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    random_file(directory / "big.bin", _FILE_MIB * report.MIB)
    ways = [way for way in _ways(arguments.workers) if wanted(way.peer.name, arguments.only)]
    results = Results()
    there = {peer.name for peer in present([way.peer for way in ways], results)}
    for clients in arguments.clients:
        runs = {
            way.peer.name: partial(_measure, way, directory, clients, arguments.seconds)
            for way in ways
            if way.peer.name in there
        }
        in_turns(runs, arguments.rounds, results, clients, warm_up=False)
    reference = f"raw gRPC, 1 MiB, {arguments.workers[-1]} processes"
    return Shown(
        f"All clients together, each with a connection of its own reading {_FILE_MIB} MiB again and again, bytes discarded; "
        f"{arguments.seconds:g} s counted once all have begun, {arguments.rounds} rounds in turns, a new server each time.",
        report.table(
            results, [report.MEGABYTES, report.ratio_to(reference), report.CPU_PER_GIB, report.PEAK], reference, "clients"
        ),
        results,
        partial(
            plots.curves,
            results=results,
            value=lambda s: report.rate(s) / report.MB,
            title="All clients together",
            x_title="clients",
            unit="MB/s",
        ),
    )


CLIENTS = Case("clients", "many clients at once, against their number and the server's processes", _options, _run)
