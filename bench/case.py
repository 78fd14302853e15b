"""A benchmark case, with its options, table and plot."""

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
    """The result of a case: `said` describes the table in one line; `plot` draws it."""

    said: str
    table: str
    results: Results
    plot: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A benchmark case.

    Attributes:
        help: one line for the command line's help.
        options: adds the case's own options to the common ones.
        run: measures with the given options, in an empty directory.
    """

    name: str
    help: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Path], Shown]


def fast_directory() -> str:
    """Return a directory in memory if there is one, so that the disk is not measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def numbers(text: str) -> list[int]:
    """Parse `1,2,4`."""
    return [int(part) for part in text.split(",")]


def chosen(peers: Sequence[Peer], only: Sequence[str], always: Sequence[str] = ()) -> list[Peer]:
    """Return the peers whose name contains any of `only`, and those named in `always`. If `only` is empty, return all."""
    return [peer for peer in peers if wanted(peer.name, only) or peer.name in always]


def wanted(name: str, only: Sequence[str]) -> bool:
    """Return whether a name contains any of `only`, or `only` is empty."""
    return not only or any(part in name for part in only)


def random_file(path: Path, size: int) -> None:
    """Write a file of random bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, _PIECE):
            file.write(os.urandom(min(_PIECE, size - start)))


def get_file(command: Sequence[str], server: Process | None, out: Path, size: int, *, sync: bool = False) -> Sample:
    """Measure one download of a file to a path that does not exist, and check its size.

    With `sync` the time includes an fsync of the file, done here for programs that do not do it themselves.
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
