"""A directory that is served."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from unspool.stores import LocalStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory, with room beside it for what must not be served."""
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
async def store(root: Path) -> AsyncGenerator[LocalStore, None]:
    """The store over it."""
    store = LocalStore(root)
    yield store
    await store.aclose()
