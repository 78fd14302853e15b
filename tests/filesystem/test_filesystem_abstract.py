"""fsspec's own tests of downloads, for all that its file systems have in common."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import AbstractFixtures
from fsspec.tests.abstract.get import AbstractGetTests

from filesystem.conftest import served_in_a_thread
from unspool.filesystem import UnspoolFileSystem


class Prepared(UnspoolFileSystem):
    """A file system whose writing goes to the served directory, behind the server: so fsspec's tests prepare their files."""

    cachable = False
    root: Path

    def _here(self, path: str) -> Path:
        return self.root / str(self._strip_protocol(path)).partition("/")[2]

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do it behind the server."""
        self._here(path).mkdir(parents=True, exist_ok=exist_ok)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Do it behind the server."""
        self._here(path).mkdir(parents=create_parents)

    def touch(self, path: str, **_: Any) -> None:  # type: ignore[override]
        """Do it behind the server."""
        self.pipe(path, b"")

    def pipe(self, path: str, value: bytes) -> None:
        """Do it behind the server."""
        here = self._here(path)
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(value)

    def rm(self, path: str, recursive: bool = False) -> None:
        """Do it behind the server."""
        assert recursive
        shutil.rmtree(self._here(path))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prepared, str]]:
    """Serve an empty directory."""
    root = tmp_path_factory.mktemp("served")
    with served_in_a_thread(root) as served:
        fs = Prepared()
        fs.root = root
        yield fs, served.address


class TestGet(AbstractFixtures, AbstractGetTests):
    """What fsspec expects of `get`, against a real server."""

    @pytest.fixture
    def fs(self, prepared: tuple[Prepared, str]) -> Prepared:
        """See fsspec."""
        return prepared[0]

    @pytest.fixture
    def fs_path(self, prepared: tuple[Prepared, str]) -> str:
        """See fsspec."""
        return prepared[1]

    @pytest.fixture
    def fs_join(self) -> Any:
        """See fsspec."""
        return os.path.join

    @pytest.fixture
    def local_fs(self) -> LocalFileSystem:
        """See fsspec."""
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def local_path(self, tmp_path: Path) -> str:
        """See fsspec."""
        return str(tmp_path)
