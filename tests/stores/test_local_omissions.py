"""Omissions of a directory's listing are reported, recursive or not."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from unspool.core.model import ListRequest, Omission
from unspool.core.omissions import NAMED
from unspool.stores import LocalStore


def make_socket(path: Path) -> None:
    """Make a socket, by a path that is short enough."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{descriptor}/{path.name}")
    finally:
        os.close(descriptor)


def make_raw(name: bytes) -> Callable[[Path], None]:
    """Return a function that creates such a file beside the path it is given."""
    return lambda path: Path(os.fsdecode(os.fsencode(path.parent) + b"/" + name)).touch()


def make_directory(path: Path) -> None:
    """Make a directory with a file in it."""
    path.mkdir()
    (path / "x").touch()


ODD: dict[str, tuple[str, Callable[[Path], None]]] = {
    "absolute": ("LINK_OUTSIDE", lambda path: path.symlink_to("/etc/passwd")),
    "above": ("LINK_OUTSIDE", lambda path: path.symlink_to("../../x")),
    "dangling": ("LINK_NOWHERE", lambda path: path.symlink_to("nothing-here")),
    "circle": ("LINK_NOWHERE", lambda path: path.symlink_to("circle")),
    "too-long": ("LINK_NOWHERE", lambda path: path.symlink_to("x" * 300)),
    "to-directory": ("LINK_TO_DIRECTORY", lambda path: path.symlink_to("full")),
    "to-top": ("LINK_TO_DIRECTORY", lambda path: path.symlink_to("..")),
    "pipe": ("SPECIAL", os.mkfifo),
    "socket": ("SPECIAL", make_socket),
    "to-pipe": ("SPECIAL", lambda path: path.symlink_to("pipe")),
    "back\\slash": ("NAME", Path.touch),
    "caf\\xe9": ("NAME", make_raw(b"caf\xe9")),
    "a.unspool-part": ("RESERVED", Path.touch),
}
"""What is omitted: the reported name, the reason, and how to create it."""


async def omitted_in(store: LocalStore, prefix: str, *, recursive: bool) -> list[Omission]:
    """Return the omissions of a listing."""
    async with aclosing(store.list(ListRequest(prefix, recursive=recursive, page_size=2))) as pages:
        return [omission async for page in pages for omission in page.omitted]


@pytest.mark.parametrize("recursive", [True, False])
async def test_each_name_that_is_left_out_is_told_with_its_reason(root: Path, store: LocalStore, *, recursive: bool) -> None:
    """Links, special files, invalid names and unspool's own files are reported, by both kinds of listing.

    Dotfiles, which are not served by default, are not reported.
    """
    (root / "d" / "full").mkdir(parents=True)
    (root / "d" / ".secret").touch()
    (root / "d" / ".unspool-tree").mkdir()
    (root / "d" / "full" / "file").touch()
    for name, (_, make) in ODD.items():
        make(root / "d" / name)
    told = await omitted_in(store, "d", recursive=recursive)
    assert {(one.name, one.reason) for one in told} == {(f"d/{name}", reason) for name, (reason, _) in ODD.items()}
    assert all(one.count == 1 for one in told)
    assert len(told) == len(ODD)


@pytest.mark.parametrize("recursive", [True, False])
async def test_nothing_else_is_told(root: Path, store: LocalStore, *, recursive: bool) -> None:
    """Files, links to files, and directories, full or empty, are listed and not omitted."""
    (root / "empty").mkdir()
    (root / "full").mkdir()
    (root / "full" / "file").touch()
    (root / "link").symlink_to("full/file")
    assert await omitted_in(store, "", recursive=recursive) == []


async def test_very_many_are_counted_and_some_are_named(root: Path, store: LocalStore) -> None:
    """Each page names at most a hundred; the others are counted, and none is lost. A page may have only omissions."""
    for number in range(NAMED + 50):
        os.mkfifo(root / f"{number}")
    told = await omitted_in(store, "", recursive=True)
    assert sum(one.count for one in told) == NAMED + 50
    assert sum(bool(one.name) for one in told) == NAMED
    assert {one.reason for one in told} == {"SPECIAL"}


async def test_a_directory_that_may_not_be_read_is_told(root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be read is reported; its contents cannot be counted."""
    (root / "closed").mkdir()
    real = os.open

    def refuse(path: str, flags: int, *, dir_fd: int) -> int:
        if path == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    assert await omitted_in(store, "", recursive=True) == [Omission("REFUSED", "closed")]
