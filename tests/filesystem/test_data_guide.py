"""The guide for data people: its code runs as it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from house.conversations import python
from house.documents import fenced, read
from processes import serving

BLOCKS = fenced(read("docs/data.md"), "python")

PRINTED = {
    "fs.glob(": "first\n\n['ADDRESS/models/notes.txt', 'ADDRESS/models/table.parquet']\n"
    "['ADDRESS/models/table.parquet']\nb'end\\n'\n",
    'columns=["b"]': "1000 ['b']\n",
    "fs.get(": "",
    "write_table(": "2\n",
    "fs.transaction": "",
    "ObspecStore(": "10\n[b'fir', b't\\ne']\n['models/notes.txt', 'models/table.parquet']\n",
}
"""What each block is known by, and what it prints."""

ENDS_HERE = "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n"
"""Ends a program without what Python does at its end. A thread of pyarrow's that lets go of a file of Python's after that
aborts the program: with fsspec's files in memory, and without unspool, in 3 of 250 runs on a busy machine (pyarrow 26)."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve what the guide asks for."""
    root = tmp_path_factory.mktemp("root")
    (root / "models").mkdir()
    (root / "models" / "notes.txt").write_text("first\nend\n")
    parquet.write_table(pa.table({"a": range(1000), "b": range(1000)}), root / "models" / "table.parquet")
    with serving(root, tmp_path_factory.mktemp("log") / "log", "--write") as server:
        yield server.address


@pytest.mark.parametrize(("mark", "printed"), PRINTED.items())
def test_a_block_of_the_guide_runs(tmp_path: Path, address: str, mark: str, printed: str) -> None:
    """Run by itself, with warnings as errors, it ends well and prints what belongs to it."""
    (tmp_path / "upload").mkdir()
    (block,) = [each for each in BLOCKS if mark in each]
    lines = python(block.replace("localhost:50051", address) + ("pyarrow" in block) * ENDS_HERE, tmp_path)
    assert lines == printed.replace("ADDRESS", address).splitlines()
    if mark == "fs.get(":
        assert [path.name for path in sorted(tmp_path.rglob("*.*"))] == ["notes.txt", "table.parquet", "table.parquet"]


def test_every_block_is_run() -> None:
    """No block is left out."""
    assert len(BLOCKS) == len(PRINTED)
