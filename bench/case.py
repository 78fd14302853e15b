"""A case: something that is measured, with its options, its table and its plot."""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import CommandFailedError, Process, Sample, measure
from bench.peer import Peer
from bench.results import Results
from bench.servers import REPOSITORY

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a case: `said` says in a line what the table is about; `plot` draws it."""

    said: str
    table: str
    results: Results
    plot: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Case:
    """Something to measure.

    Attributes:
        help: one line.
        options: adds options of its own to those that all cases have.
        run: measures, in an empty directory, for the options given.
    """

    name: str
    help: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Path], Shown]


def fast_directory() -> str:
    """Memory where there is some, so that the disk is not what is measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def numbers(text: str) -> list[int]:
    """Parse `1,2,4`."""
    return [int(part) for part in text.split(",")]


def chosen(peers: Sequence[Peer], only: Sequence[str], always: Sequence[str] = ()) -> list[Peer]:
    """Return the peers whose name contains any of `only`, and those that are always there; all if there is none of those."""
    return [peer for peer in peers if wanted(peer.name, only) or peer.name in always]


def wanted(name: str, only: Sequence[str]) -> bool:
    """Return whether a name contains any of `only`, or there is none of those."""
    return not only or any(part in name for part in only)


def random_file(path: Path, size: int) -> None:
    """Write a file of random bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, _PIECE):
            file.write(os.urandom(min(_PIECE, size - start)))


def get_file(command: Sequence[str], server: Process | None, out: Path, size: int, *, sync: bool = False) -> Sample:
    """Measure one `get` of a file to a place where there is none; check how much arrived.

    With `sync` the file is brought to its disk before the clock stops, by us for those who do not do it themselves.
    """
    out.unlink(missing_ok=True)
    sample = measure(command, server, cwd=REPOSITORY)
    if sync:
        began = time.perf_counter()
        with out.open("rb") as file:
            os.fsync(file.fileno())
        sample = dataclasses.replace(sample, seconds=sample.seconds + time.perf_counter() - began)
    if out.stat().st_size != size:
        raise CommandFailedError(f"{command[0]}: {out.stat().st_size} bytes arrived")
    return dataclasses.replace(sample, amount=size)
