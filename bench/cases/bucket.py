"""One big object of a bucket, whole client process: through unspool, and straight from the store."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench import plots, report, servers
from bench.case import Case, Shown, chosen, get_file, random_file
from bench.peer import Peer, program, unspool_get
from bench.results import Results, in_turns, present
from bench.servers import KEY, SECRET

_BUCKET = "bench"
_OBJECT = f"{_BUCKET}/big.bin"

_UNSPOOL = "unspool serve s3:// + get"
_RCLONE = "rclone copyto"

_S3FS = "import sys, s3fs; s3fs.S3FileSystem().get_file(sys.argv[1], sys.argv[2])"


@contextmanager
def _store_itself(_: Path) -> Iterator[tuple[None, str]]:
    """The client asks the store."""
    yield None, os.environ["AWS_ENDPOINT_URL"]


PEERS = [
    Peer(_UNSPOOL, (".obstore",), servers.unspool_of(f"s3://{_BUCKET}"), unspool_get()),
    Peer(
        _RCLONE,
        ("rclone",),
        _store_itself,
        lambda _, __, out: [str(program("rclone")), "copyto", "--config", "/dev/null", f":s3:{_OBJECT}", str(out)],
    ),
    Peer(
        "s5cmd cp",
        ("s5cmd",),
        _store_itself,
        lambda address, _, out: [str(program("s5cmd")), "--endpoint-url", address, "cp", f"s3://{_OBJECT}", str(out)],
    ),
    Peer("s3fs get_file", (".s3fs",), _store_itself, lambda _, __, out: [sys.executable, "-c", _S3FS, _OBJECT, str(out)]),
]


def _configure(address: str) -> None:
    """Set the environment by which all of them find the store."""
    os.environ |= {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "RCLONE_S3_PROVIDER": "Other",
        "RCLONE_S3_ENDPOINT": address,
        "RCLONE_S3_ACCESS_KEY_ID": KEY,
        "RCLONE_S3_SECRET_ACCESS_KEY": SECRET,
    }


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=1024, help="MiB of the object (default 1024)")
    parser.add_argument("--store", choices=sorted(servers.STORES), default="versitygw", help="the object store")


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    from obstore.store import S3Store  # not everybody has it

    size = arguments.size * report.MIB
    source, out = directory / "source.bin", directory / "out"
    random_file(source, size)
    results = Results()
    with ExitStack() as stack:
        _configure(stack.enter_context(servers.STORES[arguments.store](directory / "store", _BUCKET)))
        with source.open("rb") as file:
            S3Store(_BUCKET).put("big.bin", file)
        source.unlink()
        runs = {}
        for peer in present(chosen(PEERS, arguments.only, (_RCLONE,)), results):
            process, address = stack.enter_context(peer.server(directory))
            runs[peer.name] = partial(get_file, peer.get(address, "big.bin", out), process, out, size)
        in_turns(runs, arguments.rounds, results)
    return Shown(
        f"Whole client process, {arguments.store} in {arguments.dir}, {arguments.size} MiB, "
        f"{arguments.rounds} rounds in turns.",
        report.table(results, [report.MEGABYTES, report.ratio_to(_RCLONE), report.CPU_PER_GIB, report.PEAK], _RCLONE),
        results,
        partial(
            plots.bars,
            results=results,
            value=lambda sample: report.rate(sample) / report.MB,
            title=f"One object of {arguments.size} MiB from {arguments.store}, whole process, loopback",
            unit="MB/s",
        ),
    )


BUCKET = Case("bucket", "one big object of a bucket", _options, _run)
