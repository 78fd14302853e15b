"""Only readable regular files are served; anything else is refused without waiting."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unspool.errors import NotAFileError, NotFoundError, OutsideRootError
from unspool.stores import LocalStore
from unspool.testing.stock import listed


def make_fifo(path: Path) -> None:
    """Make a FIFO without a writer: opening it without care would wait for ever."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """Make a socket, by a path that is short enough."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)


def make_device(path: Path) -> None:
    """Make a device that returns zeros without end."""
    try:
        os.mknod(path, 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root may make a device")


KINDS: dict[str, Callable[[Path], None]] = {
    "directory": Path.mkdir,
    "fifo": make_fifo,
    "socket": make_socket,
    "device": make_device,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_only_regular_files_are_served(root: Path, store: LocalStore, kind: str) -> None:
    """A directory, FIFO, socket or device is not a file, by its name or through a link, and is not listed as one."""
    (root / "plain").write_bytes(b"x")
    KINDS[kind](root / "odd")
    (root / "link").symlink_to("odd")
    for name in ("odd", "link"):
        for asking in (store.stat, store.open):
            with pytest.raises(NotAFileError) as caught:
                await asking(name)
            assert caught.value.name == name
    assert set((await listed(store))[0]) == {"plain"}
    files, prefixes = await listed(store, recursive=False)
    assert (set(files), prefixes) == ({"plain"}, {"odd/"} if kind == "directory" else set())
    if kind != "directory":
        with pytest.raises(NotAFileError):
            await listed(store, "odd")
        with pytest.raises(NotFoundError):
            await store.open("odd/file")


async def test_a_device_behind_a_link_is_outside(root: Path, store: LocalStore) -> None:
    """A link to the system's devices leads out of the root."""
    (root / "null").symlink_to("/dev/null")
    with pytest.raises(OutsideRootError):
        await store.open("null")


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
async def test_what_takes_a_files_place_hangs_nobody(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A file that is replaced by something else between the check and the opening is refused, without waiting."""
    (root / "file").write_bytes(b"x")
    real = os.stat

    def look_and_replace(path: str, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
        status = real(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        (root / "file").unlink()
        KINDS[kind](root / "file")
        return status

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", look_and_replace)
        with pytest.raises(NotAFileError):
            await store.open("file")


def test_rights_are_those_of_the_process(root: Path) -> None:
    """An unreadable file is refused; a directory with only search permission is passed through, but not listed."""
    root.chmod(0o755)
    for name in ("open/file", "unreadable/file", "passage/file", "closed/file"):
        (root / name).parent.mkdir()
        (root / name).write_text(name)
    (root / "unreadable" / "file").chmod(0)
    (root / "passage").chmod(0o711 if os.geteuid() == 0 else 0o111)
    (root / "closed").chmod(0)
    program = Path(__file__).with_name("as_nobody.py")
    files = ["open/file", "unreadable/file", "passage/file", "closed/file"]
    command = [sys.executable, str(program), str(root), *files, "open", "unreadable", "passage", "closed", "missing", ""]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    finally:
        for name in ("passage", "closed"):
            (root / name).chmod(0o755)
    denied = "PermissionDeniedError"
    assert json.loads(done.stdout) == {
        "open/file": ["found", "open/file", ["open/file"]],
        "unreadable/file": [denied, denied, denied],
        "passage/file": ["found", "passage/file", ["passage/file"]],
        "closed/file": [denied, denied, denied],
        "open": ["NotAFileError", "NotAFileError", ["open/file"]],
        "unreadable": ["NotAFileError", "NotAFileError", ["unreadable/file"]],
        "passage": ["NotAFileError", "NotAFileError", denied],
        "closed": ["NotAFileError", "NotAFileError", denied],
        "missing": ["NotFoundError", "NotFoundError", "NotFoundError"],
        "": ["InvalidNameError", "InvalidNameError", ["open/file", "unreadable/file"]],
    }


@pytest.mark.parametrize(
    "name",
    [
        "a.unspool-part",
        "a.unspool-journal",
        "a.unspool-journal.new",
        "a.unspool-whole",
        "A.UNSPOOL-PART",
        ".unspool-tree/record.sqlite",
    ],
)
async def test_what_unspool_keeps_for_itself_is_not_served(root: Path, store: LocalStore, name: str) -> None:
    """Unfinished downloads and records of trees are not found and not listed, also through links."""
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(b"half")
    (root / "whole").write_bytes(b"whole")
    (root / "link").symlink_to(name)
    for asked in (name, "link"):
        for asking in (store.stat, store.open):
            with pytest.raises(NotFoundError, match="is not served"):
                await asking(asked)
        (answer,) = await store.read_small([asked], 1000)
        assert isinstance(answer, NotFoundError)
    for recursive in (True, False):
        files, prefixes = await listed(store, recursive=recursive)
        assert (list(files), prefixes) == (["whole"], set())
    with pytest.raises(NotFoundError):
        await listed(store, ".unspool-tree")
