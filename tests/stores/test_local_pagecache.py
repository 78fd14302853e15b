"""Bytes in memory are read at once; reads from a disk happen in a thread."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from stores.disk import overwrite
from unspool.core.model import Span
from unspool.errors import DataLossError, ServerError
from unspool.stores import LocalStore
from unspool.system.pagecache import PageCache
from unspool.testing.stock import BYTES, Stock, read
from unspool.testing.storecontract import StoreContract

pytestmark = pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="only Linux says what is in memory")

_SHARED_MEMORY = Path("/dev/shm")


def _is_tmpfs(directory: Path) -> bool:
    mounts = Path("/proc/mounts")
    return mounts.exists() and any(line.split()[1:3] == [str(directory), "tmpfs"] for line in mounts.read_text().splitlines())


in_memory = pytest.mark.skipif(not _is_tmpfs(_SHARED_MEMORY), reason=f"{_SHARED_MEMORY} is no tmpfs")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """How files are read from now on: ("at once" or "thread", offset), in order."""
    seen: list[tuple[str, int]] = []
    real_at_once, real = os.preadv, os.pread

    def at_once(descriptor: int, buffers: list[memoryview], offset: int, flags: int) -> int:
        assert threading.current_thread() is threading.main_thread()
        count = real_at_once(descriptor, buffers, offset, flags)
        seen.append(("at once", offset))
        return count

    def by_thread(descriptor: int, size: int, offset: int) -> bytes:
        assert threading.current_thread() is not threading.main_thread()
        seen.append(("thread", offset))
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "preadv", at_once)
    monkeypatch.setattr(os, "pread", by_thread)
    return seen


def answer(monkeypatch: pytest.MonkeyPatch, instead: Callable[[int, int], int | None]) -> list[int]:
    """Let `instead` (offset, flags) answer immediate reads, where None is the real answer; return the requested offsets."""
    asked: list[int] = []
    real = os.preadv

    def preadv(descriptor: int, buffers: list[memoryview], offset: int, flags: int) -> int:
        asked.append(offset)
        count = instead(offset, flags)
        return real(descriptor, buffers, offset, flags) if count is None else count

    monkeypatch.setattr(os, "preadv", preadv)
    return asked


def refuse(number: int) -> Callable[[int, int], int]:
    """Return an answer that always raises this error."""

    def refused(_offset: int, _flags: int) -> int:
        raise OSError(number, os.strerror(number))

    return refused


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    """A directory on a tmpfs."""
    with TemporaryDirectory(dir=_SHARED_MEMORY, prefix="unspool-test-") as directory:
        yield Path(directory)


@in_memory
class TestLocalStoreInMemory(StoreContract):
    """The contract, for files on a tmpfs, which does not support RWF_NOWAIT."""

    @asynccontextmanager
    async def stocked(self, directory: Path) -> AsyncIterator[Stock]:
        """See `StoreContract.stocked`."""
        with TemporaryDirectory(dir=_SHARED_MEMORY, prefix="unspool-test-") as root:
            store = LocalStore(root, hidden=True)
            yield Stock(
                store,
                put=lambda name, data: overwrite(Path(root, name), data),
                remove=lambda name: Path(root, name).unlink(),
            )
            await store.aclose()


@in_memory
async def test_files_in_memory_are_read_at_once(shared_memory: Path, reads: list[tuple[str, int]]) -> None:
    """A file on a tmpfs is read without a thread, from its first byte to its last."""
    overwrite(shared_memory / "a.bin", BYTES)
    async with aclosing(LocalStore(shared_memory)) as store, aclosing(await store.open("a.bin")) as file:
        assert await read(file, block_size=500) == BYTES
    assert reads == [("at once", offset) for offset in range(0, len(BYTES), 500)]


async def test_what_is_in_memory_is_read_at_once_and_the_rest_by_threads(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first run that is not in memory on, threads read, until another read begins; the bytes are the same."""
    overwrite(root / "a.bin", BYTES)

    def there(offset: int, _flags: int) -> int | None:
        if offset == 600:
            raise BlockingIOError
        return None

    asked = answer(monkeypatch, there)
    async with aclosing(await store.open("a.bin")) as file:
        assert await read(file, block_size=200) == BYTES
        assert asked == [0, 200, 400, 600]
        assert await read(file, Span(700, 1100), block_size=200) == BYTES[700:1100]
        assert asked[4:] == [700, 900]


async def test_a_run_that_is_in_memory_in_part_is_read_whole(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is only partly in memory is read by a thread completely."""
    overwrite(root / "a.bin", BYTES)
    asked = answer(monkeypatch, lambda offset, _: 70 if offset == 200 else None)
    async with aclosing(await store.open("a.bin")) as file:
        assert await read(file, block_size=200) == BYTES
    assert asked == [0, 200]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
async def test_a_file_system_that_cannot_say_is_not_asked_again(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """On a disk file system without RWF_NOWAIT, threads read the whole file."""
    overwrite(root / "a.bin", BYTES)
    if _is_tmpfs(root):
        pytest.skip("temporary files are on a tmpfs here")
    asked = answer(monkeypatch, refuse(number))
    async with aclosing(await store.open("a.bin")) as file:
        assert await read(file, block_size=200) == BYTES
        assert await read(file, block_size=200) == BYTES
    assert asked == [0]


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, DataLossError), (errno.ESTALE, ServerError)])
async def test_a_disk_that_fails_at_once_is_named(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    """An error of an immediate read is reported like that of a read in a thread."""
    overwrite(root / "a.bin", BYTES)
    answer(monkeypatch, refuse(number))
    async with aclosing(await store.open("a.bin")) as file:
        with pytest.raises(kind, match=r"^a\.bin: "):
            await read(file)


def test_what_the_kernel_dropped_from_memory_is_not_read_at_once(root: Path) -> None:
    """In the real system a file that was just written is in memory; after it was dropped it is not, until it is read."""
    path = root / "a.bin"
    path.write_bytes(BYTES * 100)
    with path.open("rb") as file:
        cache, buffer = PageCache(file.fileno()), memoryview(bytearray(5000))
        if not cache.read(buffer, 100):
            pytest.skip("the file system of temporary files cannot say what is in memory")
        assert buffer == (BYTES * 3)[100:5100]
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if cache.read(buffer, 100):
            pytest.skip("the file system of temporary files keeps everything in memory")
        assert len(os.pread(file.fileno(), 5000, 100)) == 5000
        assert cache.read(buffer, 100)
