"""Fixtures: a directory to serve."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from unspool.stores import LocalStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory, beside which a test may put files that must not be served."""
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
async def store(root: Path) -> AsyncGenerator[LocalStore, None]:
    """The store over it."""
    store = LocalStore(root)
    yield store
    await store.aclose()


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is in memory, so that threads read every byte."""

    def nothing(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", nothing)


@pytest.fixture(params=["at once", "by threads"])
def either_way(request: pytest.FixtureRequest) -> None:
    """Both ways of reading, one after the other: bytes in memory are read at once, others by threads."""
    if request.param == "by threads":
        request.getfixturevalue("cold")
