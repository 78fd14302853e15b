"""Stores are loaded on first use, and each store chooses its own revisions."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from unspool import stores
from unspool.core.model import Span
from unspool.errors import FileChangedError, InvalidRequestError
from unspool.stores import LocalStore, open_store


@pytest.mark.parametrize(
    ("program", "loaded"),
    [
        ("import unspool.stores", set[str]()),
        ("from unspool.stores import MemoryStore", {"memory"}),
        ("from unspool.stores import open_store; open_store('.')", {"local"}),
        ("from unspool.stores import ObjectStore", {"objects"}),
    ],
)
def test_a_store_is_loaded_when_it_is_wanted(program: str, loaded: set[str]) -> None:
    """Using one kind of store does not load the others, or the packages they need."""
    shown = "import sys; print(*[name for name in ('local', 'memory', 'objects') if f'unspool.stores.{name}' in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{program}; {shown}"], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == loaded


def test_every_public_name_of_the_stores_is_there() -> None:
    """`unspool.stores` exports exactly the names it lists."""
    for name in stores.__all__:
        assert getattr(stores, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        stores.nonsense  # noqa: B018  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["ftp://bucket", "://", "nonsense://x"])
def test_a_store_of_no_kind_is_refused(url: str) -> None:
    """An unknown scheme is an error that names it."""
    with pytest.raises(InvalidRequestError, match="no store of the kind"):
        open_store(url)


async def test_a_store_says_what_its_revisions_are_made_of(tmp_path: Path) -> None:
    """Any revision that keeps the promise is allowed; a change during a read is noticed whatever the revision."""
    (tmp_path / "a").write_bytes(b"12345")
    async with aclosing(LocalStore(tmp_path, revision_of=lambda status: f"size {status.st_size}")) as store:
        assert (await store.stat("a")).revision == "size 5"
        ((info, _, _),) = [answer for answer in await store.read_small(["a"], 10) if isinstance(answer, tuple)]
        assert info.revision == "size 5"
        async with aclosing(await store.open("a", "size 5")) as file, aclosing(file.read(Span(0, 5), lambda _: 1)) as runs:
            assert bytes(await anext(runs)) == b"1"
            (tmp_path / "a").write_bytes(b"54321")
            os.utime(tmp_path / "a", ns=(0, 0))
            with pytest.raises(FileChangedError):
                [run async for run in runs]
        with pytest.raises(FileChangedError):
            await store.open("a", "size 4")
