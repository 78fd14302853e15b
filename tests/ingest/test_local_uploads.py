"""Uploads into a directory: what survives, how processes share them, what expires."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import aclosing, suppress
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import Mock

import pytest

from ingest.uploads import DAY, ingesting, opened, put, staged
from unspool.core.acceptor import good_spans
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Span
from unspool.core.reserved import UPLOADS
from unspool.core.segments import SEGMENT_SIZE, SegmentTable
from unspool.core.uploading import IF_ABSENT, Condition, UploadIdentity, UploadOpen
from unspool.errors import (
    FileChangedError,
    NotFoundError,
    PermissionDeniedError,
    TakenOverError,
    UnreachableError,
)
from unspool.ingest import local as module
from unspool.ingest.local import LocalIngester
from unspool.ingest.target import Target
from unspool.ingest.uploadfile import UploadFile
from unspool.local import part as parts
from unspool.testing.ingesting import ID, OTHER_ID, send
from unspool.testing.stock import BYTES

# What it is


async def test_servers_of_one_directory_name_the_same_storage_and_copies_another(tmp_path: Path) -> None:
    """Whoever asks first makes the id, which survives sweeps and restarts; a copy that keeps all attributes has another one."""
    root, copy = tmp_path / "root", tmp_path / "copy"
    root.mkdir()
    async with ingesting(root) as first, ingesting(root) as second:
        ids = set(await asyncio.gather(*(one.storage() for one in (first, second) * 4)))
        assert len(ids) == 1
        await first.sweep()
    subprocess.run(["cp", "--archive", root, copy], check=True)
    async with ingesting(root) as third, ingesting(copy) as other:
        third._clock = lambda: time.time() + 1000 * DAY
        await third.sweep()
        assert {await third.storage()} == ids
        assert await other.storage() not in ids


# What survives


async def test_an_upload_survives_a_restart(tmp_path: Path) -> None:
    """Another ingester goes on where the first one was, and answers what was committed."""
    async with ingesting(tmp_path) as first, aclosing(await opened(first)) as upload:
        await send(upload, BYTES[:900])
    async with ingesting(tmp_path) as second:
        async with aclosing(await opened(second)) as upload:
            assert upload.table.good_bytes == 900
            await send(upload, BYTES, 900)
            info = await upload.commit(len(BYTES))
        assert staged(tmp_path) == set()
    async with ingesting(tmp_path) as third:
        assert await third.open(UploadOpen(ID, "a.bin", condition=IF_ABSENT), "") == info


async def test_what_was_damaged_meanwhile_is_sent_again(tmp_path: Path) -> None:
    """A segment whose bytes are not what the journals say is missing; so is everything if the journals are damaged."""
    run = Random(1).randbytes(SEGMENT_SIZE)
    async with ingesting(tmp_path) as first, aclosing(await opened(first)) as upload:
        await upload.write(Block(0, run, crc32c(run)))
        await upload.write(Block(SEGMENT_SIZE, b"0123456789", crc32c(b"0123456789")))
    (part,) = (tmp_path / UPLOADS).glob("*-part")
    with part.open("r+b") as file:
        file.seek(5)
        file.write(b"x" if run[5:6] != b"x" else b"y")
    async with ingesting(tmp_path) as second, aclosing(await opened(second)) as upload:
        assert [good.span for good in good_spans(upload.table)] == [Span(SEGMENT_SIZE, SEGMENT_SIZE + 10)]
    for journal in (tmp_path / UPLOADS).glob("*-journal"):
        journal.write_bytes(b"nonsense")
    async with ingesting(tmp_path) as third, aclosing(await opened(third)) as upload:
        assert upload.table.good_bytes == 0


async def test_what_was_synced_of_a_segment_survives_the_loss_of_its_end(tmp_path: Path) -> None:
    """If the bytes after the last sync are lost, those before it are not: `durable` never falls."""
    async with ingesting(tmp_path) as first, aclosing(await opened(first)) as upload:
        await send(upload, BYTES[:600])
        assert await upload.sync() == 600
        await send(upload, BYTES, 600)
    (part,) = (tmp_path / UPLOADS).glob("*-part")
    with part.open("r+b") as file:
        file.truncate(700)
        file.truncate(len(BYTES))
    async with ingesting(tmp_path) as second, aclosing(await opened(second)) as upload:
        assert upload.table.good_bytes == 600
        assert await upload.sync() == 600


async def test_the_journal_that_is_lost_in_a_power_cut_is_not_needed(tmp_path: Path) -> None:
    """With the synced journal alone, what was synced is there."""
    async with ingesting(tmp_path) as first, aclosing(await opened(first)) as upload:
        await send(upload, BYTES[:600])
        await upload.sync()
        await send(upload, BYTES, 600)
    for journal in (tmp_path / UPLOADS).glob("*-journal"):
        journal.unlink()
    async with ingesting(tmp_path) as second, aclosing(await opened(second)) as upload:
        assert upload.table.good_bytes == 600


async def test_what_this_process_left_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that breaks costs no second reading of what came before, unless the part file was changed meanwhile."""
    async with ingesting(tmp_path) as ingester:
        async with aclosing(await opened(ingester)) as upload:
            await send(upload, BYTES)
        sums: list[Span] = []
        real = parts.Part._sum

        def noting(self: parts.Part, span: Span) -> int | None:
            sums.append(span)
            return real(self, span)

        monkeypatch.setattr(parts.Part, "_sum", noting)
        for _ in range(2):
            async with aclosing(await opened(ingester)) as upload:
                assert upload.table.good_bytes == len(BYTES)
        assert sums == []
        (part,) = (tmp_path / UPLOADS).glob("*-part")
        part.write_bytes(BYTES[::-1])
        async with aclosing(await opened(ingester)) as upload:
            assert upload.table.good_bytes == 0
        assert sums == [Span(0, len(BYTES))]


