"""Run benchmarks: `python -m bench --help`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import report
from bench.measure import CommandFailedError, Sample, measure
from bench.peer import PEERS, Peer

_MIB = 1 << 20


def main() -> None:
    """Parse the command line and run what it asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure unspool beside its peers.")
    parser.add_argument("case", nargs="?", default="first", choices=["first", "big"], help="first: beside cp; big: every peer")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file (default 1024)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each peer runs, in turns (default 5)")
    parser.add_argument("--dir", default=_fast_directory(), help="where files are served from and got to")
    parser.add_argument("--only", help="peers whose name contains this, beside cp")
    parser.add_argument("--save", type=Path, help="write the samples as JSON")
    parser.add_argument("--plot", type=Path, help="draw the result as SVG")
    arguments = parser.parse_args()

    peers = [peer for peer in PEERS if arguments.case == "big" or peer.name in ("cp", "unspool")]
    if arguments.only:
        peers = [peer for peer in peers if arguments.only in peer.name or peer.name == "cp"]
    size = arguments.size * _MIB
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="unspool-bench-") as directory:
        results = big_file(Path(directory), peers, size, arguments.rounds)
    print(f"\nWhole client process to a file in {arguments.dir}, {arguments.size} MiB, {arguments.rounds} rounds in turns.")
    print(f"{report.machine()}\n")
    print(report.table(results, size, "cp"))
    if arguments.save:
        report.save(arguments.save, results, size)
    if arguments.plot:
        report.plot(arguments.plot, results, size, f"One file of {arguments.size} MiB, whole process, loopback")


def big_file(directory: Path, peers: Sequence[Peer], size: int, rounds: int) -> dict[str, list[Sample]]:
    """Get one big file by every peer, in turns; a peer that is not installed has no samples."""
    root, out = directory / "root", directory / "out"
    root.mkdir()
    with (root / "big.bin").open("wb") as file:
        for _ in range(size // _MIB):
            file.write(os.urandom(_MIB))
    results: dict[str, list[Sample]] = {}
    with ExitStack() as servers:
        runs = {}
        for peer in peers:
            results[peer.name] = []
            if missing := peer.missing():
                print(f"{peer.name}: {missing} is not installed (make bench-peers)", file=sys.stderr)
                continue
            runs[peer.name] = servers.enter_context(peer.serve(root))
        for number in range(rounds + 1):
            for name, (server, command) in runs.items():
                out.unlink(missing_ok=True)
                try:
                    sample = measure(command("big.bin", out), server, cwd=Path(__file__).parent.parent)
                    if out.stat().st_size != size:
                        raise CommandFailedError(f"{name}: {out.stat().st_size} bytes arrived")
                except CommandFailedError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                if number:  # the first round warms up caches and is not counted
                    results[name].append(sample)
                print(f"\r{name}: {size / sample.seconds / 1e6:.0f} MB/s".ljust(60), end="", file=sys.stderr)
    print(file=sys.stderr)
    return results


def _fast_directory() -> str:
    """Memory where there is some, so that the disk is not what is measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


main()
