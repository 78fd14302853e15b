"""A program that reads files while they are rewritten in place, and prints the results as JSON.

python on_a_coarse_disk.py DIRECTORY
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from pathlib import Path

from unspool.core.model import Span
from unspool.errors import FileChangedError, UnspoolError
from unspool.stores import LocalStore

OLD, NEW = b"a" * 4000, b"b" * 4000


def rewrite(path: Path) -> None:
    """Write the new bytes over the old ones."""
    with path.open("r+b") as file:
        file.write(NEW)


async def read(store: LocalStore, path: Path) -> str:
    """Read a file that is rewritten after the first run of bytes."""
    path.write_bytes(OLD)
    got = b""
    async with aclosing(await store.open(path.name)) as file, aclosing(file.read(Span(0, len(OLD)), lambda _: 100)) as runs:
        try:
            async for run in runs:
                if not got:
                    rewrite(path)
                got += run
        except FileChangedError:
            return "changed" if set(got) == set(OLD) else "mixed"
    return "old" if got == OLD else "mixed"


async def read_small(store: LocalStore, path: Path) -> str:
    """Read a small file, rewrite it, and read it again."""
    path.write_bytes(OLD)
    (before,) = await store.read_small([path.name], len(OLD))
    rewrite(path)
    (after,) = await store.read_small([path.name], len(OLD))
    assert not isinstance(before, UnspoolError)
    assert not isinstance(after, UnspoolError)
    return "mixed" if before[0].revision == after[0].revision and before[1] != after[1] else "changed"


async def main(directory: Path) -> None:
    """Do both a few times."""
    store = LocalStore(directory)
    outcomes: dict[str, object] = {
        "read": await asyncio.gather(*[read(store, directory / f"{number}") for number in range(5)]),
        "read small": await asyncio.gather(*[read_small(store, directory / f"small-{number}") for number in range(5)]),
    }
    outcomes["whole seconds"] = not any(path.stat().st_ctime_ns % 10**9 for path in directory.iterdir())
    await store.aclose()
    print(json.dumps(outcomes))  # noqa: T201 - a program


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
