"""Slow links, through a relay with buffers: while bytes arrive, a download with default options makes progress."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from random import Random

import pytest

from unspool.client.client import Client
from unspool.core.retry import RetryPolicy
from unspool.options import TransferOptions
from unspool.rpc.transport import GrpcTransport
from unspool.server.server import Server
from unspool.stores.local import LocalStore
from unspool.testing.proxy import Proxy

KIB = 1 << 10
MIB = 1 << 20


async def slowly(tmp_path: Path, size: int, rate: float, buffer: int, options: TransferOptions) -> tuple[int, float]:
    """Get a file over a slow link; return the number of attempts, and how many times its size the link carried."""
    data = Random(0).randbytes(size)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "f").write_bytes(data)
    store = LocalStore(tmp_path / "root")
    async with aclosing(store), Server(store) as server, Proxy(server.address) as link:
        link.bandwidth, link.buffer = rate, buffer
        async with Client(link.address, options=options) as client:
            result = await client.get("f", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    return result.attempts, link.stats.to_client / size


@pytest.mark.parametrize(("rate", "buffer"), [(64e3, 64 * KIB), (128e3, 4 * MIB)])
async def test_a_link_on_which_a_block_takes_longer_than_a_stall(tmp_path: Path, rate: float, buffer: int) -> None:
    """With small buffers and with large ones, there are one or two stalls, and then smaller blocks, which arrive in time."""
    options = TransferOptions(retry=RetryPolicy(budget=4, first_wait=0.01), idle_timeout=30 / 64)
    attempts, carried = await slowly(tmp_path, int(4 * rate), rate, buffer, options)
    assert attempts <= 5
    assert carried < 2


async def test_a_connection_made_for_a_slow_link_carries_a_fast_one(tmp_path: Path) -> None:
    """After a stall, a new connection over a long, fast link is nearly as fast as any other."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "f").write_bytes(bytes(32 * MIB))
    store = LocalStore(tmp_path / "root")
    seconds = []
    async with aclosing(store), Server(store) as server, Proxy(server.address) as link:
        link.delay = 0.03
        for window in (None, 16 * KIB):
            transport = GrpcTransport(link.address)
            await transport.stat("f")
            transport._connection._channel.given_up = True  # type: ignore[union-attr]  # as after a wait that was given up
            transport.renew(window)
            async with Client(transport=transport, options=TransferOptions(jobs=1)) as client:
                result = await client.get("f", tmp_path / f"out-{window}")
            seconds.append(result.seconds)
    plain, narrow = seconds
    assert narrow < 4 * plain, "it takes thirty times as long where the window does not grow"


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("rate", "buffer"), [(1e3, 64 * KIB), (16e3, 4 * MIB)])
async def test_a_mebibyte_comes_over_a_link_of_a_thousand_bytes_a_second(tmp_path: Path, rate: float, buffer: int) -> None:
    """The same with the default options and real times."""
    _, carried = await slowly(tmp_path, MIB, rate, buffer, TransferOptions())
    assert carried < 2


@pytest.mark.deep
@pytest.mark.timeout(1800)
async def test_replicas_over_slow_links_are_not_taken_for_frozen_ones(tmp_path: Path) -> None:
    """Answers to pings wait behind data: each replica is left once for that, and then the file comes."""
    data = Random(0).randbytes(2 * MIB)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "f").write_bytes(data)
    store = LocalStore(tmp_path / "root")
    async with aclosing(store), Server(store) as server, Proxy(server.address) as one, Proxy(server.address) as other:
        for link in (one, other):
            link.bandwidth, link.buffer = 32e3, 4 * MIB
        async with Client(f"{one.address},{other.address}", options=TransferOptions(jobs=1)) as client:
            result = await client.get("f", tmp_path / "out")
        carried = (one.stats.to_client + other.stats.to_client) / len(data)
    assert (tmp_path / "out").read_bytes() == data
    assert result.attempts < 10
    assert carried < 4
