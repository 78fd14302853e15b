"""Whether two threads write faster than one: `python -m bench.writing [DIRECTORY]`.

The kernel lets one thread at a time write into a file, so two threads gain only if each has a file of its own.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.case import fast_directory

MIB = 1 << 20
GIB = 1 << 30

_MIB_OF_EACH = 384
_ROUNDS = 7


def _write(descriptor: int, at: int, block: bytes) -> None:
    for number in range(_MIB_OF_EACH):
        os.pwrite(descriptor, block, at + number * MIB)


def _seconds(directory: Path, files: int, threads: int, block: bytes) -> float:
    """Write two parts, to one new file or to one each; return how long it took."""
    paths = [directory / str(number) for number in range(files)]
    descriptors = [os.open(path, os.O_RDWR | os.O_CREAT) for path in paths]
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        writing = [pool.submit(_write, descriptors[part % files], part * _MIB_OF_EACH * MIB, block) for part in range(2)]
        for one in writing:
            one.result()
        seconds = time.perf_counter() - began
    for descriptor, path in zip(descriptors, paths, strict=True):
        os.close(descriptor)
        path.unlink()
    return seconds


def main() -> None:
    """Measure in turns, and print the median and the least of each."""
    ways = {"one thread, one file": (1, 1), "two threads, one file": (1, 2), "two threads, a file each": (2, 2)}
    block = os.urandom(MIB)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory(
        dir=sys.argv[1] if sys.argv[1:] else fast_directory(), prefix="unspool-bench-"
    ) as directory:
        for _ in range(_ROUNDS):
            for name, (files, threads) in ways.items():
                seconds[name].append(_seconds(Path(directory), files, threads, block))
    for name, all_of_it in seconds.items():
        gibs = [2 * _MIB_OF_EACH * MIB / GIB / one for one in (statistics.median(all_of_it), min(all_of_it))]
        print(f"{name}: {gibs[0]:.2f} GiB/s, at best {gibs[1]:.2f}")


if __name__ == "__main__":
    main()
