"""The library guide's code runs as it stands, and prints what the text says of it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from house.conversations import python
from house.documents import fenced, read
from processes import serving

BLOCKS = fenced(read("docs/library.md"), "python")

PRINTED = {
    'client.get("models/model.bin", "model.bin")  # to': "model.bin 3000000 file 0\n",
    "uploads/new.bin": "file 1000 0\nuploads/new.bin: exists already",
    "put_tree": "1 1 0 0",
    "client.open_write(": "size=21",
    "client.delete(": "uploads/old.bin: no such file",
    "progress=show": "3000000 of 3000000 bytes",
    "unspool.open(": "file\nmodels/model.bin\nmodels/small.txt\nb'small\\n'\n1024\n",
    "read_many": "64 b'small\\n' 512",
    'get_tree("models", "here")': "2 2 0 0",
    "models/missing.bin": "not there: models/missing.bin",
    "RetryPolicy(budget=30)": "",
    "class Shown": "models/model.bin: 3000000 bytes, 0 here already",
    'LocalStore("models")': "serving on 127.0.0.1:",
    "open-sesame": "b'gold'\nmine: ali may not read this\n",
    "StoreContract)": "",
    "FileService(": "b'hello\\n'",
    "FaultyStore(": "the disk is broken",
}
"""What each block is known by, and what it prints among other things."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve what the guide asks for."""
    root = tmp_path_factory.mktemp("root")
    (root / "models").mkdir()
    (root / "models" / "model.bin").write_bytes(bytes(3_000_000))
    (root / "models" / "small.txt").write_text("small\n")
    with serving(root, tmp_path_factory.mktemp("log") / "log", "--write") as server:
        yield server.address


@pytest.mark.parametrize(("mark", "printed"), PRINTED.items())
def test_a_block_of_the_guide_runs(tmp_path: Path, address: str, mark: str, printed: str) -> None:
    """Run by itself, with warnings as errors, it ends well and prints what belongs to it."""
    (block,) = [each for each in BLOCKS if mark in each]
    (tmp_path / "models").mkdir()
    (tmp_path / "new.bin").write_bytes(bytes(1000))
    lines = python(block.replace("localhost:50051", address), tmp_path)
    assert printed in "".join(f"{line}\n" for line in lines)


def test_the_guides_store_keeps_the_contract(tmp_path: Path) -> None:
    """The guide's own store passes the tests that it says how to run, and pytest explains one that fails."""
    (block,) = [each for each in BLOCKS if "StoreContract)" in each]

    def run(module: str) -> str:
        (tmp_path / "test_store.py").write_text(module)
        command = [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider", "test_store.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110).stdout

    passed = re.search(r"^(\d+) passed in", run(block), re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 50
    broken = run(block.replace("min(start + run_size(start), span.stop)", "span.stop"))
    assert re.search(r"^E +(AssertionError: )?assert \d+ <= \d+$", broken, re.MULTILINE)


def test_every_block_is_run() -> None:
    """No block is left out."""
    assert len(BLOCKS) == len(PRINTED)
