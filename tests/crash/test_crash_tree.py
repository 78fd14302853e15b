"""A real tree: the Python packages of this test environment, served and fetched file by file, many at the same time."""

import asyncio
import json
import os
import site
from pathlib import Path

import pytest

from crash.roomy import roomy
from processes import serving, unspool
from unspool import Client
from unspool.loops import run

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))

AT_ONCE = 16

ENOUGH = 1_000_000 if DEEP else 600
"""The number of files to fetch."""


@pytest.mark.timeout(900 if DEEP else 120)
def test_every_file_of_a_real_tree_arrives() -> None:
    """`ls -r --json` lists every file of a real tree with its size, and each of many files fetched at once is the same."""
    root = Path(site.getsitepackages()[0])
    with roomy(1 << 30) as directory, serving(root, directory / "log", "--hidden") as server:
        listed = unspool("ls", "-r", "--json", server.address)
        assert listed.code == 0, listed.err
        sizes = {entry["name"]: entry["size"] for entry in map(json.loads, listed.lines)}
        # Another process may add files to __pycache__ meanwhile.
        steady = {name for name in sizes if "__pycache__" not in name}
        assert steady == {
            str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        }
        # Spread over the whole tree, the same files every time, including the biggest.
        names = sorted(steady)
        names = [max(names, key=sizes.__getitem__), *names[:: max(len(names) // ENOUGH, 1)]]
        run(_get_all(server.address, names, directory / "here"))
        for name in names:
            ours = (directory / "here" / name).read_bytes()
            assert len(ours) == sizes[name]
            assert ours == (root / name).read_bytes(), name
        here = {str(path.relative_to(directory / "here")) for path in (directory / "here").rglob("*") if path.is_file()}
        assert here == set(names), "nothing else is left"


async def _get_all(address: str, names: list[str], destination: Path) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    async def get(name: str) -> None:
        async with slots:
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            result = await client.get(name, destination / name)
            assert result.verified == "file"

    async with Client(address) as client, asyncio.TaskGroup() as tasks:
        for name in set(names):
            tasks.create_task(get(name))
