"""What metrics cost: `python -m bench.watching`.

Two servers in one process, one of them with metrics, are asked in turns. The result is the median of the differences of
processor time between two neighbouring turns, which a busy machine disturbs least, compared with the time of both ends.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from bench.case import fast_directory, random_file
from unspool import Client, LocalStore, Server
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


async def measure(root: Path, rounds: int) -> None:
    """Measure each kind of work, and print a line about it."""
    metrics = ServerMetrics()
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(Server(LocalStore(root)))
        watched = await stack.enter_async_context(Server(metrics.watched(LocalStore(root)), observers=[metrics]))
        off = await stack.enter_async_context(Client(plain.address))
        on = await stack.enter_async_context(Client(watched.address))
        for name, work in WORK.items():
            without, differences = [], []
            for turn in range(rounds):
                spent = {}
                for client in (off, on) if turn % 2 else (on, off):
                    began = time.process_time()
                    await work(client)
                    spent[client] = time.process_time() - began
                without.append(spent[off])
                differences.append(spent[on] - spent[off])
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
