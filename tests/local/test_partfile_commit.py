"""The commit: the order of its steps, what it does to modes and links, and what it refuses."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.partfile_contract import SEGMENT, blocks_of, bytes_of, journal_for, listing, part_at, recheck
from unspool.errors import DestinationExistsError, LocalFileError
from unspool.local.partfile import PartFile

DATA = bytes_of(2 * SEGMENT + 10)


def ready(destination: Path) -> PartFile:
    """Return a complete part file."""
    part = part_at(destination)
    part.acquire()
    part.begin(journal_for(len(DATA)))
    for block in blocks_of(DATA):
        part.write(block)
    return part


def mode_of(path: Path) -> int:
    """Return the permissions, with the bits that change who a program runs as."""
    return stat.S_IMODE(path.lstat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Have new files made under another umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def record(patch: pytest.MonkeyPatch, part: PartFile) -> list[str]:
    """Note the calls that matter, in their order, while they really happen."""
    calls: list[str] = []

    def noting(name: str, said: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(f"{name} {said(*args)}")
            return real(*args, **kwargs)

        patch.setattr(os, name, call)

    def of_descriptor(descriptor: int, *_: object) -> str:
        return "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"

    def of_name(name: str, *_: object) -> str:
        return "the open file" if name == f"/proc/self/fd/{part._descriptor}" else Path(name).suffix

    for name in ("ftruncate", "fchmod", "fsync"):
        noting(name, of_descriptor)
    for name in ("replace", "link", "unlink"):
        noting(name, of_name)
    return calls


def test_the_order_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is: length and mode, fsync, rename, fsync of the directory, and last the removal of the journal."""
    (tmp_path / "a.bin").write_bytes(b"old")
    (tmp_path / "a.bin").chmod(0o400)
    part = ready(tmp_path / "a.bin")
    calls = record(monkeypatch, part)
    part.commit(len(DATA), overwrite=True)
    assert calls == [
        "ftruncate file",
        "fchmod file",
        "fsync file",
        "link the open file",
        "replace .unspool-whole",
        "fsync directory",
        "unlink .unspool-journal",
        "unlink .new",
        "unlink .unspool-part",
    ]


def test_the_order_of_a_commit_that_must_not_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `overwrite` the order is the same, but the name is given by a link, which fails if the name exists."""
    part = ready(tmp_path / "a.bin")
    calls = record(monkeypatch, part)
    part.commit(len(DATA), overwrite=False)
    assert calls == [
        "ftruncate file",
        "fsync file",
        "link the open file",
        "fsync directory",
        "unlink .unspool-journal",
        "unlink .new",
        "unlink .unspool-part",
    ]


@pytest.mark.parametrize("call", ["ftruncate", "fchmod", "fsync", "link", "replace"])
def test_a_commit_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """If any step before the rename fails, the old file stays, and the next run still has every byte."""
    destination = tmp_path / "a.bin"
    destination.write_bytes(b"old")
    destination.chmod(0o400)
    part = ready(destination)

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(LocalFileError, match="input/output error"):
            part.commit(len(DATA), overwrite=True)
    part.close()
    assert destination.read_bytes() == b"old"
    part = part_at(destination)
    part.acquire()
    assert recheck(part) == len(DATA)
    part.commit(len(DATA), overwrite=True)
    assert destination.read_bytes() == DATA


def test_a_directory_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the rename the file is complete, and a later failure is not an error of the download."""
    part = ready(tmp_path / "a.bin")
    fsync = os.fsync

    def fsync_files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync_files_only)
    part.commit(len(DATA), overwrite=True)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert listing(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("when", ["before", "at the last moment"])
def test_what_stands_in_the_part_files_place_is_never_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, *, overwrite: bool
) -> None:
    """If the part file is replaced by that of another download, those bytes never get the final name."""
    destination = tmp_path / "a.bin"
    part = ready(destination)

    def replace_it() -> None:
        part.path.unlink()
        part.journal_path.unlink()
        part.path.write_bytes(b"other")

    if when == "before":
        replace_it()
    else:
        real = os.fsync

        def late_fsync(descriptor: int) -> None:
            real(descriptor)
            replace_it()

        monkeypatch.setattr(os, "fsync", late_fsync)
    with pytest.raises(LocalFileError, match="removed meanwhile, or replaced; get it again"):
        part.commit(len(DATA), overwrite=overwrite)
    part.close()
    assert not destination.exists()
    assert part.path.read_bytes() == b"other"
    assert listing(tmp_path) == [part.path.name]


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_comes_into_its_place_during_the_commit_stays_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, overwrite: bool
) -> None:
    """The open file gets the final name, even if the part file is replaced after the last check."""
    destination = tmp_path / "a.bin"
    part = ready(destination)
    link = os.link

    def late_link(source: str, target: str, **arguments: Any) -> None:
        part.path.rename(tmp_path / "moved")
        part.path.write_bytes(b"other")
        link(source, target, **arguments)

    monkeypatch.setattr(os, "link", late_link)
    part.commit(len(DATA), overwrite=overwrite)
    assert destination.read_bytes() == DATA
    assert part.path.read_bytes() == b"other", "which is not ours to remove"


