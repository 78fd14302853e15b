"""Writes that change no time stamp: bytes read meanwhile may be a mix, but their checksum is not remembered."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import aclosing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from contract.batch_contract import batch, messages_of
from unspool.core.checksum import crc32c
from unspool.core.model import Frame, ReadRequest
from unspool.stores import LocalStore, writers
from unspool.system import filesystems
from unspool.testing import StoreTransport
from unspool.testing.stock import read

MIB = 1 << 20
OVERLAYFS = 0x794C7630
LEASES = getattr(fcntl, "F_SETLEASE", None)

pytestmark = pytest.mark.skipif(LEASES is None, reason="only Linux tells who has a file open for writing")


class Writer:
    """Another process that has a file mapped, and writes to it on demand."""

    def __init__(self, path: Path) -> None:
        program = Path(__file__).with_name("mapping_writer.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def write(self, letter: str) -> None:
        """Fill the file with a letter."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{letter}\n")
        self._process.stdin.flush()
        self._answer()

    def end(self) -> None:
        """Release the file."""
        self._process.communicate(timeout=60)

    def _answer(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the writer has failed"


@contextmanager
def writing_to(path: Path) -> Generator[Writer, None, None]:
    """Keep a file mapped by another process meanwhile."""
    writer = Writer(path)
    try:
        yield writer
    finally:
        writer.end()


@pytest.fixture
def root(tmp_path: Path) -> Generator[Path, None, None]:
    """A directory where Linux reports who has a file open for writing: not every temporary directory is one."""
    with TemporaryDirectory(dir="/dev/shm") as in_memory:
        for place in (tmp_path, Path(in_memory)):
            (place / "probe").write_bytes(b"")
            with (place / "probe").open("rb") as probe:
                told = filesystems.type_of(probe.fileno()) in writers._ASKED
            (place / "probe").unlink()
            if told:
                yield place
                return
    pytest.skip("no file system here tells who has a file open for writing")


@pytest.fixture
def path(root: Path) -> Path:
    """A file of several blocks."""
    path = root / "a.bin"
    path.write_bytes(b"." * (3 * MIB))
    return path


async def is_steady(store: LocalStore) -> bool:
    """Return the store's description of the file."""
    async with aclosing(await store.open("a.bin")) as file:
        return await file.steady()


async def frames(transport: StoreTransport, start: int = 0) -> list[Frame]:
    """Read to the end of the file."""
    return [frame async for frame in transport.read(ReadRequest("a.bin", start))]


def checksum_in(got: list[Frame]) -> int | None:
    """Return the checksum of the whole file in the summary."""
    assert got[-1].summary is not None
    return got[-1].summary.crc32c


async def test_a_file_is_steady_while_nobody_can_write_to_it(path: Path, store: LocalStore) -> None:
    """A file is not steady while a process has it open for writing, or mapped and closed; reading it changes nothing."""
    assert await is_steady(store)
    with path.open("rb"):
        assert await is_steady(store)
    with path.open("r+b"):
        assert not await is_steady(store)
    with writing_to(path):
        assert not await is_steady(store)
    assert await is_steady(store)


async def test_the_checksum_of_a_mix_is_not_remembered(path: Path, store: LocalStore) -> None:
    """The checksum of a file that was rewritten through a map during the read is sent to that reader only."""
    transport = StoreTransport(store)
    with writing_to(path) as writer:
        revision = (await store.stat("a.bin")).revision
        got = []
        async with aclosing(transport.read(ReadRequest("a.bin"))) as reading:
            async for frame in reading:
                got.append((frame, b"" if frame.block is None else bytes(frame.block.data)))
                if len(got) == 1:
                    writer.write("b")
        bytes_got = b"".join(data for _, data in got)
        assert set(bytes_got) == set(b"ab")
        assert checksum_in([frame for frame, _ in got]) == crc32c(bytes_got)
        info = await transport.stat("a.bin")
        assert info.revision == revision, "this kernel shows such a write"
        assert info.crc32c is None
        assert checksum_in(await frames(transport)) == crc32c(b"b" * (3 * MIB))


async def test_what_was_learned_while_somebody_wrote_is_not_built_on(path: Path, store: LocalStore) -> None:
    """While a process has a file mapped, each read that wants the checksum of the whole file computes it again."""
    transport = StoreTransport(store)
    with writing_to(path) as writer:
        async for _ in transport.read(ReadRequest("a.bin", 0, MIB)):
            pass
        writer.write("b")
        assert checksum_in(await frames(transport, 2 * MIB)) == crc32c(b"b" * (3 * MIB))
        writer.write("c")
        assert checksum_in(await frames(transport, 3 * MIB)) == crc32c(b"c" * (3 * MIB))
        writer.write("d")
    assert (await transport.stat("a.bin")).crc32c is None
    assert checksum_in(await frames(transport, 3 * MIB)) == crc32c(b"d" * (3 * MIB))
    assert (await transport.stat("a.bin")).crc32c == crc32c(b"d" * (3 * MIB))


async def test_a_small_file_of_a_batch_is_remembered_when_it_is_old(
    path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checksum of a file that came in a batch is remembered if its last stamp is so old that no page is dirty."""
    path.write_bytes(b"." * 5000)
    transport = StoreTransport(store)
    with writing_to(path) as writer:
        await messages_of(transport, batch("a.bin"))
        writer.write("b")
        assert (await transport.stat("a.bin")).crc32c is None
    await messages_of(transport, batch("a.bin"))
    assert (await transport.stat("a.bin")).crc32c is None
    monkeypatch.setattr(writers, "_CLEAN_AFTER_NS", 0)
    monkeypatch.setattr(filesystems, "type_of", lambda _: filesystems.EXT)
    await messages_of(transport, batch("a.bin"))
    assert (await transport.stat("a.bin")).crc32c == crc32c(b"b" * 5000)


def refuse(*_: object) -> int:
    """Answer as Linux does for a process that does not own a file."""
    raise PermissionError


@pytest.mark.parametrize("kind", [None, filesystems.EXT, OVERLAYFS, filesystems.TMPFS])
@pytest.mark.usefixtures("path")
async def test_where_it_is_not_told_only_old_files_are_steady(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, kind: int | None
) -> None:
    """If Linux does not report writers, a file on a disk counts as steady a minute after its last stamp."""
    monkeypatch.setattr(filesystems, "type_of", lambda _: kind)
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert not await is_steady(store)
    (answer,) = await store.read_small(["a.bin"], 9 * MIB)
    assert isinstance(answer, tuple)
    assert not answer[2]
    monkeypatch.setattr(writers, "_CLEAN_AFTER_NS", 0)
    on_a_disk = kind != filesystems.TMPFS
    assert await is_steady(store) == on_a_disk
    (answer,) = await store.read_small(["a.bin"], 9 * MIB)
    assert isinstance(answer, tuple)
    assert answer[2] == on_a_disk


async def test_an_overlay_is_not_asked(path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """If maps belong to another file than the open one, the absence of writers proves nothing."""
    monkeypatch.setattr(filesystems, "type_of", lambda _: OVERLAYFS)
    with writing_to(path):
        assert not await is_steady(store)
    assert not await is_steady(store)


async def test_a_file_that_is_new_is_asked_for_after_the_wait(
    path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write within the tick of the last stamp leaves no trace, so the store asks for writers after the tick."""
    asked: list[int] = []
    real = writers.every_write_shows

    def noted(descriptor: int, status: os.stat_result) -> bool:
        asked.append(descriptor)
        return real(descriptor, status)

    waits = iter([0.001, 0.001, 0.0])
    monkeypatch.setattr("unspool.stores.localfile.every_write_shows", noted)
    monkeypatch.setattr("unspool.stores.localfile.seconds_until_a_write_shows", lambda _: next(waits))
    async with aclosing(await store.open("a.bin")) as file:
        assert asked == []
        assert await file.steady()
        assert await file.steady()
        assert len(asked) == 1
        assert await read(file, block_size=MIB) == path.read_bytes()


async def test_who_opens_a_file_while_it_is_asked_about_is_let_in(
    path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that opens a file for writing during the check gets it after the check, and no signal ends the server."""
    signals: list[int] = []
    before = signal.signal(signal.SIGIO, lambda number, _: signals.append(number))
    opened = threading.Event()

    def write() -> None:
        with path.open("r+b"):
            opened.set()

    writer = threading.Thread(target=write)
    real = fcntl.fcntl

    def with_a_writer(descriptor: int, command: int, argument: Any = 0) -> Any:
        answer = real(descriptor, command, argument)
        if (command, argument) == (LEASES, fcntl.F_RDLCK):
            writer.start()
            while real(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK:  # until the kernel asks for it back
                os.sched_yield()
            assert not opened.is_set()
        return answer

    monkeypatch.setattr(fcntl, "fcntl", with_a_writer)
    try:
        assert await is_steady(store)
        writer.join(timeout=20)
        assert opened.is_set()
        assert signals == []
    finally:
        signal.signal(signal.SIGIO, before)
