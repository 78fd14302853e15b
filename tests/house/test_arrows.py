"""The import contracts have no holes: what they forbid breaks them, and there is no room that they do not know."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import unspool
from house.documents import REPO

PACKAGE = Path(unspool.__file__).parent

CONTRACTS = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()} - {"__init__"}

PLANTED = {
    "arrows point one way": ("stores/memory.py", "import unspool.client.client"),
    "the core is pure": ("core/names.py", "import asyncio"),
    "only rpc and the server know gRPC": ("answers/frames.py", "import grpc"),
    "what answers knows the contract of stores, not the stores": ("answers/batch.py", "import unspool.stores.memory"),
    "a client has no stores, and where bytes go nobody asks a network": ("local/partfile.py", "import unspool.stores.base"),
}
"""For each contract: an import that it forbids, and where somebody might write it."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the package, with the contracts beside it."""
    shutil.copytree(PACKAGE, tmp_path / "unspool", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    return tmp_path


def lint(copy: Path) -> subprocess.CompletedProcess[str]:
    """Run the linter over a copy."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_contract_breaks_by_what_it_forbids(copy: Path) -> None:
    """A forbidden import, planted for each contract in a copy of the package, breaks that one."""
    assert set(PLANTED) == {contract["name"] for contract in CONTRACTS}
    for where, line in PLANTED.values():
        with (copy / "unspool" / where).open("a") as file:
            file.write(f"\n{line}\n")
    said = lint(copy).stdout
    assert dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", said, re.MULTILINE)) == dict.fromkeys(PLANTED, "BROKEN"), said


def test_a_room_that_nobody_put_on_a_floor_is_noticed(copy: Path) -> None:
    """A new module at the top has to be given its place: until then the check fails, and says which one it is."""
    assert lint(copy).returncode == 0
    (copy / "unspool" / "stray.py").write_text("")
    done = lint(copy)
    assert done.returncode != 0
    assert "stray" in done.stdout


def test_every_room_may_or_may_not_know_grpc() -> None:
    """No room is left out of the rule about gRPC: it is forbidden to know it, or it is one of those whose business it is."""
    (contract,) = [one for one in CONTRACTS if one["name"] == "only rpc and the server know gRPC"]
    forbidden = {module.removeprefix("unspool.") for module in contract["source_modules"]}
    knows = {"rpc", "server", "testing", "v1", "demo"}
    assert forbidden | knows == ROOMS - {"__main__", "_version"}
    assert not forbidden & knows
