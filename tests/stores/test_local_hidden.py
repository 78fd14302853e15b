"""Dotfiles of a directory: served only with `hidden=True`, by every method."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unspool.core.names import is_hidden
from unspool.errors import NotFoundError
from unspool.stores import LocalStore, open_store
from unspool.testing.stock import listed
from unspool.testing.stock import read_file as info_and_bytes

HIDDEN = [".env", ".git/config", "sub/.env", "sub/.cache/deep/plain", "..data", "sub/...", ".unspool"]
PLAIN = ["a.txt", "sub/b", "sub/c.d", "trailing."]


async def read_file(store: LocalStore, name: str) -> bytes:
    """Read a file."""
    return (await info_and_bytes(store, name))[1]


@pytest.fixture
async def shown(root: Path) -> AsyncGenerator[LocalStore, None]:
    """The store over the same directory that serves dotfiles."""
    store = LocalStore(root, hidden=True)
    yield store
    await store.aclose()


@pytest.fixture
def filled(root: Path) -> Path:
    """The directory, with dotfiles and other files."""
    for name in HIDDEN + PLAIN:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


@pytest.mark.parametrize(
    "name", [*HIDDEN, ".git", ".git/", "sub/.cache", "sub/.cache/deep", ".no-such-file", ".git/no-such-file"]
)
@pytest.mark.usefixtures("filled")
async def test_a_dotfile_is_not_found_at_any_door(store: LocalStore, name: str) -> None:
    """A name with a part that begins with a dot is not found by stat, read and listing, whether or not it exists."""
    said = f"{name.removesuffix('/')}: is not served: part of the name begins with a dot"
    with pytest.raises(NotFoundError) as caught:
        await listed(store, name)
    assert caught.value.message == said
    if name.endswith("/"):
        return
    for asking in (store.stat, store.open):
        with pytest.raises(NotFoundError) as caught:
            await asking(name)
        assert (caught.value.message, caught.value.name) == (said, name)
    (answer,) = await store.read_small([name], 1000)
    assert isinstance(answer, NotFoundError)
    assert answer.message == said


@pytest.mark.usefixtures("filled")
async def test_a_dotfile_beside_other_files_of_a_batch_is_not_found(store: LocalStore) -> None:
    """In a batch a dotfile is not found, also in a directory that the batch has open already."""
    names = ["sub/b", "sub/.env", "sub/c.d", "sub/.cache/deep/plain", "sub/b", ".env", "a.txt"]
    answers = await store.read_small(names, 10_000)
    assert [isinstance(answer, NotFoundError) for answer in answers] == [is_hidden(name) for name in names]


@pytest.mark.usefixtures("filled")
async def test_a_listing_leaves_dotfiles_out(store: LocalStore) -> None:
    """Dotfiles, directories whose names begin with a dot, and files in them are not listed."""
    assert set((await listed(store))[0]) == set(PLAIN)
    files, prefixes = await listed(store, recursive=False)
    assert (set(files), prefixes) == ({"a.txt", "trailing."}, {"sub/"})
    files, prefixes = await listed(store, "sub", recursive=False)
    assert (set(files), prefixes) == ({"sub/b", "sub/c.d"}, set())


@pytest.mark.usefixtures("filled")
async def test_with_hidden_dotfiles_are_files_like_others(shown: LocalStore) -> None:
    """With `hidden=True` they are listed and read by every method."""
    assert set((await listed(shown))[0]) == set(HIDDEN + PLAIN)
    assert set((await listed(shown, ".git"))[0]) == {".git/config"}
    assert ".git/" in (await listed(shown, recursive=False))[1]
    for name in HIDDEN:
        assert (await shown.stat(name)).name == name
        assert await read_file(shown, name) == name.encode()
        (answer,) = await shown.read_small([name], 1000)
        assert isinstance(answer, tuple)
        assert answer[1] == name.encode()


@pytest.mark.parametrize("name", ["a.unspool-part", ".unspool-tree/record"])
async def test_with_hidden_what_unspool_keeps_is_still_not_served(root: Path, shown: LocalStore, name: str) -> None:
    """Files of unspool's own are not dotfiles of the user: `hidden=True` does not serve them."""
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(b"half")
    with pytest.raises(NotFoundError, match="is not served"):
        await shown.open(name)
    assert await listed(shown) == ({}, set())


async def test_a_link_has_the_name_it_has(filled: Path, store: LocalStore) -> None:
    """A link with a plain name serves the dotfile it leads to, as in a mounted volume; a link with a dot is not served."""
    (filled / "config").symlink_to(".git/config")
    (filled / ".alias").symlink_to("a.txt")
    assert await read_file(store, "config") == b".git/config"
    (answer,) = await store.read_small(["config"], 1000)
    assert isinstance(answer, tuple)
    with pytest.raises(NotFoundError):
        await store.stat(".alias")
    assert set((await listed(store))[0]) == {*PLAIN, "config"}


async def test_the_path_of_the_root_is_no_part_of_a_name(tmp_path: Path) -> None:
    """A root whose own path has parts that begin with a dot is served, because the user named it."""
    root = tmp_path / ".cache" / "models"
    root.mkdir(parents=True)
    (root / "a").write_bytes(b"a")
    store = LocalStore(root)
    assert await read_file(store, "a") == b"a"
    await store.aclose()


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_store_that_is_opened_by_url_is_told(filled: Path, *, hidden: bool) -> None:
    """`open_store(url, hidden=...)` decides whether dotfiles are served; by default they are not."""
    url = f"file://{filled}"
    store = open_store(url, hidden=True) if hidden else open_store(url)
    assert (".env" in (await listed(store))[0]) is hidden
    await store.aclose()


async def test_nothing_is_said_of_a_dotfile_that_has_no_name(
    root: Path, store: LocalStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A dotfile that could not be listed in any case is not mentioned in the log."""
    (root / os.fsdecode(b".\xff")).write_bytes(b"")
    assert await listed(store) == ({}, set())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


PARTS = st.sampled_from(["a", ".a", "b.", "a.b", "..a", "a..b"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.lists(PARTS, min_size=1, max_size=3).map(tuple), max_size=6))
async def test_only_dotfiles_are_left_out(tmp_path_factory: pytest.TempPathFactory, tree: set[tuple[str, ...]]) -> None:
    """In any tree, exactly the files without a hidden part are listed and can be opened."""
    root = tmp_path_factory.mktemp("tree")
    names = {"/".join([*parts, "f"]) for parts in tree}
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    store = LocalStore(root)
    plain = {name for name in names if not any(part.startswith(".") for part in name.split("/"))}
    assert set((await listed(store))[0]) == plain
    for name in names:
        (answer,) = await store.read_small([name], 10)
        assert isinstance(answer, tuple) is (name in plain)
    await store.aclose()
