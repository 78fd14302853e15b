"""Reads of files that change: a read ends with the complete old version or with an error, and never returns a mix."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from stores.disk import overwrite, replace
from unspool.core.model import Bytes, Span
from unspool.errors import DataLossError, FileChangedError, ServerError
from unspool.stores import LocalStore
from unspool.testing.stock import BYTES, read, read_file

OTHER = bytes(byte ^ 0xFF for byte in BYTES)
WHOLE = Span(0, len(BYTES))


def write_at(path: Path, data: bytes, offset: int = 0) -> None:
    """Write in place, without truncating first."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def put_time_back(path: Path) -> None:
    """Overwrite with the same size, and restore the modification time."""
    before = path.stat()
    write_at(path, OTHER)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def remove_with_directory(path: Path) -> None:
    """Remove a file and the directory it was in."""
    path.unlink()
    path.parent.rmdir()


def remove_and_make_anew(path: Path) -> None:
    """Remove a file and create another one with its name."""
    path.unlink()
    path.write_bytes(OTHER)


async def drain(runs: AsyncIterator[Bytes], into: bytearray) -> None:
    """Return the remaining runs."""
    async for run in runs:
        into += run


IN_PLACE: dict[str, Callable[[Path], object]] = {
    "overwritten": lambda path: overwrite(path, OTHER),
    "one byte": lambda path: write_at(path, b"!", len(BYTES) - 1),
    "time put back": put_time_back,
    "truncated": lambda path: os.truncate(path, 500),
    "emptied": lambda path: os.truncate(path, 0),
    "grown": lambda path: write_at(path, b"!", len(BYTES)),
}
ASIDE: dict[str, Callable[[Path], object]] = {
    "replaced": lambda path: replace(path, OTHER),
    "replaced by the same": lambda path: replace(path, BYTES),
    "removed": Path.unlink,
    "removed and made anew": remove_and_make_anew,
    "directory removed": remove_with_directory,
}


@pytest.fixture
def path(root: Path) -> Path:
    """A file in a directory of the root."""
    overwrite(root / "dir" / "a.bin", BYTES)
    return root / "dir" / "a.bin"


@pytest.mark.parametrize("change", IN_PLACE)
@pytest.mark.usefixtures("either_way")
async def test_a_write_in_place_ends_the_read(path: Path, store: LocalStore, change: str) -> None:
    """A file that is changed in place while it is read ends the read with FileChangedError, after old bytes only."""
    async with aclosing(await store.open("dir/a.bin")) as file, aclosing(file.read(WHOLE, lambda _: 100)) as runs:
        got = bytearray(await anext(runs))
        IN_PLACE[change](path)
        with pytest.raises(FileChangedError) as caught:
            await drain(runs, got)
        assert got == BYTES[: len(got)]
        assert len(got) <= 300, "more than one run was read ahead"
        assert (caught.value.name, caught.value.offset) == ("dir/a.bin", len(got))
        with pytest.raises(FileChangedError):
            await read(file)
    assert (await store.stat("dir/a.bin")).revision != file.info.revision


@pytest.mark.parametrize("change", ASIDE)
@pytest.mark.usefixtures("either_way")
async def test_a_file_that_leaves_its_name_is_read_to_its_end(path: Path, store: LocalStore, change: str) -> None:
    """A file that is replaced by a rename, or removed, is still read completely by those who have it open."""
    async with aclosing(await store.open("dir/a.bin")) as file, aclosing(file.read(WHOLE, lambda _: 100)) as runs:
        got = bytearray(await anext(runs))
        ASIDE[change](path)
        await drain(runs, got)
        assert got == BYTES
        assert await read(file, Span(700, 1900)) == BYTES[700:1900]
    if path.exists():
        assert (await read_file(store, "dir/a.bin"))[0].revision != file.info.revision


@pytest.mark.usefixtures("either_way")
async def test_a_removed_file_that_is_still_written_to_ends_the_read(path: Path, store: LocalStore) -> None:
    """Changes to a removed file that is still open are noticed like any other."""
    with path.open("r+b") as writer:
        async with aclosing(await store.open("dir/a.bin")) as file:
            path.unlink()
            assert await read(file) == BYTES
            writer.write(OTHER)
            writer.flush()
            with pytest.raises(FileChangedError):
                await read(file)


