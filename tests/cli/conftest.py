"""Fixtures: one server for all tests of commands that read, and one for each module of those that write."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from cli.serveddir import ODD, Served
from processes import Serving, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a small tree and one big file, with a real process."""
    base = tmp_path_factory.mktemp("served")
    random = Random(1)
    files = {
        "hello.txt": b"hello, world\n",
        "sub/data.bin": random.randbytes(3_000_001),
        "sub/deeper/leaf": b"leaf",
        "empty": b"",
        "big.bin": random.randbytes(48 << 20),
        ODD: b"odd",
        **{f"many/{number:04}": b"" for number in range(2500)},
    }
    root = base / "root"
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (base / "secret").write_bytes(b"secret")
    (root / "outside").symlink_to(base / "secret")
    with serving(root, base / "log") as server:
        yield Served(server, root, files)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that `server` serves."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that takes files, for the tests of one module."""
    with serving(root, tmp_path_factory.mktemp("log") / "log", "--write") as server:
        yield server
