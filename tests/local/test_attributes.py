"""The attributes of the server that a local file gets: modification time and executable bit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from contract.partfile_contract import part_at
from unspool.core.model import Attributes
from unspool.local.attributes import apply
from unspool.local.destination import Destination

TIME = 1_600_000_000_123_456_789


def mode_of(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def given(path: Path, attributes: Attributes, *, takes_back: bool = False) -> int:
    """Give a file its attributes; return its permissions."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        apply(attributes, descriptor, takes_back=takes_back)
    finally:
        os.close(descriptor)
    return mode_of(path)


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o755), (0o600, 0o700), (0o640, 0o750), (0o664, 0o775), (0o755, 0o755)])
def test_who_may_read_may_run(tmp_path: Path, before: int, after: int) -> None:
    """An executable file is executable for everyone who may read it, and for nobody else."""
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(before)
    assert given(tmp_path / "a", Attributes(executable=True)) == after


@pytest.mark.parametrize(
    ("executable", "takes_back", "after"), [(False, False, 0o755), (False, True, 0o644), (None, True, 0o755)]
)
def test_only_what_we_gave_is_taken_back(tmp_path: Path, *, executable: bool | None, after: int, takes_back: bool) -> None:
    """The executable bit is removed only if unspool set it."""
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(0o755)
    assert given(tmp_path / "a", Attributes(executable=executable), takes_back=takes_back) == after


def test_a_file_that_has_its_attributes_is_not_touched(tmp_path: Path) -> None:
    """A file that has the attributes already is not changed, so its change time stays."""
    (tmp_path / "a").touch()
    given(tmp_path / "a", Attributes(TIME, executable=True))
    before = (tmp_path / "a").stat()
    assert before.st_mtime_ns == TIME
    given(tmp_path / "a", Attributes(TIME, executable=True))
    given(tmp_path / "a", Attributes(executable=False))
    assert (tmp_path / "a").stat().st_ctime_ns == before.st_ctime_ns


def test_a_part_file_gets_them_before_its_name(tmp_path: Path) -> None:
    """A file has its attributes when it gets its final name, and keeps the read permissions of the file that it replaced."""
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o640)
    part = part_at(tmp_path / "a")
    part.acquire()
    synced: list[os.stat_result] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor)))
        part.commit(0, overwrite=True, attributes=Attributes(TIME, executable=True))
    assert (synced[0].st_mtime_ns, stat.S_IMODE(synced[0].st_mode)) == (TIME, 0o750)
    assert ((tmp_path / "a").stat().st_mtime_ns, mode_of(tmp_path / "a")) == (TIME, 0o750)


@pytest.mark.parametrize("change", ["write", "link", "gone", "pipe"])
def test_what_has_changed_since_it_was_found_is_left_alone(tmp_path: Path, change: str) -> None:
    """A file that was written to or replaced after it was compared keeps its own time."""
    path, other = tmp_path / "a", tmp_path / "other"
    path.write_bytes(b"a")
    other.write_bytes(b"a")
    destination = Destination.at(path)
    try:
        found = destination.status()
        assert found is not None
        if change == "write":
            os.utime(path, ns=(1, 1))
        else:
            path.unlink()
        if change == "link":
            path.symlink_to(other)
        if change == "pipe":
            os.mkfifo(path)
        destination.give(Attributes(TIME, executable=True), found)
    finally:
        destination.close()
    for there in (path, other):
        if there.exists():
            assert there.stat().st_mtime_ns != TIME
            assert not there.stat().st_mode & 0o111


def test_what_a_link_leads_to_is_left_alone(tmp_path: Path) -> None:
    """The target of a link at the destination is not changed, even if it has the same bytes."""
    (tmp_path / "real").write_bytes(b"a")
    (tmp_path / "a").symlink_to("real")
    destination = Destination.at(tmp_path / "a")
    try:
        found = destination.status()
        assert found is not None
        destination.give(Attributes(TIME, executable=True), found)
    finally:
        destination.close()
    assert (tmp_path / "real").stat().st_mtime_ns != TIME
    assert not (tmp_path / "real").stat().st_mode & 0o111
