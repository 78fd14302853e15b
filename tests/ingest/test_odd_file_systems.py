"""Uploads into a directory on a file system that lacks something, or fails."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from ingest.uploads import ingesting, opened, put
from unspool.errors import DataLossError, InvalidNameError, PermissionDeniedError, UnspoolError
from unspool.ingest.base import Upload
from unspool.ingest.describing import Describing
from unspool.ingest.target import Targets
from unspool.stores.revisions import by_status
from unspool.testing.ingesting import new, send
from unspool.testing.stock import BYTES


def always(*_: object, **__: object) -> bool:
    """Return True."""
    return True


def failing(patch: pytest.MonkeyPatch, names: list[str], number: int, when: Callable[..., bool] = always) -> None:
    """Have functions of `os` fail with an error number where `when` is true of their arguments."""
    for name in names:
        real = getattr(os, name)

        def fails(*args: Any, real: Any = real, **more: Any) -> Any:
            if when(*args, **more):
                raise OSError(number, os.strerror(number), *[arg for arg in args if isinstance(arg, str)][:1])
            return real(*args, **more)

        patch.setattr(os, name, fails)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EILSEQ])
async def test_a_name_that_the_file_system_does_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As on FAT: a name with a colon, of a file or of a directory, is INVALID_NAME, and other files of a batch are written."""
    calls = ["open", "mkdir", "link", "rename", "replace"]
    failing(monkeypatch, calls, number, lambda *args, **_: ":" in "".join(map(str, args)))
    async with ingesting(tmp_path) as ingester:
        for name in ("a:b", "c:d/a"):
            with pytest.raises(InvalidNameError, match="does not take this name"):
                await put(ingester, BYTES, name)
        answers = await ingester.write_small([new("a:b", b"1"), new("ok", b"2"), new("c:d/a", b"3")])
    assert [isinstance(answer, InvalidNameError) for answer in answers] == [True, False, True]
    assert (tmp_path / "ok").read_bytes() == b"2"


@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "fsync"])
async def test_a_disk_that_fails_is_said_to_fail_at_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """EIO is DATA_LOSS, in words about writing; the name stays free."""

    async def sent(upload: Upload) -> None:
        await send(upload, BYTES)
        await upload.sync()
        await upload.commit(len(BYTES))

    async with ingesting(tmp_path) as ingester:
        async with aclosing(await opened(ingester)) as upload:
            failing(monkeypatch, [call], errno.EIO)
            with pytest.raises(DataLossError, match="failed to write it"):
                await sent(upload)
        monkeypatch.undo()
    assert not (tmp_path / "a.bin").exists()


async def test_permissions_are_changed_only_if_they_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses every chmod, but has one mode for all, lets files be replaced. None becomes more readable."""
    for name in ("a.bin", "small", "secret", "little"):
        (tmp_path / name).write_bytes(b"old")
    for name in ("secret", "little"):
        (tmp_path / name).chmod(0o600)
    async with ingesting(tmp_path) as ingester:
        failing(monkeypatch, ["fchmod"], errno.EPERM)
        await put(ingester, BYTES)
        with pytest.raises(PermissionDeniedError):
            await put(ingester, BYTES, "secret")
        answers = await ingester.write_small([new("small", b"new"), new("little", b"new")])
    assert [isinstance(answer, UnspoolError) for answer in answers] == [False, True]
    found = [(tmp_path / name).read_bytes() for name in ("a.bin", "small", "secret", "little")]
    assert found == [BYTES, b"new", b"old", b"old"]


async def test_a_directory_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where directories are not synced (EINVAL), files are written all the same."""
    failing(monkeypatch, ["fsync"], errno.EINVAL, lambda descriptor: stat.S_ISDIR(os.fstat(descriptor).st_mode))
    async with ingesting(tmp_path) as ingester:
        await put(ingester, BYTES, "dir/a.bin")
        await ingester.write_small([new("other/a", b"a")])
    assert (tmp_path / "dir/a.bin").read_bytes() == BYTES


def test_a_deep_directory_is_synced_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing what was made for a file in 300 directories opens each of them about once, not each of them for each."""
    targets = Targets(str(tmp_path), hidden=False, describing=Describing(by_status))
    opens = Mock(side_effect=os.open)
    with targets.places() as places:
        places.made("d/" * 300 + "file")
        monkeypatch.setattr(os, "open", opens)
        places.sync()
    targets.close()
    assert opens.call_count < 1000
