"""Errors of the local disk: reported at once, not hidden by network errors, and not retried."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from client.lab import BLOCK, DATA, JOURNAL, PART, Lab, names_in
from unspool.client.events import Restarting, Retrying
from unspool.errors import LocalFileError

Fill = Callable[[int], None]


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Make the disk be full at a byte of the file."""

    def fill(at: int) -> None:
        write = os.pwrite

        def full(descriptor: int, data: memoryview, offset: int) -> int:
            if offset >= at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, data[: at - offset], offset)

        monkeypatch.setattr(os, "pwrite", full)

    return fill


@pytest.mark.parametrize("at", [0, 1, 3 * BLOCK, 3 * BLOCK + 1, len(DATA) - 1])
async def test_a_full_disk_ends_the_download(tmp_path: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """A full disk is an error without a retry; with free space, the same command resumes after the last complete block."""
    lab = Lab()
    fill(at)
    with pytest.raises(LocalFileError, match="full"):
        await lab.get(tmp_path / "b.bin")
    monkeypatch.undo()
    assert len(lab.starts) == 1
    assert lab.told(Retrying) == []
    whole = at // BLOCK * BLOCK
    assert names_in(tmp_path) == ([JOURNAL, PART] if whole else [])
    again = Lab(store=lab.store)
    result = await again.get(tmp_path / "b.bin")
    assert again.starts == [whole]
    assert result.resumed_from == whole
    assert (tmp_path / "b.bin").read_bytes() == DATA


@pytest.mark.parametrize("letter", ["x", "E", "!", "z"])
async def test_a_network_error_does_not_hide_it(tmp_path: Path, fill: Fill, letter: str) -> None:
    """If the network breaks while a write fails, the error of the disk is reported, before another attempt."""
    fill(2 * BLOCK)
    lab = Lab(f"...{letter}")
    with pytest.raises(LocalFileError, match="full"):
        await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == letter
    assert len(lab.starts) == 1
    assert lab.told(Retrying) == []


async def test_a_change_does_not_hide_it(tmp_path: Path, fill: Fill) -> None:
    """If the file changes while a write fails, the error of the disk is reported, and the download does not begin again."""
    fill(2 * BLOCK)
    lab = Lab("..v")
    with pytest.raises(LocalFileError, match="full"):
        await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == "v"
    assert lab.told(Restarting) == []
    assert len(lab.starts) == 1


async def test_the_last_block_is_waited_for(tmp_path: Path, fill: Fill) -> None:
    """A failed write of the last block is noticed before the file gets its name."""
    fill(len(DATA) - 1)
    lab = Lab()
    with pytest.raises(LocalFileError, match="full"):
        await lab.get(tmp_path / "b.bin")
    assert names_in(tmp_path) == [JOURNAL, PART]


@pytest.mark.parametrize("name", ["fsync", "fchmod"])
async def test_a_commit_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """If the last step fails, the final name is unchanged, and the next run does only the missing steps."""
    (tmp_path / "b.bin").write_bytes(b"old")
    (tmp_path / "b.bin").chmod(0o600)  # a part file has other permissions, which are changed at the commit
    lab = Lab()

    def broken(descriptor: int, *_: object) -> None:
        if os.fstat(descriptor).st_size == len(DATA):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, broken)
        with pytest.raises(LocalFileError):
            await lab.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == b"old"
    again = Lab(store=lab.store)
    result = await again.get(tmp_path / "b.bin")
    assert result.bytes_received == 0
    assert (tmp_path / "b.bin").read_bytes() == DATA
