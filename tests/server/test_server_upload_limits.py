"""What an upload may ask of a server: entries, blocks, bandwidth, and how long it may stay when it is refused."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

import pytest

from server.uploading import ID, error_of, put, uploader
from unspool import LimitOptions, MemoryStore, ServerOptions
from unspool.core.model import Block
from unspool.core.uploading import UploadCommitted, UploadOpen, UploadOpened, UploadRequest
from unspool.errors import InvalidRequestError
from unspool.ingest.memory import MemoryIngester
from unspool.rpc import wire, writewire
from unspool.testing import serve

MIB = 1 << 20
DATA = Random(5).randbytes(MIB)


async def test_a_message_with_very_many_entries_is_refused_unparsed(address: str) -> None:
    """An opening with a million spans to discard, or a batch with a million files, takes no memory for them."""
    spans = b"\x5a\x00" * 1_000_000
    opening = b"\x0a" + wire.varint(len(spans)) + spans
    for message in (opening, opening[:1] + wire.varint(len(spans) // 2) + spans[: len(spans) // 2]):
        async with uploader(address) as one:
            await one.call.write(message)
            assert error_of(await one.answer()) == "INVALID_REQUEST"
            assert await one.end() == "OK"
    assert writewire.decode_upload_request(
        writewire.encode_upload_request(UploadRequest(UploadOpen(ID, "a"), Block(0, bytes(2 * MIB), 0)))
    ).block == Block(0, bytes(2 * MIB), 0)
    with pytest.raises(InvalidRequestError, match="more than 1000 files"):
        writewire.decode_new_files(b"\x0a\x00" * 1_000_000, 1000)


async def test_the_block_size_follows_the_memory_for_blocks(store: MemoryStore) -> None:
    """With little memory the server asks for smaller blocks, but not below 64 KiB."""
    options = ServerOptions(limits=LimitOptions(memory=MIB))
    async with serve(store, options, ingester=MemoryIngester(store)) as address, uploader(address) as one:
        opened = await one.open()
        assert isinstance(opened, UploadOpened)
        assert 64 * 1024 <= opened.block_size < 2 * MIB


async def test_refused_streams_that_stay_are_limited(store: MemoryStore) -> None:
    """There may be as many streams that are being refused as running ones; what comes over that is ended by its status."""
    served = serve(store, ServerOptions(limits=LimitOptions(streams=1)), ingester=MemoryIngester(store))
    async with served as address, uploader(address, "../a") as one:
        assert error_of(await one.open()) == "INVALID_NAME"  # and it does not end its side
        async with uploader(address, "../b") as other:
            await other.call.write(b"\xff")
            assert (await other.call.code()).name == "INVALID_ARGUMENT"
        assert await one.end() == "OK"


@pytest.mark.parametrize("window", [256 << 10, 1 << 20])
async def test_what_is_received_ahead_of_an_upload_is_bounded(store: MemoryStore, window: int) -> None:
    """Of an upload that comes faster than it is taken, a server receives about the window, and the client waits."""
    options = ServerOptions(upload_window=window, limits=LimitOptions(stream_bandwidth=1.0))
    block, sent = bytes(64 << 10), 0
    async with serve(store, options, ingester=MemoryIngester(store)) as address, uploader(address) as one:
        assert isinstance(await one.open(), UploadOpened)
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(2.0):
                    await one.block(sent, block)
                sent += len(block)
    assert window <= sent <= 2 * window  # gRPC leaves it to 5 MiB and more


async def test_the_bandwidth_limits_hold_for_what_is_received(store: MemoryStore) -> None:
    """A stream of an upload is slowed down to its bandwidth, after a burst of a quarter of a second."""
    loop = asyncio.get_running_loop()
    options = ServerOptions(limits=LimitOptions(stream_bandwidth=2_000_000.0))
    async with serve(store, options, ingester=MemoryIngester(store)) as address:
        began = loop.time()
        assert isinstance(await put(address, DATA[:MIB]), UploadCommitted)
        assert loop.time() - began >= (MIB - 500_000) / 2_000_000
