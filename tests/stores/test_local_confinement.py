"""Nothing outside the root is ever opened, whatever the name and the links, and even if they change meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.errors import InvalidNameError, NotAFileError, NotFoundError, OutsideRootError, UnspoolError
from unspool.stores import LocalStore
from unspool.testing.stock import in_one_fixture, listed, read_file

INSIDE, OUTSIDE = b"inside", b"outside"


@pytest.fixture
def tree(root: Path) -> Path:
    """A root whose files all have the bytes INSIDE, and beside it a file that must never be read."""
    (root.parent / "outside").write_bytes(OUTSIDE)
    (root.parent / "elsewhere").mkdir()
    (root.parent / "elsewhere" / "file").write_bytes(OUTSIDE)
    (root / "dir" / "sub").mkdir(parents=True)
    for name in ("file", "dir/file", "dir/sub/file"):
        (root / name).write_bytes(INSIDE)
    return root


LINKS_INSIDE = {
    "link": "file",
    "dir/link": "file",
    "dir/up": "../file",
    "dir/sub/roundabout": "../../dir/./sub//../sub/file",
    "to-dir": "dir",
    "to-sub": "to-dir/sub",
    "dir/self": ".",
    "twice": "link",
}
LINKS_OUTSIDE = {
    "above": "../outside",
    "dir/above": "../../outside",
    "further-above": "dir/sub/../../../outside",
    "back-in": "../root/file",
    "absolute": "/etc/hostname",
    "absolute-inside": "{root}/file",
    "top": "/",
    "parent": "..",
    "via-above": "above",
    "twice-above": "dir/above",
}


@pytest.mark.parametrize("link", LINKS_INSIDE)
async def test_a_link_that_stays_inside_is_followed(tree: Path, store: LocalStore, link: str) -> None:
    """Relative links to files and directories below the root are followed, also through each other."""
    for name, target in LINKS_INSIDE.items():
        (tree / name).symlink_to(target)
    name = link if (tree / link).is_file() else f"{link}/file"
    info, data = await read_file(store, name)
    assert (info.name, data) == (name, INSIDE)


@pytest.mark.parametrize("link", LINKS_OUTSIDE)
async def test_a_link_that_leads_out_is_refused(tree: Path, store: LocalStore, link: str) -> None:
    """A link that is absolute, or leads above the root even to come back, is refused as such, and is not listed."""
    for name, target in LINKS_OUTSIDE.items():
        (tree / name).symlink_to(target.format(root=tree))
    for name in (link, f"{link}/file"):
        for asking in (store.stat, store.open):
            with pytest.raises(OutsideRootError) as caught:
                await asking(name)
            assert caught.value.name == name
        with pytest.raises(OutsideRootError):
            await listed(store, name)
    assert set((await listed(store))[0]) == {"file", "dir/file", "dir/sub/file"}
    files, prefixes = await listed(store, recursive=False)
    assert (set(files), prefixes) == ({"file"}, {"dir/"})


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("self", "self"),
        ("one", "other"),
        ("dir/in-itself", "in-itself/file"),
        ("dangling", "missing"),
        ("below-file", "file/file"),
    ],
)
async def test_a_link_to_nothing_is_not_found(tree: Path, store: LocalStore, link: str, target: str) -> None:
    """Loops of links and links to missing files are not found, and not listed."""
    (tree / "other").symlink_to("one")
    (tree / link).symlink_to(target)
    for name in (link, f"{link}/file"):
        with pytest.raises(NotFoundError) as caught:
            await store.open(name)
        assert not isinstance(caught.value, NotAFileError)
        assert caught.value.name == name
    assert set((await listed(store))[0]) == {"file", "dir/file", "dir/sub/file"}


async def test_a_link_to_no_possible_name_leads_nowhere(tree: Path, store: LocalStore) -> None:
    """A link whose target is too long for the file system has its own error, and does not break the listing."""
    (tree / "link").symlink_to("x" * 300)
    with pytest.raises(InvalidNameError):
        await store.open("link")
    assert set((await listed(store))[0]) == {"file", "dir/file", "dir/sub/file"}


async def test_forty_links_are_followed_and_no_more(tree: Path, store: LocalStore) -> None:
    """A chain of links is followed as far as Linux does, so that a loop ends."""
    (tree / "link-0").symlink_to("file")
    for number in range(1, 41):
        (tree / f"link-{number}").symlink_to(f"link-{number - 1}")
    assert (await read_file(store, "link-39"))[1] == INSIDE
    with pytest.raises(NotFoundError, match="too many symbolic links"):
        await store.open("link-40")


async def test_links_are_listed_as_what_they_lead_to(tree: Path, store: LocalStore) -> None:
    """A link to a file is listed as a file with the link's name; one to a directory is not listed, but can be requested."""
    for name, target in LINKS_INSIDE.items():
        (tree / name).symlink_to(target)
    files, _ = await listed(store)
    assert set(files) == {
        *("file", "dir/file", "dir/sub/file"),
        *("link", "dir/link", "dir/up", "dir/sub/roundabout", "twice"),
    }
    for name, info in files.items():
        assert await read_file(store, name) == (info, INSIDE)
    files, prefixes = await listed(store, recursive=False)
    assert (set(files), prefixes) == ({"file", "link", "twice"}, {"dir/"})
    assert set((await listed(store, "to-sub"))[0]) == {"to-sub/file", "to-sub/roundabout"}


