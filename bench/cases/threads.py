"""Where the processor time of one download goes, thread by thread: what a machine with more cores could do at the same time.

One process runs Python in one thread at a time, but gRPC receives and decrypts in threads of its own, and the kernel copies
into the file for the thread that writes. With a core for each, the busiest thread is the limit.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report, servers
from bench.case import Case, Shown, numbers, random_file, wanted
from bench.inside import READERS, measure_inside
from bench.measure import Process, Sample
from bench.results import Results, in_turns

_KINDS = {"loop": "event loop", "grpc": "gRPC's threads", "writer": "the thread that writes"}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file (default 1024)")
    parser.add_argument("--jobs", type=numbers, default=[1, 2, 4], help="streams of the client: 1,2,4 (default)")


def _measure(command: Sequence[str], out: Path, server: Process | None, jobs: int) -> Sample:
    sample, inner = measure_inside([*command, str(out), str(jobs)], server)
    out.unlink()
    per_gib = {kind: inner[kind] * report.GIB / inner["bytes"] for kind in _KINDS}
    per_gib["limit"] = limit(per_gib, jobs)
    return dataclasses.replace(sample, seconds=inner["seconds"], amount=inner["bytes"], more=per_gib)


def limit(per_gib: dict[str, float], jobs: int) -> float:
    """Return MB/s with a core for each thread. gRPC's threads share the work of connections, but each is for one at a time."""
    return report.GIB / report.MB / max(per_gib["loop"], per_gib["writer"], per_gib["grpc"] / jobs)


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    root = directory / "root"
    random_file(root / "big.bin", arguments.size * report.MIB)
    certificate = servers.new_certificate(directory)
    cert = str(certificate.file)
    results = Results()
    with ExitStack() as stack:
        runs = {}
        for name, options, ca in (("in clear", (), ""), ("TLS", ("--cert", cert, "--key", str(certificate.key)), cert)):
            if wanted(name, arguments.only):
                server, address = stack.enter_context(servers.unspool("--workers", "2", *options)(root))
                runs[name] = partial(_measure, [*READERS, "get_by_threads", address, ca, "big.bin"], directory / "out", server)
        for _ in range(arguments.rounds):
            for jobs in arguments.jobs:
                in_turns({name: partial(run, jobs) for name, run in runs.items()}, 1, results, jobs, warm_up=False)
    columns = [report.more(kind, title, 2) for kind, title in _KINDS.items()]
    return Shown(
        f"`Client.get` of {arguments.size} MiB in {arguments.dir}, from a tenth of the bytes to nine tenths, "
        f"{arguments.rounds} rounds in turns: processor seconds a GiB by thread, and MB/s if each thread had a core.",
        report.table(results, [*columns, report.more("limit", "MB/s with a core each", 0), report.MEGABYTES], x_title="jobs"),
        results,
        partial(
            plots.curves,
            results=results,
            value=lambda s: s.more["limit"],
            title="One process, a core for each of its threads",
            x_title="streams",
            unit="MB/s",
        ),
    )


THREADS = Case("threads", "the processor time of one download, thread by thread", _options, _run)
