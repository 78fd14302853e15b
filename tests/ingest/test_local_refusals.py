"""Uploads into a directory: what is refused, and what others cannot do."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from ingest.uploads import ingesting, opened, put
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Span
from unspool.core.reserved import UPLOADS
from unspool.core.uploading import IF_ABSENT, Condition
from unspool.errors import (
    AlreadyExistsError,
    DataLossError,
    FileChangedError,
    InvalidNameError,
    LocalFileError,
    NoSpaceError,
    NotAFileError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    TooLargeError,
)
from unspool.ingest.local import LocalIngester
from unspool.ingest.staging import Staging
from unspool.ingest.uploadfile import UploadFile
from unspool.options import IngestOptions
from unspool.stores import LocalStore
from unspool.testing.ingesting import new, send
from unspool.testing.stock import BYTES, listed

# What is refused


async def test_nothing_is_written_through_a_link_or_outside(tmp_path: Path) -> None:
    """A link on the way or at the name is refused, wherever it leads; it and its target stay as they are."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / "inside").mkdir(parents=True)
    (outside / "file").write_bytes(b"theirs")
    (root / "way").symlink_to(outside)
    (root / "short").symlink_to("inside")
    (root / "link").symlink_to(outside / "file")
    (root / "dangling").symlink_to(outside / "new")
    async with ingesting(root) as ingester:
        for name in ("way/file", "way/new", "short/new"):
            with pytest.raises(NotAFileError, match="link is not followed"):
                await opened(ingester, name)
        for name in ("link", "dangling"):
            with pytest.raises(PermissionDeniedError, match="is a symbolic link"):
                await opened(ingester, name)
        answers = await ingester.write_small([new("way/new", b"1"), new("link", b"1"), new("dangling", b"1")])
        assert [type(answer) for answer in answers] == [NotAFileError, PermissionDeniedError, PermissionDeniedError]
        for name, error in (("way/file", NotAFileError), ("link", PermissionDeniedError), ("dangling", PermissionDeniedError)):
            with pytest.raises(error, match="link"):
                await ingester.delete(name)
        assert {path.name for path in root.iterdir() if path.is_symlink()} == {"way", "short", "link", "dangling"}
        # Swapped between the opening and the commit.
        async with aclosing(await opened(ingester, "inside/new")) as upload:
            await send(upload, BYTES)
            (root / "inside").rename(root / "elsewhere")
            (root / "inside").symlink_to(outside)
            with pytest.raises(NotAFileError):
                await upload.commit(len(BYTES))
    assert {path.name for path in outside.iterdir()} == {"file"}
    assert (outside / "file").read_bytes() == b"theirs"


@pytest.mark.parametrize("hidden", [True, False])
async def test_names_that_would_not_be_served_are_refused(tmp_path: Path, *, hidden: bool) -> None:
    """Unspool's own names are refused, and dotfiles unless they are served; the staging directory is not listed."""
    async with ingesting(tmp_path, hidden=hidden) as ingester:
        for name in (f"{UPLOADS}/x", "a.unspool-part", "dir/.UNSPOOL-uploads/x", ".unspool-tree/lock"):
            with pytest.raises(InvalidNameError):
                await opened(ingester, name)
            with pytest.raises(InvalidNameError):
                await ingester.delete(name)
        for name in (".x", "dir/.x"):
            if hidden:
                await put(ingester, b"x", name)
                await ingester.delete(name)
                await put(ingester, b"x", name, bytes(16))
            else:
                with pytest.raises(InvalidNameError):
                    await opened(ingester, name)
                with pytest.raises(InvalidNameError):
                    await ingester.delete(name)
        await (await opened(ingester)).aclose()
    store = LocalStore(tmp_path, hidden=hidden)
    files, prefixes = await listed(store)
    assert set(files) == ({".x", "dir/.x"} if hidden else set())
    assert prefixes == set()
    with pytest.raises(NotFoundError):
        await store.stat(f"{UPLOADS}/done/x")
    await store.aclose()
    assert stat.S_IMODE((tmp_path / UPLOADS).stat().st_mode) == 0o700