async def test_a_part_longer_than_the_file_system_allows_is_no_name(tree: Path, store: LocalStore) -> None:
    """A part of 256 bytes is too long for the file system: InvalidNameError, with only the beginning of the name."""
    for name in ("x" * 256, "dir/" + "ä" * 128, "x" * 256 + "/file"):
        for asking in (store.stat, store.open):
            with pytest.raises(InvalidNameError) as caught:
                await asking(name)
            assert len(caught.value.message) < 200
        with pytest.raises(InvalidNameError):
            await listed(store, name)


odd_parts = st.sampled_from(
    ["", ".", "..", "...", "file", "dir", "sub", "link", "above", "top", "self", "\\", "..\\", "\0", "/", "~"]
)
odd_names = st.lists(st.one_of(odd_parts, st.text(max_size=5)), max_size=8).map("/".join)


@given(name=st.one_of(odd_names, st.text()))
@in_one_fixture
async def test_any_name_is_refused_or_leads_inside(tree: Path, store: LocalStore, name: str) -> None:
    """Any name opens a file below the root, or raises an error of unspool; so does any prefix."""
    if not (tree / "link").is_symlink():
        for link, target in (LINKS_INSIDE | LINKS_OUTSIDE).items():
            (tree / link).symlink_to(target.format(root=tree))
    with suppress(UnspoolError):
        assert (await read_file(store, name))[1] == INSIDE
    for recursive in (True, False):
        with suppress(UnspoolError):
            for info in (await listed(store, name, recursive=recursive))[0].values():
                assert info.size == len(INSIDE)


@given(targets=st.lists(odd_names.filter(lambda target: target and "\0" not in target), min_size=1, max_size=4))
@in_one_fixture
async def test_any_link_is_refused_or_leads_inside(tree: Path, store: LocalStore, targets: list[str]) -> None:
    """Wherever links lead, also to each other, all files opened through them are below the root."""
    for link, target in zip(["link", "dir/above", "top", "dir/sub/self"], targets, strict=False):
        (tree / link).unlink(missing_ok=True)
        (tree / link).symlink_to(target)
    for name in ("link", "link/file", "dir/above", "dir/above/sub/file", "top", "top/file", "top/outside", "dir/sub/self/file"):
        with suppress(UnspoolError):
            assert (await read_file(store, name))[1] == INSIDE
    for info in (await listed(store))[0].values():
        assert info.size == len(INSIDE)


@contextmanager
def swapping(path: Path, other: Path) -> Iterator[None]:
    """Exchange two paths repeatedly, in a thread."""
    stop = threading.Event()

    def swap() -> None:
        between = path.with_name("between")
        while not stop.is_set():
            path.rename(between)
            other.rename(path)
            between.rename(other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("swapped", "target", "name"),
    [
        pytest.param("dir", "../elsewhere", "dir/file", id="directory"),
        pytest.param("dir/sub", "../../elsewhere", "dir/sub/file", id="inner-directory"),
        pytest.param("file", "../outside", "file", id="file"),
    ],
)
async def test_a_link_swapped_in_meanwhile_changes_nothing(
    tree: Path, store: LocalStore, swapped: str, target: str, name: str
) -> None:
    """While a directory or file is being replaced by a link that leads out, nothing outside is opened or listed."""
    link = (tree / swapped).with_name("swapped-in")
    link.symlink_to(target)
    outcomes: set[str] = set()
    with swapping(tree / swapped, link):
        for turn in range(20_000):
            if turn >= 600 and {"inside", "refused"} <= outcomes:
                break
            try:
                async with aclosing(await store.open(name)) as file:
                    assert file.info.size == len(INSIDE)
                outcomes.add("inside")
            except NotFoundError:
                outcomes.add("not found")
            except OutsideRootError:
                outcomes.add("refused")
            for answer in await store.read_small([name] * 3, 1 << 20):
                assert isinstance(answer, UnspoolError) or answer[1] == INSIDE
            with suppress(UnspoolError):
                for info in (await listed(store, name.partition("/")[0]))[0].values():
                    assert info.size == len(INSIDE)
    assert {"inside", "refused"} <= outcomes, "the swapping never got between"


async def test_the_walk_does_not_follow_what_replaced_a_directory(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that is replaced by a link between the check and the opening is not followed."""
    real = os.stat

    def look_and_replace(path: str, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
        status = real(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        if path == "dir":
            (tree / "dir").rename(tree / "moved")
            (tree / "dir").symlink_to("../elsewhere")
        return status

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", look_and_replace)
        with pytest.raises(NotFoundError):
            await store.open("dir/file")
    with pytest.raises(OutsideRootError):
        await store.open("dir/file")


async def test_a_link_that_becomes_a_directory_is_looked_at_again(
    tree: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is replaced by a directory between the check and the reading of it is listed as the directory."""
    (tree / "link").symlink_to("../elsewhere")
    real = os.readlink

    def replace_and_read(path: str, *, dir_fd: int) -> str:
        (tree / "link").unlink()
        (tree / "dir").rename(tree / "link")
        return real(path, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "readlink", replace_and_read)
        file = await store.open("link/file")
    await file.aclose()
    assert (await read_file(store, "link/file"))[1] == INSIDE
