"""The block sizes that a client requests: which waits influence them, and which do not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from random import Random

from client.lab import Wrapper, content
from unspool.client.client import Client
from unspool.core.model import HEARTBEAT, Frame, ReadRequest
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, StoreTransport

MIB = 1 << 20


class Pace(Wrapper):
    """A server and a network: each frame takes some seconds, and the store causes some heartbeats before it."""

    def __init__(self, clock: FakeClock, data: bytes, *, way: float, store: int) -> None:
        super().__init__(StoreTransport(MemoryStore({"f": data})))
        self.clock, self.way, self.store = clock, way, store
        self.asked: list[int | None] = []

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        self.asked.append(request.block_size)
        async with aclosing(self.inner.read(request)) as frames:
            async for frame in frames:
                for _ in range(self.store):
                    await self.clock.sleep(10)
                    yield HEARTBEAT
                await self.clock.sleep(self.way)
                yield frame


async def asked(*, way: float, store: int) -> list[int | None]:
    """Read a file of three blocks; return the requested block sizes, one for each request."""
    clock = FakeClock()
    pace = Pace(clock, content(3 * MIB), way=way, store=store)
    async with Client(transport=pace, clock=clock, random=Random(0)) as client:
        assert await client.read("f") == content(3 * MIB)
    return pace.asked


async def test_a_store_that_takes_its_time_is_no_slow_way() -> None:
    """Time during which the store sends heartbeats does not count: no new request, although each block takes a minute."""
    assert await asked(way=0.1, store=6) == [None]


async def test_a_way_that_takes_its_time_is_one() -> None:
    """If blocks take ten seconds each, the client requests smaller ones before one takes as long as a stall."""
    first, second, *_ = await asked(way=10, store=0)
    assert first is None
    assert second is not None
    assert second < MIB