@pytest.mark.parametrize("dies_in", ["finish", "write_synced", "give_name", "settle"])
@pytest.mark.parametrize("before", [True, False])
async def test_a_server_that_dies_in_a_commit_leaves_an_upload_open_or_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str, *, before: bool
) -> None:
    """Whatever the step, the next process has all bytes or the committed file, and never both."""

    class Killed(BaseException):
        pass

    real: Callable[..., Any] = getattr(UploadFile, dies_in)

    def dying(*args: Any, **kwargs: Any) -> None:
        if not before:
            real(*args, **kwargs)
        raise Killed

    first = LocalIngester(tmp_path)
    upload = await opened(first, condition=IF_ABSENT)
    await send(upload, BYTES)
    await upload.sync()
    with monkeypatch.context() as patch:
        patch.setattr(UploadFile, dies_in, dying)
        with suppress(Killed):
            await upload.commit(len(BYTES))
    descriptor = upload._part._descriptor  # type: ignore[attr-defined]
    if descriptor >= 0:
        os.close(descriptor)  # as the kernel does, so that nothing is tidied up
        upload._part._descriptor = -1  # type: ignore[attr-defined]
    there = (tmp_path / "a.bin").exists()
    async with ingesting(tmp_path) as second:
        found = await second.open(UploadOpen(ID, "a.bin", condition=IF_ABSENT), "")
        assert isinstance(found, FileInfo) == there
        if not isinstance(found, FileInfo):
            async with aclosing(found):
                assert found.table.good_bytes == len(BYTES)
                found = await found.commit(len(BYTES))
        assert found.crc32c == crc32c(BYTES)
        assert staged(tmp_path) == set()
    assert (tmp_path / "a.bin").read_bytes() == BYTES
    assert (tmp_path / "a.bin").stat().st_nlink == 1
    await first.aclose()


