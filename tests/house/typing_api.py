"""The public interface as a type checker sees it: checked by mypy with the tests, never run.

What does not hold any more here is a change that users' own type checks will notice.
"""

import asyncio
import io
from pathlib import Path
from random import Random
from typing import assert_type

import unspool
from unspool import (
    Client,
    DeleteTreeResult,
    FileInfo,
    LocalStore,
    MemoryStore,
    Page,
    Prefix,
    PutResult,
    PutTreeResult,
    Reading,
    Result,
    RetryPolicy,
    Server,
    ServerOptions,
    ServiceOptions,
    TransferOptions,
    TreeResult,
    UnspoolError,
)
from unspool.client.events import Advanced, Event, Started
from unspool.testing import FakeClock, FaultyStore, serve


def from_a_script() -> None:
    """Download without knowing of asyncio."""
    result = unspool.get("localhost:50051/model.bin", "model.bin")
    assert_type(result, Result)
    assert_type(unspool.get_tree("localhost:50051/models", "here", progress=print), TreeResult)
    assert_type(unspool.put("model.bin", "localhost:50051/model.bin", if_absent=True, progress=print), PutResult)
    assert_type(unspool.put_tree("models", "localhost:50051/models", filters=[("exclude", "*.tmp")]), PutTreeResult)
    assert_type(unspool.delete("localhost:50051/model.bin", if_revision="r1"), FileInfo | None)
    assert_type(unspool.delete_tree("localhost:50051/models"), DeleteTreeResult)
    with unspool.open_write("localhost:50051/model.bin", if_absent=True) as written:
        written.write(b"bytes")
    assert_type(written.result, PutResult | None)
    assert_type(unspool.stat("localhost:50051/model.bin"), FileInfo)
    assert_type(unspool.exists("localhost:50051/model.bin"), bool)
    assert_type(unspool.read("localhost:50051/model.bin", start=1, length=2), bytes)
    assert_type(unspool.verify("localhost:50051/model.bin", Path("model.bin")), FileInfo)
    for entry in unspool.list("localhost:50051"):
        assert_type(entry, FileInfo | Prefix)
    for info in unspool.list("localhost:50051", recursive=True):
        assert_type(info, FileInfo)
    with unspool.open("localhost:50051/model.bin") as file:
        assert_type(file, io.BufferedReader)
    assert_type(result.path, str | None)
    assert_type(result.crc32c, int)
    unspool.get("localhost:50051/model.bin", Path("models"), dialect="demo")
    unspool.get("localhost:50051/model.bin", io.BytesIO(), options=TransferOptions(idle_timeout=5.0), observers=[Shown()])


class Shown:
    """An observer."""

    def notify(self, event: Event) -> None:
        """See `unspool.client.events.Observer.notify`."""
        match event:
            case Started(name, size, resumed_from):
                assert_type(name, str)
                assert_type(size, int | None)
                assert_type(resumed_from, int)
            case Advanced(good):
                assert_type(good, int)
            case _:
                pass


async def from_a_program() -> None:
    """Use everything a client can do."""
    options = TransferOptions(
        retry=RetryPolicy(budget=3), on_change="fail", resume=False, overwrite=False, block_size=None, times=False
    )
    async with Client("localhost:50051", options=options, clock=FakeClock(), random=Random(1)) as client:
        info = await client.stat("model.bin")
        assert_type(info, FileInfo)
        assert_type(info.crc32c, int | None)
        assert_type(await client.exists("model.bin", options=options), bool)
        async for entry in client.list("models/"):
            assert_type(entry, FileInfo | Prefix)
            assert_type(entry.name, str)
        async for file in client.list("models/", recursive=True):
            assert_type(file, FileInfo)
        async for page in client.pages("models/", recursive=True, page_size=100):
            assert_type(page, Page)
            assert_type(page.files, tuple[FileInfo, ...])
            assert_type(page.prefixes, tuple[str, ...])
            assert_type(page.omitted[0].reason, str)
        assert_type(await client.get("model.bin", "here", observers=[Shown()], progress=print), Result)
        assert_type(await client.put(io.BytesIO(b"bytes"), "model.bin", options=options, observers=[Shown()]), PutResult)
        assert_type(await client.get_tree("models", "here", options=options, observers=[Shown()]), TreeResult)
        assert_type(await client.read("model.bin", start=1, length=2, revision=info.revision), bytes)
        async with client.open("model.bin") as reading:
            assert_type(reading, Reading)
            assert_type(reading.info, FileInfo | None)
            assert_type(await reading.read(100), bytes)
            async for data in reading:
                assert_type(data, bytes | memoryview)
        assert_type(await client.verify("model.bin", Path("model.bin")), FileInfo)
        try:
            await client.read("nope")
        except UnspoolError as error:
            assert_type(error.message, str)
            assert_type(error.exit_code, int)
            assert_type(error.retryable, bool)
            assert_type(error.offset, int | None)


async def as_a_server() -> None:
    """Serve a directory, and what a test has in memory."""
    ServerOptions(service=ServiceOptions(dialects=("unspool", "bytestream")))
    options = ServerOptions(service=ServiceOptions(block_size=1 << 20, dialects=("unspool",)), grace=5.0)
    async with Server(LocalStore("/srv/files"), "[::1]:0", options) as server:
        assert_type(server.address, str)
        await asyncio.Event().wait()
    async with serve(FaultyStore(MemoryStore({"a.bin": b"a"}))) as address:
        assert_type(address, str)