def test_what_a_killed_commit_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """A name that a commit was killed at is taken over by the next one, and is gone afterwards."""
    part = ready(tmp_path / "a.bin")
    os.link(part.path, tmp_path / "a.bin.unspool-whole")
    part.commit(len(DATA), overwrite=True)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert listing(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
@pytest.mark.parametrize("taken", [False, True])
def test_a_file_system_without_links_still_does_not_overwrite(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    taken: bool,  # noqa: FBT001
) -> None:
    """Where no links can be made (a memory stick), the name is looked at and then given by a rename."""
    destination = tmp_path / "a.bin"
    part = ready(destination)
    if taken:
        destination.symlink_to("nowhere")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", fail)
    if taken:
        with pytest.raises(DestinationExistsError):
            part.commit(len(DATA), overwrite=False)
        assert destination.readlink() == Path("nowhere")
        part.discard()
    else:
        part.commit(len(DATA), overwrite=False)
        assert destination.read_bytes() == DATA
    assert listing(tmp_path) == ["a.bin"]


def test_a_link_that_fails_otherwise_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error such as a full disk is reported as it is, and no other way is tried."""
    part = ready(tmp_path / "a.bin")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(LocalFileError, match="the disk is full"):
        part.commit(len(DATA), overwrite=False)
    part.close()
    assert not (tmp_path / "a.bin").exists()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444])
def test_the_mode_of_what_is_replaced_is_kept(tmp_path: Path, mode: int) -> None:
    """Who may read, write and run the file stays the same, whatever the umask."""
    destination = tmp_path / "a.bin"
    destination.write_bytes(b"old")
    destination.chmod(mode)
    with umask(0o077):
        ready(destination).commit(len(DATA), overwrite=True)
    assert mode_of(destination) == mode


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6711, 0o1644])
def test_new_bytes_do_not_run_as_somebody_else(tmp_path: Path, mode: int) -> None:
    """Set-user-id and its like were given to the old bytes: what came over the network does not inherit them."""
    destination = tmp_path / "a.bin"
    destination.write_bytes(b"old")
    destination.chmod(mode)
    assert mode_of(destination) == mode
    ready(destination).commit(len(DATA), overwrite=True)
    assert mode_of(destination) == mode & 0o777


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o027, 0o077])
def test_a_new_file_obeys_the_umask(tmp_path: Path, mask: int) -> None:
    """A file that was not there before gets the mode that any program's new file gets."""
    with umask(mask):
        ready(tmp_path / "a.bin").commit(len(DATA), overwrite=True)
    assert mode_of(tmp_path / "a.bin") == 0o666 & ~mask


# Links


def test_a_link_is_replaced_itself(tmp_path: Path) -> None:
    """A symbolic link at the destination becomes the file; what it pointed to stays, and lends its mode."""
    destination, target = tmp_path / "a.bin", tmp_path / "target"
    target.write_bytes(b"target")
    target.chmod(0o640)
    destination.symlink_to(target)
    ready(destination).commit(len(DATA), overwrite=True)
    assert not destination.is_symlink()
    assert destination.read_bytes() == DATA
    assert target.read_bytes() == b"target"
    assert mode_of(destination) == 0o640


def test_a_link_to_nothing_is_replaced_itself(tmp_path: Path) -> None:
    """A dangling link is replaced, and its target is not created."""
    destination = tmp_path / "a.bin"
    destination.symlink_to(tmp_path / "nowhere")
    ready(destination).commit(len(DATA), overwrite=True)
    assert not destination.is_symlink()
    assert listing(tmp_path) == ["a.bin"]


def test_a_link_counts_as_something_that_is_there(tmp_path: Path) -> None:
    """Without `overwrite` even a dangling link is not replaced."""
    destination = tmp_path / "a.bin"
    destination.symlink_to(tmp_path / "nowhere")
    part = ready(destination)
    with pytest.raises(DestinationExistsError):
        part.commit(len(DATA), overwrite=False)
    assert destination.is_symlink()
    part.close()


def test_a_link_in_a_circle_is_an_error(tmp_path: Path) -> None:
    """A link that leads to itself leads to no file."""
    destination = tmp_path / "a.bin"
    destination.symlink_to(destination)
    part = part_at(destination)
    with pytest.raises(LocalFileError):
        part.acquire()
    part.close()
    assert listing(tmp_path) == ["a.bin"]