async def test_special_files_are_not_replaced(tmp_path: Path) -> None:
    """A FIFO or a directory at the name is refused, also if it appears before the commit."""
    os.mkfifo(tmp_path / "pipe")
    async with ingesting(tmp_path) as ingester:
        with pytest.raises(NotAFileError, match="not a regular file"):
            await opened(ingester, "pipe")
        with pytest.raises(NotAFileError, match="not a regular file"):
            await ingester.delete("pipe")
        (tmp_path / "empty").mkdir()
        with pytest.raises(NotAFileError, match="is a directory"):
            await ingester.delete("empty")
        assert (tmp_path / "empty").is_dir()
        async with aclosing(await opened(ingester, "late")) as upload:
            (tmp_path / "late").mkdir()
            with pytest.raises(NotAFileError, match="is a directory"):
                await upload.commit(0)


async def test_a_full_disk_is_no_space_and_keeps_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full in the middle or at the commit is NO_SPACE; when there is room, the upload goes on."""

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with ingesting(tmp_path) as ingester:
        async with aclosing(await opened(ingester)) as upload:
            await send(upload, BYTES[:600])
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", full)
                with pytest.raises(NoSpaceError, match="what was received is kept"):
                    await send(upload, BYTES, 600)
        for refused in ("fsync", "replace"):
            async with aclosing(await opened(ingester)) as upload:
                assert upload.table.good_bytes in {600, len(BYTES)}
                await send(upload, BYTES, upload.table.good_bytes)
                with monkeypatch.context() as patch:
                    patch.setattr(os, refused, full)
                    with pytest.raises(NoSpaceError):
                        await upload.commit(len(BYTES))
            assert not (tmp_path / "a.bin").exists()
        async with aclosing(await opened(ingester)) as upload:
            await upload.commit(len(BYTES))
    assert (tmp_path / "a.bin").read_bytes() == BYTES


async def test_limits_are_told_at_the_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is too large, a principal with too much unfinished, and a disk without room are refused at once."""
    options = IngestOptions(largest_file=5000, uploads=2, bytes=6000)
    async with ingesting(tmp_path, options) as ingester:
        with pytest.raises(TooLargeError):
            await opened(ingester, size=5001)
        async with aclosing(await opened(ingester, "a", owner="alice")) as upload:
            await send(upload, BYTES)
        with pytest.raises(NoSpaceError, match="6000 bytes, of which 2008 are used"):
            await opened(ingester, "b", owner="alice", size=4000)
        async with aclosing(await opened(ingester, "b", owner="alice", size=3000)) as upload:
            await send(upload, BYTES)
            with pytest.raises(NoSpaceError, match="2 unfinished uploads"):
                await opened(ingester, "c", owner="alice")
            await (await opened(ingester, "a", owner="alice")).aclose()  # its own do not count against it
            await (await opened(ingester, "c", owner="bob")).aclose()
        monkeypatch.setattr(Staging, "free", lambda _: 999)
        with pytest.raises(NoSpaceError, match="the server has room for 999"):
            await opened(ingester, "d", owner="carol", size=1000)


async def test_the_share_of_a_principal_holds_while_bytes_arrive(tmp_path: Path) -> None:
    """Also for an upload whose size nobody said, and for several that were opened when there was room for each."""
    async with (
        ingesting(tmp_path, IngestOptions(bytes=3000)) as ingester,
        aclosing(await opened(ingester, "a", owner="alice")) as first,
        aclosing(await opened(ingester, "b", owner="alice")) as second,
    ):
        await send(first, BYTES)
        await send(second, BYTES[:900])
        with pytest.raises(NoSpaceError, match="3000 bytes, of which 2008 are used"):
            await second.write(Block(900, BYTES[900:], crc32c(BYTES[900:])))
        await first.commit(len(BYTES))
        await send(second, BYTES, 900)
        await second.commit(len(BYTES))
    assert (tmp_path / "b").read_bytes() == BYTES


