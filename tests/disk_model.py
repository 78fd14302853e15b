"""A model of a disk that loses power: a log of what was asked of the file system, and what may be left of it.

`Recorder` logs the calls of the code under test while they really happen in a directory, and in some below it, whose files have
names with their path. `after_power_loss` takes a prefix of
that log and gives one of the states the directory may be in when the machine comes up again:

- what was written to a file since its last fsync may be there, be missing, or be torn at any multiple of 512 bytes, each
  write by itself; what reads as a hole reads as zeros;
- creations, renames and removals since the directory's last fsync may be there or not; they keep their order, as in every
  journalling file system;
- the length of a file may be any that it had since its last fsync.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from unspool.ingest import uploadfile
from unspool.local import part

_SECTOR = 512


@dataclass(frozen=True)
class Step:
    """One call: what it was, which file (by inode number) or names, and the bytes."""

    kind: str
    inode: int = 0
    names: tuple[str, ...] = ()
    offset: int = 0
    data: bytes = b""


@dataclass
class Recorder:
    """The log of what happened in `directory`, and in those of `below` that are named relative to it."""

    directory: Path
    below: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Log what is done inside."""
        with pytest.MonkeyPatch.context() as patch:
            self._patch(patch, os, "open", self._open)
            self._patch(patch, os, "pwrite", self._pwrite)
            self._patch(patch, os, "ftruncate", self._ftruncate)
            self._patch(patch, os, "fsync", self._fsync)
            self._patch(patch, os, "fdatasync", self._fsync)
            self._patch(patch, os, "replace", self._replace)
            self._patch(patch, os, "unlink", self._unlink)
            self._patch(patch, os, "link", self._link)
            self._patch(patch, part, "write_new", self._write_new)
            self._patch(patch, uploadfile, "write_new", self._write_new)
            yield

    def _patch(self, patch: pytest.MonkeyPatch, owner: Any, name: str, log: Callable[..., None]) -> None:
        real = getattr(owner, name)

        def both(*args: Any, **kwargs: Any) -> Any:
            if name in ("unlink", "replace"):
                log(None, *args, **kwargs)  # while the names still mean what they meant
                return real(*args, **kwargs)
            result = real(*args, **kwargs)
            log(result, *args, **kwargs)
            return result

        patch.setattr(owner, name, both)

    def _mine(self, name: Any, directory: int | None) -> str | None:
        """Return the name, if that is where it is: whatever is done in the directory goes by its descriptor."""
        if directory is None:
            return None
        status = os.fstat(directory)
        if os.path.samestat(status, self.directory.stat()):
            return str(name)
        for below in self.below:
            path = self.directory / below
            if path.is_dir() and os.path.samestat(status, path.stat()):
                return f"{below}/{name}"
        return None

    def _open(self, descriptor: int, name: Any, flags: int, *_: Any, dir_fd: int | None = None) -> None:
        mine = self._mine(name, dir_fd)
        if mine and flags & os.O_CREAT:
            self.steps.append(Step("create", os.fstat(descriptor).st_ino, (mine,)))

    def _pwrite(self, count: int, descriptor: int, data: Any, offset: int) -> None:
        self.steps.append(Step("write", os.fstat(descriptor).st_ino, offset=offset, data=bytes(data[:count])))

    def _ftruncate(self, _: None, descriptor: int, length: int) -> None:
        self.steps.append(Step("truncate", os.fstat(descriptor).st_ino, offset=length))

    def _fsync(self, _: None, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode):
            self.steps.append(Step("sync", status.st_ino))
        elif (mine := self._mine("", descriptor)) is not None:
            self.steps.append(Step("sync directory", names=(mine,)))

    def _replace(self, _: None, source: Any, target: Any, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if (old := self._mine(source, src_dir_fd)) and (new := self._mine(target, dst_dir_fd)):
            self.steps.append(Step("rename", names=(old, new)))

    def _unlink(self, _: None, name: Any, *, dir_fd: int | None = None) -> None:
        if (mine := self._mine(name, dir_fd)) and os.path.lexists(self.directory / mine):
            self.steps.append(Step("remove", names=(mine,)))

    def _link(self, _: None, source: str, target: str, *, dst_dir_fd: int, **__: Any) -> None:
        if mine := self._mine(target, dst_dir_fd):
            assert source.startswith("/proc/self/fd/"), "a commit links what is open"
            self.steps.append(Step("link", os.fstat(int(source.rpartition("/")[2])).st_ino, (mine,)))

    def _write_new(self, _: None, name: str, directory: int, data: bytes, *, synced: bool = False) -> None:
        if mine := self._mine(name, directory):
            inode = (self.directory / mine).stat().st_ino
            self.steps.append(Step("create", inode, (mine,)))
            self.steps.append(Step("truncate", inode, offset=0))
            self.steps.append(Step("write", inode, offset=0, data=data))
            if synced:
                self.steps.append(Step("sync", inode))


@dataclass(frozen=True)
class Left:
    """What is left: files by number, and names of them."""

    names: dict[str, int]
    files: dict[int, bytes]

    def get(self, name: str) -> bytes | None:
        """Return what is in a file; None if it is not there."""
        return self.files[self.names[name]] if name in self.names else None

    def put(self, directory: Path) -> dict[int, Path]:
        """Have it in a directory; two names of one file are two names of one file. Return a path of each file by its number."""
        first: dict[int, Path] = {}
        for name, inode in self.names.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            if inode in first:
                os.link(first[inode], directory / name)
            else:
                first[inode] = directory / name
                first[inode].write_bytes(self.files[inode])
        return first


def after_power_loss(steps: list[Step], before: dict[str, bytes], random: Random) -> Left:
    """Return what may be left if the power went after `steps`, in a directory that held `before`."""
    files: dict[int, _File] = {}
    names: dict[str, int] = {}
    for number, (name, data) in enumerate(before.items()):
        files[-number - 1] = _File(durable=data)
        names[name] = -number - 1
    durable_names = dict(names)
    pending: list[Step] = []
    for step in steps:
        match step.kind:
            case "write" | "truncate":
                files.setdefault(step.inode, _File()).pending.append(step)
            case "sync":
                files.setdefault(step.inode, _File()).sync()
            case "sync directory":
                # What came before the last change of this directory is durable with it.
                last = max((at for at, change in enumerate(pending) if _concerns(change, step.names[0])), default=-1)
                for change in pending[: last + 1]:
                    _apply(change, durable_names)
                del pending[: last + 1]
            case _:
                if step.kind == "create" and names.get(step.names[0]) == step.inode:
                    continue  # opened, not created
                _apply(step, names)
                pending.append(step)
    for change in pending[: random.randint(0, len(pending))]:
        _apply(change, durable_names)
    return Left(durable_names, {inode: files.setdefault(inode, _File()).left(random) for inode in durable_names.values()})


def _concerns(step: Step, directory: str) -> bool:
    """Whether a step changes an entry of a directory, which is named with a slash at its end, or "" for the one at the top."""
    return any(name.rpartition("/")[0] == directory.removesuffix("/") for name in step.names)


def _apply(step: Step, names: dict[str, int]) -> None:
    match step.kind:
        case "create":
            names[step.names[0]] = step.inode
        case "rename":
            names[step.names[1]] = names.pop(step.names[0])
        case "link":
            names[step.names[0]] = step.inode
        case "remove":
            names.pop(step.names[0], None)
        case _:
            raise AssertionError(step)


@dataclass
class _File:
    durable: bytes = b""
    pending: list[Step] = field(default_factory=list)

    def sync(self) -> None:
        """Make everything durable."""
        for step in self.pending:
            self.durable = _changed(self.durable, step)
        self.pending.clear()

    def left(self, random: Random) -> bytes:
        """Return what may be left of it."""
        data = self.durable
        for step in self.pending:
            fate = random.random()
            if fate < 0.4:
                data = _changed(data, step)
            elif fate < 0.7 and step.kind == "write":
                keep = random.randint(0, len(step.data) // _SECTOR) * _SECTOR
                data = _changed(data, Step("write", step.inode, offset=step.offset, data=step.data[:keep]))
                if random.random() < 0.5:  # the length came through, the bytes did not
                    data = data.ljust(step.offset + len(step.data), b"\0")
        return data


def _changed(data: bytes, step: Step) -> bytes:
    if step.kind == "truncate":
        return data[: step.offset].ljust(step.offset, b"\0")
    return data[: step.offset].ljust(step.offset, b"\0") + step.data + data[step.offset + len(step.data) :]
