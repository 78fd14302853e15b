"""A tree of many small files, whole client process."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report, servers
from bench.case import Case, Shown, chosen, numbers
from bench.measure import CommandFailedError, Process, Sample, measure
from bench.peer import Peer, program
from bench.results import Results, in_turns, present
from bench.servers import REPOSITORY, UNSPOOL

PER_DIRECTORY = 100


def make_tree(root: Path, count: int, size: int) -> None:
    """Write files of random bytes, a hundred in each directory."""
    for number in range(count):
        directory = root / f"{number // PER_DIRECTORY:05}"
        if number % PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"{number:07}.bin").write_bytes(os.urandom(size))


def _unspool(*options: str) -> Peer:
    def get(address: str, name: str, out: Path) -> Sequence[str]:
        return [*UNSPOOL, "get", "-q", "--recursive", *options, f"{address}/{name}", str(out)]

    needs = ("unspool get --recursive", *(f"unspool get {option}" for option in options if option.startswith("-")))
    return Peer(" ".join(["unspool", *options]), needs, servers.unspool(), get)


def _rsync(address: str, name: str, out: Path) -> Sequence[str]:
    return ["rsync", "-rt", "-W", f"rsync://{address}/root/{name}/", str(out)]


def _least(address: str, name: str, out: Path) -> Sequence[str]:
    return [*servers.PROGRAMS, "get_tree", address, name, str(out)]


def _rclone(address: str, name: str, out: Path) -> Sequence[str]:
    where = ["--http-url", f"http://{address}", f":http:{name}", str(out)]
    return [str(program("rclone")), "copy", "--config", "/dev/null", "-q", *where]


def _curl(address: str, name: str, out: Path) -> Sequence[str]:
    """One process that is given all names in a file, because curl cannot list."""
    return ["curl", "-sS", "--fail", "--create-dirs", "-Z", "-K", str(out.parent / f"{name}.curl-{address.rpartition(':')[2]}")]


_CP, _CURL = "cp -r", "nginx + curl -Z, told the names"
_ALWAYS_COPIES = {_CP, _CURL}
"""They do not look what is there."""

PEERS = [
    Peer(_CP, ("cp",), servers.local, lambda root, name, out: ["cp", "-r", f"{root}/{name}", str(out)]),
    _unspool(),
    _unspool("--jobs", "1"),
    _unspool("--jobs", "4"),
    Peer("Python with gRPC alone, unchecked", (), servers.unspool(), _least),
    Peer("rsync daemon", ("rsync",), servers.rsync, _rsync),
    Peer("nginx + rclone", ("nginx", "rclone"), servers.nginx, _rclone),
    Peer(_CURL, ("nginx", "curl"), servers.nginx, _curl),
]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--counts", type=numbers, default=[10_000], help="numbers of files: 100,1000,10000 (default 10000)")
    parser.add_argument("--size", type=int, default=4096, help="bytes of each file (default 4096)")
    parser.add_argument("--again", action="store_true", help="measure runs that find nothing to do")


def _measure(command: Sequence[str], server: Process | None, out: Path, count: int, *, again: bool) -> Sample:
    if not again:
        shutil.rmtree(out, ignore_errors=True)
    sample = measure(command, server, cwd=REPOSITORY)
    arrived = sum(1 for _ in out.rglob("*.bin"))  # the client may keep its own files beside them
    if arrived != count:
        raise CommandFailedError(f"{command[0]}: {arrived} of {count} files arrived")
    return dataclasses.replace(sample, amount=count)


def _tell_curl(root: Path, name: str, address: str, out: Path) -> None:
    with (out.parent / f"{name}.curl-{address.rpartition(':')[2]}").open("w") as told:
        for path in sorted((root / name).rglob("*.bin")):
            relative = path.relative_to(root / name)
            told.write(f'url = "http://{address}/{name}/{relative}"\noutput = "{out / relative}"\n')


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    results = Results()
    peers = present(chosen(PEERS, arguments.only, ("rsync daemon",)), results)
    if arguments.again:
        peers = [peer for peer in peers if peer.name not in _ALWAYS_COPIES]
    out = directory / "out"
    for count in arguments.counts:
        root = directory / f"root-{count}"
        make_tree(root / "tree", count, arguments.size)
        with ExitStack() as stack:
            runs: dict[str, Callable[[], Sample]] = {}
            for peer in peers:
                process, address = stack.enter_context(peer.server(root))
                if "curl" in peer.name:
                    _tell_curl(root, "tree", address, out)
                to = directory / f"again-{len(runs)}" if arguments.again else out  # one that is filled by itself
                runs[peer.name] = partial(_measure, peer.get(address, "tree", to), process, to, count, again=arguments.again)
            in_turns(runs, arguments.rounds, results, count)
        for there in (out, *directory.glob("again-*")):
            shutil.rmtree(there, ignore_errors=True)
        shutil.rmtree(root)
    per_second = report.Column("files/s, median", lambda samples, _: f"{report.median(samples, report.rate):.0f}")
    columns = [report.SECONDS, per_second, report.ratio_to("rsync daemon"), report.CPU, report.PEAK]
    return Shown(
        f"Whole client process, files of {arguments.size} bytes, {PER_DIRECTORY} to a directory, in {arguments.dir}, "
        f"{arguments.rounds} rounds in turns{', with nothing to do' if arguments.again else ''}.",
        report.table(results, columns, "rsync daemon", "files"),
        results,
        partial(
            plots.curves,
            results=results,
            value=report.rate,
            title=f"Trees of files of {arguments.size} bytes",
            x_title="files",
            unit="files/s",
        ),
    )


TREE = Case("tree", "a tree of many small files", _options, _run)