async def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    """The permission bits of the old file stay, without set-user-ID."""
    (tmp_path / "a.bin").write_bytes(b"old")
    (tmp_path / "a.bin").chmod(0o4640)
    (tmp_path / "b.bin").write_bytes(b"old")
    (tmp_path / "b.bin").chmod(0o600)
    async with ingesting(tmp_path) as ingester:
        await put(ingester, BYTES)
        await ingester.write_small([new("b.bin", b"new")])
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "b.bin").stat().st_mode) == 0o600


async def test_what_was_removed_by_hand_is_an_error_that_says_so(tmp_path: Path) -> None:
    """If the part file is removed while it is received, the client is asked to send again; no path is told."""
    async with ingesting(tmp_path) as ingester:
        async with aclosing(await opened(ingester)) as upload:
            await send(upload, BYTES)
            (part,) = (tmp_path / UPLOADS).glob("*-part")
            part.unlink()
            with pytest.raises(ServerError, match=r"^a\.bin: what was received of it was removed"):
                await upload.commit(len(BYTES))
        await put(ingester, BYTES)
        upload = await opened(ingester, "b.bin")
        await upload.aclose()
        with pytest.raises(ServerError, match="closed meanwhile"):
            await upload.write(Block(0, b"x", crc32c(b"x")))
        async with aclosing(await opened(ingester, "b.bin")) as upload:
            with pytest.raises(DataLossError):
                await upload.checksum(Span(0, 10))


async def test_a_staging_directory_that_is_none_is_an_error(tmp_path: Path) -> None:
    """A file where the staging directory should be, or a root that is none, is an error at the start."""
    (tmp_path / UPLOADS).write_bytes(b"")
    with pytest.raises(
        LocalFileError, match=r"\.unspool-uploads: uploads are kept there, and it cannot be used: it is not a dir"
    ):
        LocalIngester(tmp_path)
    (tmp_path / UPLOADS).unlink()
    (tmp_path / UPLOADS).symlink_to(tmp_path)
    with pytest.raises(LocalFileError, match=r"\.unspool-uploads: .* it is a symbolic link, which is not followed: remove it"):
        LocalIngester(tmp_path)
    with pytest.raises(NotFoundError):
        LocalIngester(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotFoundError, match="not a directory"):
        LocalIngester(tmp_path / "file")


