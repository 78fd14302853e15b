"""Real problems on the client's machine: failing disks, directories that disappear, clocks that jump."""

from __future__ import annotations

import errno
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from client.lab import BLOCK, DATA, JOURNAL, NAME, PART, Lab, names_in
from crash.test_crash_full_disk import can_mount
from processes import ENVIRONMENT, serving, unspool
from unspool import Client, LocalStore, MemoryStore
from unspool.client.events import Advanced, Event, Retrying
from unspool.errors import LocalFileError
from unspool.testing import serve


class Meddling(Lab):
    """A lab that changes something in the directory after a number of blocks."""

    def __init__(self, blocks: int, meddle: Callable[[], object]) -> None:
        super().__init__()
        self._blocks = blocks
        self._meddle = meddle

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        super().notify(event)
        if isinstance(event, Advanced) and len(self.told(Advanced)) == self._blocks:
            self._meddle()


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
async def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """EIO from a write or a sync is an error at once, without a retry; good bytes are used once the disk works again."""
    calls = 0
    real = getattr(os, call)

    def failing(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == (5 if call == "pwrite" else 1):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*args)

    lab = Lab()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(LocalFileError, match="input/output error") as caught:
            await lab.get(tmp_path / "b.bin")
    assert caught.value.exit_code == 8
    assert lab.told(Retrying) == []
    assert names_in(tmp_path) == [JOURNAL, PART]
    result = await Lab(store=lab.store).get(tmp_path / "b.bin")
    assert result.resumed_from == (4 * BLOCK if call == "pwrite" else len(DATA))
    assert (tmp_path / "b.bin").read_bytes() == DATA


def test_a_directory_that_is_mounted_read_only(tmp_path: Path) -> None:
    """On a read-only file system `get` ends with exit 8 and one line; existing files stay unchanged."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("unshare") is None or not can_mount(disk):
        pytest.skip("a read-only mount needs `unshare` and the right to mount")
    (disk / "a").write_bytes(b"old")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"new")
    with serving(root, tmp_path / "log") as server:
        script = (
            f"mount --bind {shlex.quote(str(disk))} {shlex.quote(str(disk))} || exit 99\n"
            f"mount -o remount,bind,ro {shlex.quote(str(disk))} || exit 99\n"
            f"exec {shlex.quote(sys.executable)} -m unspool get {server.address}/a {shlex.quote(str(disk))}"
        )
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False
        )
    assert done.returncode == 8, done.stderr
    (complaint,) = done.stderr.splitlines()
    assert "not allowed to write there" in complaint
    assert {path.name: path.read_bytes() for path in disk.iterdir()} == {"a": b"old"}


async def test_a_destination_that_is_replaced_meanwhile(tmp_path: Path) -> None:
    """A file that appears at the destination during the download is replaced by the complete file, in one step."""
    out = tmp_path / "b.bin"
    out.write_bytes(b"first")
    (tmp_path / "theirs").write_bytes(b"second")
    lab = Meddling(4, lambda: (tmp_path / "theirs").rename(out))
    await lab.get(out)
    assert out.read_bytes() == DATA
    assert names_in(tmp_path) == ["b.bin"]


async def test_a_destination_that_is_removed_meanwhile(tmp_path: Path) -> None:
    """A destination that is removed during the download is there again afterwards, complete."""
    out = tmp_path / "b.bin"
    out.write_bytes(b"first")
    await Meddling(4, out.unlink).get(out)
    assert out.read_bytes() == DATA
    assert names_in(tmp_path) == ["b.bin"]


async def test_a_directory_that_is_removed_meanwhile(tmp_path: Path) -> None:
    """If the whole directory is removed during the download, the error says so, and no file appears elsewhere."""
    directory = tmp_path / "here"
    directory.mkdir()
    with pytest.raises(LocalFileError, match="no such directory"):
        await Meddling(4, lambda: shutil.rmtree(directory)).get(directory / "b.bin")
    assert names_in(tmp_path) == []


async def test_a_directory_that_is_moved_meanwhile(tmp_path: Path) -> None:
    """If the directory is replaced by another one during the download, no incomplete file appears in either."""
    directory, moved = tmp_path / "here", tmp_path / "moved"
    directory.mkdir()

    def move() -> None:
        directory.rename(moved)
        directory.mkdir()

    lab = Meddling(4, move)
    with pytest.raises(LocalFileError, match="removed meanwhile"):
        await lab.get(directory / "b.bin")
    assert "b.bin" not in names_in(moved) + names_in(directory)
    await Lab(store=lab.store).get(directory / "b.bin")
    assert (directory / "b.bin").read_bytes() == DATA
    assert names_in(directory) == ["b.bin"]


async def test_a_clock_that_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the time of day jumps by years, in either direction, no stall is reported, and no wait gets longer."""
    jump = random.Random(1)
    real = time.time

    def jumping() -> float:
        return real() + jump.uniform(-3e8, 3e8)

    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(DATA * 5000)
    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr(time, "time_ns", lambda: int(jumping() * 1e9))
    store = LocalStore(tmp_path / "root")
    began = time.monotonic()
    async with serve(store) as address, Client(address) as client:
        for _ in range(5):
            result = await client.get("a", tmp_path / "b.bin")
            assert (result.attempts, result.verified) == (1, "file")
            assert 0 <= result.seconds <= time.monotonic() - began
            (tmp_path / "b.bin").unlink()
    await store.aclose()
    assert time.monotonic() - began < 20


async def test_the_longest_name_is_gone_on_with(tmp_path: Path) -> None:
    """A destination with a name of 255 bytes is resumed like any other, and no file stays beside it."""
    out = tmp_path / ("ä" * 127 + "b")
    store = MemoryStore({NAME: DATA})
    with pytest.raises(Exception, match="the connection broke"):
        await Lab("....x", store=store, budget=0).get(out)
    assert len(names_in(tmp_path)) == 2
    result = await Lab(store=store).get(out)
    assert result.resumed_from == 4 * BLOCK
    assert names_in(tmp_path) == [out.name]
    assert out.read_bytes() == DATA


def test_a_destination_on_another_file_system(tmp_path: Path) -> None:
    """Part file and destination are on the same file system, whatever the current directory."""
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system here")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(DATA)
    with TemporaryDirectory(dir=elsewhere) as name, serving(tmp_path / "root", tmp_path / "log") as server:
        done = unspool("get", "--quiet", f"{server.address}/a", name, cwd=tmp_path)
        assert (done.code, done.err) == (0, "")
        assert {path.name: path.read_bytes() for path in Path(name).iterdir()} == {"a": DATA}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL, errno.EIO])
async def test_a_directory_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """If the directory cannot be synced after the file got its name, the download has still succeeded."""
    real = os.fsync
    refused = 0

    def fsync(descriptor: int) -> None:
        nonlocal refused
        if os.path.samestat(os.fstat(descriptor), tmp_path.stat()):
            refused += 1
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    result = await Lab().get(tmp_path / "b.bin")
    assert refused == 1
    assert result.verified == "file"
    assert (tmp_path / "b.bin").read_bytes() == DATA
    assert names_in(tmp_path) == ["b.bin"]
