"""A real server with a few files, in a process of its own: what blocks must not wait for itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from processes import Serving, serving


@dataclass(frozen=True)
class Served:
    """What is served, and by whom."""

    root: Path
    server: Serving
    data: bytes

    def url(self, name: str = "") -> str:
        """Return the URL of a file."""
        return f"{self.server.address}/{name}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a directory for the tests of one module."""
    root = tmp_path_factory.mktemp("root")
    data = Random(0).randbytes(3_000_000)
    (root / "dir" / "deep").mkdir(parents=True)
    (root / "a.bin").write_bytes(data)
    (root / "dir" / "b.txt").write_bytes(b"one\ntwo\nthree")
    (root / "dir" / "deep" / "c").write_bytes(b"")
    with serving(root, tmp_path_factory.mktemp("log") / "log") as server:
        yield Served(root, server, data)
