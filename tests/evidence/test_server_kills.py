"""A server that is killed repeatedly and restarted on the same port: one client process completes its download."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random

import pytest

from crash.roomy import roomy
from evidence.seeds import DEEP
from processes import Outcome, Running, Serving, running, serving
from unspool.testing.proxy import Proxy

MIB = 1 << 20

KILLS = 200 if DEEP else 10

BETWEEN = 3 * MIB
"""Most bytes that arrive between a server's start and its end."""

SIZE = (KILLS + 2) * BETWEEN

BANDWIDTH = 60 * MIB


def ended(process: Running) -> Outcome:
    """Wait for a command to end, for as long as the test may take."""
    out, err = process.communicate()
    return Outcome(process.wait(), out or b"", (err or b"").decode())


async def killed(server: Serving, proxy: Proxy, client: asyncio.Task[Outcome], random: Random, known: int) -> None:
    """Kill a server at a random moment while its bytes arrive, or at once.

    Args:
        server: the server to kill.
        proxy: the proxy that the client connects to.
        client: must not end meanwhile.
        random: chooses the moment.
        known: connections from before this server; a new one means that the client has found the server.
    """

    async def until(holds: Callable[[], bool]) -> None:
        while not holds():
            assert not client.done(), client.result()
            await asyncio.sleep(0.002)

    if random.random() < 0.9:
        await until(lambda: proxy.stats.connections > known)
        goal = proxy.stats.to_client + random.randrange(BETWEEN)
        await until(lambda: proxy.stats.to_client >= goal)
    server.process.kill()
    server.process.wait()


@pytest.mark.timeout(1800 if DEEP else 120)
async def test_a_server_killed_again_and_again_costs_nothing_twice() -> None:
    """The client process survives every SIGKILL of its server, ends with exit 0 and the right bytes, each fetched once."""
    random = Random(6)
    with roomy(3 * SIZE) as directory:
        root = directory / "root"
        root.mkdir()
        (root / "big.bin").write_bytes(b"".join(random.randbytes(BETWEEN) for _ in range(KILLS + 2)))
        out = directory / "out"
        with serving(root, directory / "log") as first:
            address = first.address
            async with Proxy(address) as proxy:
                proxy.bandwidth = BANDWIDTH
                with running("get", "--json", "--retry-budget", "100", f"{proxy.address}/big.bin", out) as process:
                    client = asyncio.create_task(asyncio.to_thread(ended, process))
                    await killed(first, proxy, client, random, known=0)
                    for _ in range(KILLS - 1):
                        known = proxy.stats.connections
                        with serving(root, directory / "log", listen=address) as server:
                            await killed(server, proxy, client, random, known)
                    with serving(root, directory / "log", listen=address):
                        done = await client
        assert done.code == 0, done.err
        result = json.loads(done.out)
        assert result["verified"] == "file"
        assert result["bytes_received"] == result["size"] == SIZE, "no byte was fetched twice"
        assert result["attempts"] > KILLS // 2
        assert out.read_bytes() == (root / "big.bin").read_bytes()
        assert sorted(path.name for path in directory.iterdir()) == ["log", "out", "root"]
