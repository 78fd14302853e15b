"""How large the blocks are that a client asks for, as far as it shows in its requests: what counts, and what does not."""

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
    """A server and a way to it: each frame takes some seconds on the way, and before it some heartbeats of the store."""

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
    """Read a file of three blocks; return the sizes of blocks that were asked for, request by request."""
    clock = FakeClock()
    pace = Pace(clock, content(3 * MIB), way=way, store=store)
    async with Client(transport=pace, clock=clock, random=Random(0)) as client:
        assert await client.read("f") == content(3 * MIB)
    return pace.asked


async def test_a_store_that_takes_its_time_is_no_slow_way() -> None:
    """What a heartbeat told of is waited for, a minute for each block, and nothing is asked for anew."""
    assert await asked(way=0.1, store=6) == [None]


async def test_a_way_that_takes_its_time_is_one() -> None:
    """Blocks that take ten seconds each are asked for in smaller ones, before one takes as long as a stall."""
    first, second, *_ = await asked(way=10, store=0)
    assert first is None
    assert second is not None
    assert second < MIB
