"""Uploads: one big file, or a tree of small ones, whole client process."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from bench import plots, report, servers
from bench.case import Case, Shown, chosen, random_file
from bench.measure import CommandFailedError, Process, Sample, measure_output
from bench.peer import Peer, program, unspool_get
from bench.results import Results, in_turns, present
from bench.servers import UNSPOOL

_SMALL = 8192
"""Largest file of the tree, in bytes."""

_DOWNLOAD = "unspool get"
"""The other direction, to compare with."""

_CURL = "curl -T to nginx (dav)"
_RSYNC = "rsync to a daemon"

# The third argument of a peer's command is the file or the directory to upload.
BIG = [
    Peer(
        "unspool put",
        (),
        servers.unspool("--write"),
        lambda address, name, source: [*UNSPOOL, "put", "--json", "--no-resume", str(source), f"{address}/{name}"],
    ),
    Peer(
        _CURL,
        ("nginx", "curl"),
        servers.nginx_dav,
        lambda address, name, source: ["curl", "-sS", "--fail", "-T", str(source), f"http://{address}/{name}"],
    ),
    Peer(
        _RSYNC,
        ("rsync",),
        servers.rsync,
        lambda address, name, source: ["rsync", "-W", str(source), f"rsync://{address}/root/{name}"],
    ),
    Peer(
        "rclone copyto to rclone serve webdav",
        ("rclone",),
        servers.rclone_webdav,
        lambda address, name, source: [
            str(program("rclone")),
            *("copyto", "--config", "/dev/null", "--webdav-url", f"http://{address}", str(source), f":webdav:{name}"),
        ],
    ),
    Peer(
        "raw gRPC, 1 MiB, unchecked",
        (),
        servers.program("grpc"),
        lambda address, name, source: [*servers.PROGRAMS, "put_grpc", address.rpartition(":")[2], name, str(source)],
    ),
    Peer(_DOWNLOAD, (), servers.unspool(), unspool_get()),
]

TREE = [
    Peer(
        "unspool put -r",
        (),
        servers.unspool("--write"),
        lambda address, name, source: [*UNSPOOL, "put", "-q", "-r", str(source), f"{address}/{name}"],
    ),
    Peer(
        _RSYNC,
        ("rsync",),
        servers.rsync,
        lambda address, name, source: ["rsync", "-rt", "-W", f"{source}/", f"rsync://{address}/root/{name}"],
    ),
]


def _put(command: Sequence[str], process: Process | None, target: Path, amount: float, *, again: bool) -> Sample:
    """Measure one upload to a name that does not exist, or with `again` of what is there; check that it is there.

    A client that prints its result must have succeeded at once: an upload that was retried is no measurement.
    """
    if not again:
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    sample, said = measure_output(command, process)
    if said.last and (attempts := json.loads(said.last)["attempts"]) != 1:
        raise CommandFailedError(f"{command[0]}: took {attempts} attempts")
    if not target.exists():
        raise CommandFailedError(f"{command[0]}: nothing arrived")
    return replace(sample, amount=amount)


def _measure(
    peers: list[Peer], arguments: argparse.Namespace, directory: Path, source: Path, amount: float, *, again: bool = False
) -> Results:
    results = Results()
    with ExitStack() as stack:
        runs = {}
        for number, peer in enumerate(present(chosen(peers, arguments.only), results)):
            root = directory / str(number) / "root"
            root.mkdir(parents=True)
            target = root / "out"
            if peer.name == _DOWNLOAD:
                process, address = stack.enter_context(peer.server(source.parent))
                command = peer.get(address, source.name, target)
            else:
                process, address = stack.enter_context(peer.server(root))
                command = peer.get(address, target.name, source)
            runs[peer.name] = partial(_put, command, process, target, amount, again=again)
        in_turns(runs, arguments.rounds, results)
    return results


def _big_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file (default 1024)")


def _run_big(arguments: argparse.Namespace, directory: Path) -> Shown:
    size = arguments.size * report.MIB
    source = directory / "source" / "big.bin"
    random_file(source, size)
    results = _measure(BIG, arguments, directory, source, size)
    return Shown(
        f"Whole client process, in {arguments.dir}, {arguments.size} MiB, {arguments.rounds} rounds in turns.",
        report.table(results, [report.MEGABYTES, report.ratio_to(_CURL), report.CPU_PER_GIB, report.PEAK], _CURL),
        results,
        partial(
            plots.bars,
            results=results,
            value=lambda sample: report.rate(sample) / report.MB,
            title=f"Upload of one file of {arguments.size} MiB, whole process, loopback",
            unit="MB/s",
        ),
    )


def _tree_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--files", type=int, default=10_000, help="number of files (default 10,000)")
    parser.add_argument("--again", action="store_true", help="measure runs that find nothing to do")


def _run_tree(arguments: argparse.Namespace, directory: Path) -> Shown:
    random = Random(1)
    source = directory / "source" / "tree"
    for number in range(arguments.files):
        path = source / f"d{number % 100}" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(random.randrange(_SMALL)))
    results = _measure(TREE, arguments, directory, source, arguments.files, again=arguments.again)
    return Shown(
        f"Whole client process, in {arguments.dir}, {arguments.files} files, {arguments.rounds} rounds in turns"
        f"{', with nothing to do' if arguments.again else ''}.",
        report.table(results, [report.SECONDS, report.ratio_to(_RSYNC), report.CPU, report.PEAK], _RSYNC),
        results,
        partial(
            plots.bars,
            results=results,
            value=report.rate,
            title=f"Upload of {arguments.files} small files, whole process, loopback",
            unit="files/s",
        ),
    )


PUT = Case("put", "upload one big file", _big_options, _run_big)
PUT_TREE = Case("puttree", "upload many small files", _tree_options, _run_tree)
