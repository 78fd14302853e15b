"""Every message fits into gRPC's default limits, whatever a client requests and a store holds."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from server.wiretap import DEFAULT_LIMIT, data_of, wiretap
from unspool import MemoryStore
from unspool.core.model import ListRequest, Omission, Page, ReadRequest
from unspool.core.names import MAX_NAME_BYTES
from unspool.core.omissions import NAMED
from unspool.errors import NotFoundError
from unspool.rpc import wire
from unspool.testing import serve

MIB = 1 << 20


@pytest.mark.parametrize(("asked", "largest"), [(None, MIB), (2**31 - 1, 2 * MIB), (-1, MIB), (0, MIB)])
async def test_blocks_stay_below_the_limit(asked: int | None, largest: int) -> None:
    """For any requested block size, the server uses its default, or a size that fits."""
    async with serve(MemoryStore({"a": bytes(24 * MIB)})) as address, wiretap(address) as tap:
        frames = await tap.frames(ReadRequest("a", block_size=asked))
    sizes = [len(frame.block.data) for frame in frames if frame.block is not None]
    assert sum(sizes) == 24 * MIB
    assert max(sizes) == largest
    assert tap.largest < DEFAULT_LIMIT


async def test_the_smallest_block_size_is_obeyed() -> None:
    """A client may request small blocks, down to a byte."""
    async with serve(MemoryStore({"a": b"0123"})) as address, wiretap(address) as tap:
        frames = await tap.frames(ReadRequest("a", block_size=1))
    assert len(frames) == 4
    assert data_of(frames) == b"0123"


@pytest.mark.parametrize("letter", ["a", "é", "日", "\U0001f600", '"', "\x01"])
async def test_pages_of_the_longest_names_stay_below_the_limit(letter: str) -> None:
    """The longest page of the longest names arrives completely, divided into several messages."""
    longest = letter * ((MAX_NAME_BYTES - 5) // len(letter.encode()))
    names = [f"{number:04}/{longest}"[:MAX_NAME_BYTES] for number in range(2500)]
    names = [name for name in names if len(name.encode()) <= MAX_NAME_BYTES]
    assert len(names) == 2500
    async with serve(MemoryStore(dict.fromkeys(names, b""))) as address, wiretap(address) as tap:
        call = tap.listing(ListRequest(recursive=True, page_size=2**31 - 1))
        seen = []
        while (message := await tap.next_message(call)) is not None:
            seen += [info.name for info in wire.decode_page(message).files]
    assert sorted(seen) == names
    assert tap.largest < DEFAULT_LIMIT


async def test_pages_of_the_longest_prefixes_stay_below_the_limit() -> None:
    """The same for one level, where prefixes are listed."""
    names = [f"{number:04}{'d' * 4000}/x" for number in range(2500)]
    async with serve(MemoryStore(dict.fromkeys(names, b""))) as address, wiretap(address) as tap:
        call = tap.listing(ListRequest(page_size=2**31 - 1))
        seen: list[str] = []
        while (message := await tap.next_message(call)) is not None:
            seen += wire.decode_page(message).prefixes
    assert sorted(seen) == [name[:-1] for name in names]
    assert tap.largest < DEFAULT_LIMIT


async def test_pages_with_the_longest_omissions_stay_below_the_limit() -> None:
    """The most omissions of a page, with the longest names, fit beside the most files with the longest names."""
    names = [f"{number:04}{'日' * 1360}" for number in range(2500)]
    omitted = tuple(Omission("LINK_TO_DIRECTORY", f"{number:02}{'🙂' * (MAX_NAME_BYTES - 2)}") for number in range(NAMED))

    class Omitting(MemoryStore):
        async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
            async for page in super().list(request):
                yield replace(page, omitted=omitted)

    async with serve(Omitting(dict.fromkeys(names, b""))) as address, wiretap(address) as tap:
        call = tap.listing(ListRequest(page_size=2**31 - 1))
        seen: list[Omission] = []
        files = 0
        while (message := await tap.next_message(call)) is not None:
            page = wire.decode_page(message)
            seen += page.omitted
            files += len(page.files)
    assert (tuple(seen), files) == (omitted, 2500)
    assert tap.largest < DEFAULT_LIMIT


@pytest.mark.parametrize("letter", ["a", "日", "\x01"])
async def test_errors_about_the_longest_names_arrive(letter: str) -> None:
    """An error about the longest name fits into the trailers, and arrives unchanged."""
    name = letter * (MAX_NAME_BYTES // len(letter.encode()))
    async with serve(MemoryStore()) as address, wiretap(address) as tap:
        with pytest.raises(NotFoundError, match="no such file") as caught:
            await tap.frames(ReadRequest(name))
    assert caught.value.message.startswith(letter * 100)