async def test_a_second_name_of_the_part_file_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a commit that failed, a backup that links all files (`cp -al`) does not make the upload a committed one."""

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    async with ingesting(tmp_path) as first, aclosing(await opened(first)) as upload:
        await send(upload, BYTES)
        with monkeypatch.context() as patch:
            patch.setattr(UploadFile, "give_name", fail)
            with pytest.raises(PermissionDeniedError):
                await upload.commit(len(BYTES))
    for part in list((tmp_path / UPLOADS).glob("*.unspool-part")):
        os.link(part, tmp_path / "backup")
    async with ingesting(tmp_path) as second:
        assert isinstance(await second.stat(UploadIdentity(ID, "a.bin", "")), SegmentTable)
        async with aclosing(await opened(second)) as upload:
            assert upload.table.good_bytes == len(BYTES)
            await upload.commit(len(BYTES))
    assert (tmp_path / "a.bin").read_bytes() == BYTES


async def test_a_commit_that_was_killed_is_durable_before_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that gave the name died before it synced the directories: whoever finds the commit does that."""
    first = LocalIngester(tmp_path)
    upload = await opened(first, "new/dir/a.bin")
    await send(upload, BYTES)
    real, synced = os.fsync, set()

    def noting(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr("unspool.ingest.target.Places.sync", Mock(side_effect=KeyboardInterrupt))
        await upload.commit(len(BYTES))
    os.close(upload._part._descriptor)  # type: ignore[attr-defined]
    upload._part._descriptor = -1  # type: ignore[attr-defined]
    async with ingesting(tmp_path) as second:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", noting)
            assert isinstance(await second.open(UploadOpen(ID, "new/dir/a.bin"), ""), FileInfo)
    assert {path.stat().st_ino for path in (tmp_path, tmp_path / "new", tmp_path / "new/dir")} <= synced
    await first.aclose()


# Several processes


async def test_another_process_takes_over(tmp_path: Path) -> None:
    """The process that has the upload lets go of it when another one wants it; nothing is lost."""
    async with ingesting(tmp_path) as first, ingesting(tmp_path) as second:
        older = await opened(first)
        await send(older, BYTES[:600])
        async with aclosing(await opened(second)) as newer:
            assert newer.table.good_bytes == 600
            with pytest.raises(TakenOverError):
                await older.write(Block(600, b"x", crc32c(b"x")))
            await older.aclose()
            await send(newer, BYTES, 600)
            await newer.commit(len(BYTES))
        assert isinstance(await first.open(UploadOpen(ID, "a.bin"), ""), FileInfo)
        assert list((tmp_path / UPLOADS / "wanted").iterdir()) == []


async def test_another_process_sees_and_abandons_what_there_is(tmp_path: Path) -> None:
    """`stat` in another process tells what the journal says, and `abandon` takes over and removes."""
    async with ingesting(tmp_path) as first, ingesting(tmp_path) as second:
        upload = await opened(first)
        await send(upload, BYTES[:600])
        await upload.sync()
        known = await second.stat(UploadIdentity(ID, "a.bin"))
        assert known is not None
        assert not isinstance(known, FileInfo)
        assert known.good_bytes == 600
        assert not upload.taken_over.is_set()
        await second.abandon(UploadIdentity(ID, "a.bin"))
        assert upload.taken_over.is_set()
        await upload.aclose()
        assert staged(tmp_path) == set()


async def test_a_process_that_does_not_let_go_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the client is asked to try again; it is never told that the upload is locked."""
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    monkeypatch.setattr(module, "_TRIES", 0.01)
    monkeypatch.setattr(module, "_LOOKS", 60.0)
    async with ingesting(tmp_path) as first, ingesting(tmp_path) as second, aclosing(await opened(first)):
        with pytest.raises(UnreachableError, match="try again") as caught:
            await opened(second)
        assert caught.value.retry_after == 1.0


async def test_a_commit_of_another_process_at_the_last_moment_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process commits the upload while this one is about to lock it, the file is the answer, and nothing is left."""
    async with ingesting(tmp_path) as first, ingesting(tmp_path) as second:
        upload = await opened(first)
        await send(upload, BYTES)
        real, loop = UploadFile.acquire, asyncio.get_running_loop()

        def late(self: UploadFile) -> None:
            monkeypatch.setattr(UploadFile, "acquire", real)
            asyncio.run_coroutine_threadsafe(upload.commit(len(BYTES)), loop).result(10)
            real(self)

        monkeypatch.setattr(UploadFile, "acquire", late)
        found = await second.open(UploadOpen(ID, "a.bin", condition=IF_ABSENT), "")
        assert isinstance(found, FileInfo)
        assert found.crc32c == crc32c(BYTES)
        assert staged(tmp_path) == set()


async def test_of_several_that_replace_a_revision_one_does(tmp_path: Path) -> None:
    """Commits that need the same revision, from several processes: one replaces it, the others are refused."""
    async with ingesting(tmp_path) as first, ingesting(tmp_path) as second:
        old = await put(first, b"old", upload_id=OTHER_ID)
        uploads = []
        for number in range(6):
            key, ingester = bytes([number + 1] * 16), (first, second)[number % 2]
            uploads.append(await opened(ingester, upload_id=key, condition=Condition(revision=old.revision)))
            await send(uploads[-1], bytes([number]) * 10)
        ends = await asyncio.gather(*(upload.commit(10) for upload in uploads), return_exceptions=True)
        for upload in uploads:
            await upload.aclose()
    assert sorted(type(end).__name__ for end in ends) == ["FileChangedError"] * 5 + ["FileInfo"]


async def test_of_a_deletion_and_a_commit_of_one_revision_one_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit of another process that comes between the check of a deletion and the deletion waits, and is refused."""
    async with ingesting(tmp_path) as first, ingesting(tmp_path) as second:
        old = await put(first, b"old", upload_id=OTHER_ID)
        async with aclosing(await opened(second, condition=Condition(revision=old.revision))) as upload:
            await send(upload, BYTES)
            loop, remove, commits = asyncio.get_running_loop(), Target.remove, list[Future[FileInfo]]()

            def late(target: Target) -> None:
                commits.append(asyncio.run_coroutine_threadsafe(upload.commit(len(BYTES)), loop))
                assert not wait(commits, timeout=0.2).done, "the commit did not wait"
                remove(target)

            monkeypatch.setattr(Target, "remove", late)
            await first.delete("a.bin", old.revision)
            with pytest.raises(FileChangedError):
                await asyncio.wrap_future(commits[0])
    assert not (tmp_path / "a.bin").exists()


async def test_a_file_that_another_program_removes_first_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the check and the deletion: it is gone, and that is no failure of the server."""
    (tmp_path / "a.bin").write_bytes(b"old")
    current = Target.current

    def late(target: Target) -> tuple[FileInfo, int] | None:
        found = current(target)
        (tmp_path / "a.bin").unlink()
        return found

    monkeypatch.setattr(Target, "current", late)
    async with ingesting(tmp_path) as ingester:
        with pytest.raises(NotFoundError):
            await ingester.delete("a.bin")


# Sweeping


async def test_what_expired_is_removed_and_what_is_open_is_not(tmp_path: Path) -> None:
    """An upload is removed a week after its last use, and never while it is open. A commit is forgotten after a day."""
    now = [time.time()]
    async with ingesting(tmp_path, clock=lambda: now[0]) as ingester:
        info = await put(ingester, b"committed", "c.bin")
        for name in ("a.bin", "b.bin"):
            async with aclosing(await opened(ingester, name)) as upload:
                await send(upload, BYTES)
                await upload.sync()
        live = await opened(ingester, "b.bin")
        assert await ingester.sweep() == 0
        assert await ingester.open(UploadOpen(ID, "c.bin"), "") == info
        now[0] += 2 * DAY
        assert await ingester.sweep() == 0
        assert await ingester.stat(UploadIdentity(ID, "c.bin")) is None
        now[0] += 6 * DAY
        assert await ingester.sweep() == 1
        assert await ingester.stat(UploadIdentity(ID, "a.bin")) is None
        assert live.table.good_bytes == len(BYTES)
        await live.commit(len(BYTES))
    assert (tmp_path / "b.bin").read_bytes() == BYTES
    assert staged(tmp_path) == set()


async def test_remains_of_processes_that_died_are_swept(tmp_path: Path) -> None:
    """Journals without a part file, small files and requests of dead processes are removed when they are old."""
    now = [time.time()]
    async with ingesting(tmp_path, clock=lambda: now[0]) as ingester:
        remains = [tmp_path / UPLOADS / name for name in ("x.unspool-synced", "x.unspool-journal", "wanted/x", "small/1-1")]
        for path in remains:
            path.write_bytes(b"x")
        (tmp_path / UPLOADS / "y.unspool-part").mkdir()
        await ingester.sweep()
        assert all(path.exists() for path in remains)
        now[0] += 8 * DAY
        await ingester.sweep()
        assert not any(path.exists() for path in remains)
