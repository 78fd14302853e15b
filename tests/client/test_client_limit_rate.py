"""The client's rate limit: it holds for any number of streams, files and clients."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.lab import Wrapper, content
from unspool.client.client import Client
from unspool.client.ratelimit import RateLimit
from unspool.core.model import BatchRequest, Frame, Piece, ReadRequest
from unspool.errors import InvalidRequestError
from unspool.options import TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, StoreTransport

MIB = 1 << 20
RATE = 100_000.0


class Asked(Wrapper):
    """A server that records the requested block sizes."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(StoreTransport(MemoryStore(files)))
        self.sizes: set[int | None] = set()

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        self.sizes.add(request.block_size)
        async with aclosing(self.inner.read(request)) as frames:
            async for frame in frames:
                yield frame

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        self.sizes.add(request.block_size)
        async with aclosing(self.inner.read_files(request)) as messages:
            async for message in messages:
                yield message


def client_of(clock: FakeClock, server: Asked, limit: float | RateLimit | None = RATE, jobs: int = 1) -> Client:
    """Return a client with a limit."""
    return Client(transport=server, clock=clock, random=Random(0), options=TransferOptions(jobs=jobs), limit_rate=limit)


@pytest.mark.parametrize("jobs", [1, 4])
async def test_one_file_takes_as_long_as_the_limit_says(tmp_path: Path, jobs: int) -> None:
    """A download of 3 MiB at 100 kB/s takes 31 s, with one stream or several, minus the burst of a quarter of a second."""
    clock, server = FakeClock(), Asked({"f": content(3 * MIB)})
    await client_of(clock, server, jobs=jobs).get("f", tmp_path / "f")
    assert clock.now == pytest.approx(3 * MIB / RATE - 0.25, abs=0.01)
    assert (tmp_path / "f").read_bytes() == content(3 * MIB)


@pytest.mark.parametrize("jobs", [1, 3])
async def test_a_tree_takes_as_long_as_the_limit_says(tmp_path: Path, jobs: int) -> None:
    """All files of a tree share the limit, both small ones in batches and large ones."""
    clock = FakeClock()
    files = {f"{number}": content(10_000, number) for number in range(100)} | {"large": content(2 * MIB)}
    size = sum(map(len, files.values()))
    result = await client_of(clock, Asked(files), jobs=jobs).get_tree("", tmp_path / "d")
    assert result.fetched == len(files)
    assert clock.now >= size / RATE - 0.25 - 0.01


async def test_two_clients_may_share_a_limit() -> None:
    """Two clients that share one limit hold it together."""
    clock, limit = FakeClock(), RateLimit(RATE)
    for name in ("a", "b"):
        await client_of(clock, Asked({name: content(MIB)}), limit).read(name)
    assert clock.now == pytest.approx(2 * MIB / RATE - 0.25, abs=0.01)


async def test_without_a_limit_nothing_waits() -> None:
    """Without a limit a client does not wait."""
    clock = FakeClock()
    await client_of(clock, Asked({"f": content(MIB)}), None).read("f")
    assert clock.slept == []


@pytest.mark.parametrize(("rate", "asked"), [(64 << 20, None), (4 << 20, None), (MIB, 256 << 10), (RATE, 16 << 10), (10, 1024)])
async def test_slow_limits_ask_for_small_blocks(rate: float, asked: int | None, tmp_path: Path) -> None:
    """A block takes at most a quarter of a second at the limit, down to 1 KiB, so that progress is visible."""
    server = Asked({"f": content(3000)})
    await client_of(FakeClock(), server, rate).read("f")
    await client_of(FakeClock(), server, rate).get_tree("", tmp_path / "d")
    assert server.sizes == {asked}


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_limit_must_be_a_positive_number(rate: float) -> None:
    """A limit that is not a positive number is refused."""
    with pytest.raises(InvalidRequestError, match="greater than 0"):
        RateLimit(rate)


@given(st.floats(1, 1e12), st.lists(st.tuples(st.integers(0, 1 << 40), st.floats(0, 100)), max_size=30))
def test_whoever_waits_as_told_keeps_to_the_rate(rate: float, takes: list[tuple[int, float]]) -> None:
    """Any sequence of amounts takes at least as long as the rate requires, minus the burst."""
    limit, now, taken = RateLimit(rate), 0.0, 0
    for size, rest in takes:
        taken += size
        now += limit.take(size, now)
        assert taken <= rate * (now + 0.25) * (1 + 1e-9) + 1e-6
        now += rest
