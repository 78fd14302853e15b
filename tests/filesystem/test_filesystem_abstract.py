"""fsspec's own tests, for all that its file systems have in common: downloads, uploads, copies, and files in exclusive mode."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import AbstractFixtures
from fsspec.tests.abstract.copy import AbstractCopyTests
from fsspec.tests.abstract.get import AbstractGetTests
from fsspec.tests.abstract.open import AbstractOpenTests
from fsspec.tests.abstract.pipe import AbstractPipeTests
from fsspec.tests.abstract.put import AbstractPutTests

from filesystem.conftest import served_in_a_thread
from unspool.core.reserved import UPLOADS
from unspool.filesystem import UnspoolFileSystem


class Removing(UnspoolFileSystem):
    """A file system that removes empty directories behind the server, after it has deleted files: fsspec expects none."""

    cachable = False
    root: Path

    def rm(self, path: str | list[str], recursive: bool = False) -> None:
        """Delete files, and remove empty directories behind the server."""
        sync(self.loop, self._rm, path, recursive=recursive)
        for directory in sorted(self.root.rglob("*/"), reverse=True):
            if UPLOADS not in directory.parts:
                with suppress(OSError):  # a file, or one is in it
                    directory.rmdir()


@pytest.fixture(scope="module")
def removing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Removing, str]]:
    """Serve an empty directory that takes files."""
    root = tmp_path_factory.mktemp("served")
    with served_in_a_thread(root, writable=True) as served:
        fs = Removing()
        fs.root = root
        yield fs, served.address


class Fixtures(AbstractFixtures):
    """What fsspec's tests are told of the file system."""

    @pytest.fixture
    def fs(self, removing: tuple[Removing, str]) -> Removing:
        """See fsspec."""
        return removing[0]

    @pytest.fixture
    def fs_path(self, removing: tuple[Removing, str]) -> str:
        """See fsspec."""
        return removing[1]

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

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        """See fsspec. A directory is there when it has a file."""
        return False


class TestGet(Fixtures, AbstractGetTests):
    """What fsspec expects of `get`, against a real server."""


class TestPut(Fixtures, AbstractPutTests):
    """What fsspec expects of `put`."""


@pytest.mark.deep
class TestCopy(Fixtures, AbstractCopyTests):
    """What fsspec expects of `cp`."""


class TestPipe(Fixtures, AbstractPipeTests):
    """What fsspec expects of `pipe_file`."""


class TestOpen(Fixtures, AbstractOpenTests):
    """What fsspec expects of files that are opened exclusively."""
