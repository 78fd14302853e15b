"""A file that is written while it is uploaded: whole when it is committed, or the name has what it had."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

import unspool
from processes import serving
from unspool.client.client import Client
from unspool.core.retry import RetryPolicy
from unspool.errors import AlreadyExistsError, InvalidNameError, InvalidRequestError, UnreachableError
from unspool.options import TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock
from unspool.testing.uploads import UploadTransport

MIB = 1 << 20
DATA = Random(3).randbytes(3 * MIB + 17)


class Lab:
    """A client that writes to a server that follows a script."""

    def __init__(self, script: str = "", budget: int = 5) -> None:
        self.store = MemoryStore({"old": b"what was there"})
        clock = FakeClock()
        self.transport = UploadTransport(self.store, script, block_size=MIB, segment=MIB, clock=clock)
        self.client = Client(transport=self.transport, clock=clock, options=TransferOptions(retry=RetryPolicy(budget=budget)))

    def there(self, name: str = "new") -> bytes | None:
        """Return what the server has."""
        entry = self.store._files.get(name)
        return None if entry is None else entry[1]


@pytest.mark.parametrize("step", [1, 1000, MIB, 2 * MIB + 5, len(DATA)])
@pytest.mark.parametrize("script", ["", "..x.l", "...z"])
async def test_what_was_written_is_there_at_the_end(step: int, script: str) -> None:
    """However the bytes come, and whatever breaks, the file has them, and not before the end of the block."""
    data = DATA[: 50 * step]
    lab = Lab(script)
    async with lab.client.open_write("new") as file:
        for at in range(0, len(data), step):
            await file.write(data[at : at + step])
        assert lab.there() is None
    assert lab.there() == data
    assert file.result is not None
    assert (file.result.size, file.result.verified) == (len(data), "file")


async def test_an_empty_file_and_a_commit_before_the_end() -> None:
    """Nothing written is an empty file; after a commit nothing more can be written, and the end of the block does nothing."""
    lab = Lab()
    async with lab.client.open_write("new") as file:
        pass
    assert lab.there() == b""
    async with lab.client.open_write("old") as file:
        await file.write(memoryview(b"abc"))
        result = await file.commit()
        assert lab.there("old") == b"abc"
        assert await file.commit() == result
        with pytest.raises(InvalidRequestError, match="committed or given up"):
            await file.write(b"more")
    assert file.result == result


@pytest.mark.parametrize("size", [10, len(DATA)])
async def test_what_is_left_by_an_exception_is_given_up(size: int) -> None:
    """The name has what it had, and the server is asked to remove what it received."""
    lab = Lab()

    async def broken() -> None:
        async with lab.client.open_write("old") as file:
            await file.write(DATA[:size])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    async with lab.client.open_write("old") as file:
        await file.write(DATA[:size])
        await file.abort()
        with pytest.raises(InvalidRequestError):
            await file.write(b"more")
    assert lab.there("old") == b"what was there"
    assert len(lab.transport.abandoned) == 2
    assert file.result is None


async def test_a_writer_that_is_cancelled_gives_up() -> None:
    """Also while `write` waits for a server that is slow, and at once."""
    lab = Lab(".z", budget=1000)

    async def write() -> None:
        async with lab.client.open_write("old") as file:
            for _ in range(100):
                await file.write(DATA)

    task = asyncio.create_task(write())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    assert lab.there("old") == b"what was there"


async def test_an_upload_that_fails_is_told_by_the_next_call() -> None:
    """By `write`, or at the end of the block; the condition is that of `put`."""

    async def write(lab: Lab, name: str, count: int, *, if_absent: bool = False) -> None:
        async with lab.client.open_write(name, if_absent=if_absent) as file:
            for _ in range(count):
                await file.write(DATA)

    with pytest.raises(UnreachableError):
        await write(Lab("x" * 50, budget=2), "new", 100)
    with pytest.raises(AlreadyExistsError):
        await write(Lab(), "old", 1, if_absent=True)
    with pytest.raises(InvalidNameError):
        await write(Lab(), "../a", 1)


def test_blocking_calls_write_too(tmp_path: Path) -> None:
    """A file object at a real server: closed, given up by an exception, aborted, forgotten, and refused."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").write_bytes(b"what was there")
    with serving(root, tmp_path / "log", "--write") as server:
        url = f"{server.address}/dir/new"
        with unspool.open_write(url) as file:
            for at in range(0, len(DATA), 100_000):
                file.write(DATA[at : at + 100_000])
        assert (root / "dir/new").read_bytes() == DATA
        assert file.result is not None
        assert file.result.size == len(DATA)
        with suppress(ZeroDivisionError), unspool.open_write(f"{server.address}/old") as file:
            file.write(DATA)
            raise ZeroDivisionError
        assert file.closed
        file = unspool.open_write(f"{server.address}/old")
        file.write(DATA)
        file.abort()
        file.close()
        forgotten = unspool.open_write(f"{server.address}/old")
        forgotten.write(b"forgotten")
        with pytest.warns(RuntimeWarning, match="never closed"):
            del forgotten
        with pytest.raises(AlreadyExistsError), unspool.open_write(f"{server.address}/old", if_absent=True) as file:
            file.write(b"x")
        assert (root / "old").read_bytes() == b"what was there"
        assert not [path for path in (root / ".unspool-uploads").iterdir() if path.is_file()]