@pytest.mark.parametrize("part", [".", "done", "small", "locks", "storage"])
async def test_a_staging_directory_that_was_removed_is_made_again(
    tmp_path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If somebody removes the staging directory, or a part of it, everything goes on, and the log says what happened.

    An upload that is open then is told that what was received is gone, and can be sent again.
    """
    works: list[Callable[[LocalIngester], Awaitable[Any]]] = [
        lambda ingester: put(ingester, BYTES, "large"),
        lambda ingester: ingester.write_small([new("small", b"1")]),
        lambda ingester: ingester.delete("there"),
        lambda ingester: ingester.storage(),
    ]
    (tmp_path / "there").write_bytes(b"")
    for number, work in enumerate(works):
        async with ingesting(tmp_path) as ingester:
            await put(ingester, BYTES, f"first-{number}")
            shutil.rmtree(tmp_path / UPLOADS / part)
            await work(ingester)
            assert stat.S_IMODE((tmp_path / UPLOADS).stat().st_mode) == 0o700
        assert "it was made again" in caplog.text
        caplog.clear()
    assert (tmp_path / "large").read_bytes() == BYTES
    assert (tmp_path / "small").read_bytes() == b"1"
    assert not (tmp_path / "there").exists()
    async with ingesting(tmp_path) as ingester, aclosing(await opened(ingester, "open")) as upload:
        await send(upload, BYTES)
        shutil.rmtree(tmp_path / UPLOADS)
        await put(ingester, BYTES, "other", bytes(16))
        with pytest.raises(ServerError, match="removed meanwhile, or replaced: send it again"):
            await upload.commit(len(BYTES))
        await put(ingester, BYTES, "open")


@pytest.mark.parametrize("instead", ["link", "file", "no root"])
async def test_what_lies_instead_of_the_staging_directory_is_told_to_the_operator(
    tmp_path: Path, instead: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A link that appears there is neither followed nor removed. The log says what is wrong, and the client need not retry."""
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    other.mkdir()
    async with ingesting(root) as ingester:
        await put(ingester, BYTES)
        shutil.rmtree(root if instead == "no root" else root / UPLOADS)
        if instead == "link":
            (root / UPLOADS).symlink_to(other)
        elif instead == "file":
            (root / UPLOADS).write_bytes(b"")
        for refused in (put(ingester, BYTES, "new"), ingester.delete("a.bin"), ingester.storage()):
            with pytest.raises(PermissionDeniedError, match=r"^[^/]*: the server cannot use its directory for uploads: its l"):
                await refused
        (answer,) = await ingester.write_small([new("b", b"1")])
        assert isinstance(answer, PermissionDeniedError)
    said = {"link": "it is a symbolic link", "file": "it is not a directory: remove it", "no root": "No such file"}[instead]
    assert f"{root / UPLOADS}: uploads are kept there, and it cannot be used: {said}" in caplog.text
    assert list(other.iterdir()) == []


async def test_an_opening_that_is_cancelled_leaves_no_lock(tmp_path: Path) -> None:
    """A client that leaves while its upload is opened does not keep it from the next."""
    async with ingesting(tmp_path) as ingester:
        async with aclosing(await opened(ingester)) as upload:
            await send(upload, BYTES)
        for steps in range(4):
            opening = asyncio.create_task(opened(ingester))
            for _ in range(steps):
                await asyncio.sleep(0)
            opening.cancel()
            with suppress(asyncio.CancelledError):
                await (await opening).aclose()
        async with aclosing(await opened(ingester)) as upload:
            assert upload.table.good_bytes == len(BYTES)


async def test_syncing_does_not_hold_up_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk syncs, blocks are written; what is said to be durable is what was written before."""
    loop = asyncio.get_running_loop()
    syncing, go_on = asyncio.Event(), asyncio.Event()
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        loop.call_soon_threadsafe(syncing.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    async with ingesting(tmp_path) as ingester, aclosing(await opened(ingester)) as upload:
        await send(upload, BYTES[:600])
        sync = asyncio.create_task(upload.sync())
        await syncing.wait()
        await send(upload, BYTES, 600)
        go_on.set()
        assert await sync == 600
        assert await upload.sync() == len(BYTES)


async def test_files_in_the_way_of_small_files_fail_them_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk fails the files that it concerns: one that cannot be written, or all if the directories cannot be synced."""
    async with ingesting(tmp_path) as ingester:
        real = os.write

        def sometimes(descriptor: int, data: memoryview) -> int:
            if bytes(data) == b"too much":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(descriptor, data)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", sometimes)
            answers = await ingester.write_small([new("a", b"1"), new("b", b"too much"), new("c", b"3")])
        assert [type(answer) for answer in answers] == [FileInfo, NoSpaceError, FileInfo]

        def failing(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(ingester._small, "_sync_all", failing)
        answers = await ingester.write_small([new(f"d/{number}", b"1") for number in range(40)])
        assert not any(isinstance(answer, FileInfo) for answer in answers)
        assert not (tmp_path / "d/1").exists()
        assert list((tmp_path / UPLOADS / "small").iterdir()) == []


async def test_a_condition_of_a_file_that_appears_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another program creates between the check and the rename is not replaced if the name had to be free."""
    real = UploadFile.give_name

    def late(self: UploadFile, *args: Any, **kwargs: Any) -> None:
        (tmp_path / "a.bin").write_bytes(b"theirs")
        real(self, *args, **kwargs)

    monkeypatch.setattr(UploadFile, "give_name", late)
    async with ingesting(tmp_path) as ingester:
        with pytest.raises(AlreadyExistsError):
            await put(ingester, BYTES, condition=IF_ABSENT)
        with pytest.raises(FileChangedError):
            await put(ingester, BYTES, "b.bin", condition=Condition(revision="r"))
    assert (tmp_path / "a.bin").read_bytes() == b"theirs"
