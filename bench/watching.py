"""What metrics cost: `python -m bench.watching`.

The metrics of one server are switched on and off, and it is asked in turns. The result is the median of the differences of
processor time between two neighbouring turns, which a busy machine disturbs least, compared with the time of both ends. Two
servers, one with and one without, cannot be compared: two of the same kind differ by 5 %.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from bench.case import fast_directory, random_file
from unspool import CallEnd, Client, LocalStore, Server, Store
from unspool.server.entry import Call
from unspool.watch.metrics import ServerMetrics

MIB = 1 << 20


async def _read(client: Client) -> None:
    async with client.open("file", length=64 * MIB) as reading:
        async for _ in reading:
            pass


async def _read_little(client: Client) -> None:
    for _ in range(25):
        await client.read("file", length=4096)


async def _stat(client: Client) -> None:
    for _ in range(50):
        await client.stat("file")


WORK: dict[str, Callable[[Client], Awaitable[None]]] = {
    "64 MiB": _read,
    "25 reads of 4 KiB": _read_little,
    "50 stats": _stat,
}


class Switch:
    """A store and an observer of a server whose metrics are switched on and off while it runs."""

    def __init__(self, store: Store) -> None:
        self._plain, self._metrics = store, ServerMetrics()
        self._watched = self._metrics.watched(store)
        self.on = False

    def __getattr__(self, name: str) -> Any:
        """Return what is asked of the store."""
        return getattr(self._watched if self.on else self._plain, name)

    def begin(self, call: Call) -> Callable[[CallEnd], None]:
        """See `CallWatcher.begin`."""
        return self._metrics.begin(call) if self.on else _nothing


def _nothing(_: CallEnd) -> None:
    pass


async def measure(root: Path, rounds: int) -> None:
    """Measure each kind of work, and print a line about it."""
    switch = Switch(LocalStore(root))
    async with Server(cast(Store, switch), observers=[switch]) as server, Client(server.address) as client:
        for name, work in WORK.items():
            without, differences = [], []
            for turn in range(rounds):
                spent = {}
                for switch.on in (False, True) if turn % 2 else (True, False):
                    began = time.process_time()
                    await work(client)
                    spent[switch.on] = time.process_time() - began
                without.append(spent[False])
                differences.append(spent[True] - spent[False])
            base, more = statistics.median(without), statistics.median(differences)
            error = 1.25 * statistics.pstdev(differences) / len(differences) ** 0.5
            print(f"{name}: {base * 1e3:.2f} ms without, {more * 1e3:+.3f} +- {error * 1e3:.3f} ms with: {more / base:+.2%}")


def main() -> None:
    """Measure, with as many turns as the first argument says."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(dir=fast_directory(), prefix="unspool-bench-") as directory:
        random_file(Path(directory) / "file", 64 * MIB)
        asyncio.run(measure(Path(directory), int(sys.argv[1]) if sys.argv[1:] else 300))


if __name__ == "__main__":
    main()