@pytest.mark.parametrize(("tick", "rounds"), [(10**7, 15), (10**9, 1), (2 * 10**9, 1)], ids=["10 ms", "1 s", "2 s"])
@pytest.mark.usefixtures("either_way")
async def test_versions_do_not_mix_within_a_tick_of_a_coarse_clock(
    path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, tick: int, rounds: int
) -> None:
    """If the file system's clock is coarse, a file rewritten within one tick is not mistaken for the old one."""
    real = os.fstat

    def coarse(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        stamps = {
            name: getattr(status, name) // tick * tick if name.endswith("_ns") else getattr(status, name)
            for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_blksize", "st_blocks", "st_rdev")
        }
        return os.stat_result(tuple(status), stamps)

    monkeypatch.setattr(os, "fstat", coarse)
    ended = 0
    for _ in range(rounds):
        overwrite(path, BYTES)
        async with aclosing(await store.open("dir/a.bin")) as file:
            got = b""
            with suppress(FileChangedError):
                async with aclosing(file.read(WHOLE, lambda _: 100)) as runs:
                    async for run in runs:
                        if not got:
                            write_at(path, OTHER)
                        got += run
                ended += 1
            assert got == BYTES[: len(got)]
    assert ended == 0, "no write went unnoticed"


async def test_a_time_stamp_in_the_future_delays_a_read_by_a_tick_only(
    path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file server whose clock is ahead of ours does not make a read wait until our clock has caught up."""
    real = os.fstat
    ahead = 3600 * 10**9

    def early(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        stamps = {name: getattr(status, name) + ahead for name in ("st_mtime_ns", "st_ctime_ns")}
        return os.stat_result(tuple(status), stamps | {"st_atime_ns": 0, "st_blksize": 0, "st_blocks": 0, "st_rdev": 0})

    monkeypatch.setattr(os, "fstat", early)
    assert (await read_file(store, "dir/a.bin"))[1] == BYTES


@pytest.mark.usefixtures("cold")
async def test_short_reads_of_the_system_are_put_together(
    path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the file system returns fewer bytes than requested, the store reads again, and the runs are exact."""
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: real(descriptor, min(size, 7), offset))
    async with aclosing(await store.open("dir/a.bin")) as file:
        assert [run async for run in file.read(Span(10, 610), lambda _: 250)] == [BYTES[10:260], BYTES[260:510], BYTES[510:610]]


@pytest.mark.usefixtures("cold")
async def test_missing_bytes_are_data_loss(path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has fewer bytes than it says, without the file having changed, has lost data."""
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: real(descriptor, min(size, max(730 - offset, 0)), offset))
    async with aclosing(await store.open("dir/a.bin")) as file:
        got = bytearray()
        with pytest.raises(DataLossError) as caught:
            await drain(file.read(WHOLE, lambda _: 200), got)
        assert got == BYTES[:600]
        assert (caught.value.name, caught.value.offset) == ("dir/a.bin", 600)


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, DataLossError), (errno.ESTALE, ServerError)])
@pytest.mark.usefixtures("cold")
async def test_a_failing_disk_is_named(
    path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    """A read error of the disk is data loss; an error that may be temporary is a server error, which is retryable."""

    def fail(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pread", fail)
    async with aclosing(await store.open("dir/a.bin")) as file:
        with pytest.raises(kind, match=r"^dir/a\.bin: "):
            await read(file)


@pytest.mark.usefixtures("cold")
async def test_no_more_than_one_run_is_read_ahead(path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the reader does not ask for more, the store reads only one run ahead."""
    offsets: list[int] = []
    real = os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        offsets.append(offset)
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counting)
    async with aclosing(await store.open("dir/a.bin")) as file, aclosing(file.read(WHOLE, lambda _: 100)) as runs:
        for taken in range(1, 10):
            await anext(runs)
            await store.stat("dir/a.bin")  # time for reads that were begun
            assert len(offsets) <= taken + 1
        await runs.aclose()
        await store.stat("dir/a.bin")
        assert len(offsets) <= 10
