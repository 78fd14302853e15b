"""Hostile clients, as processes, against a real server, which answers a good client meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evidence.attacks import ATTACKS
from processes import ENVIRONMENT, Serving, eventually, serving
from unspool import Client

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))

SECONDS = 10.0 if DEEP else 1.0
"""How long each attack lasts."""

MIB = 1 << 20

MOST_KEPT = {"large-metadata": 256 * MIB}
"""Bytes of memory that a server may have more right after an attack; 80 MiB after others. Measured: 90 to 150 MiB after large
metadata, which gRPC reads to its end before it refuses it, and 15 to 68 MiB after others."""

OPTIONS = {"endless-uploads": ["--write"]}
"""Options of a server that an attack needs; of others `--bytestream`. With both, mutated requests would write files."""

LEFT = 1.6
"""Memory some time after attacks, over that of a server that was just started. Measured: 1.08 to 1.45, decision 0011."""


def attack(name: str, address: str, seconds: float = SECONDS) -> subprocess.Popen[bytes]:
    """Begin an attack."""
    program = Path(__file__).with_name("attacks.py")
    command = [sys.executable, str(program), name, address, str(seconds)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE)


def memory(server: Serving) -> int:
    """Return how many bytes of memory a server uses."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("the server is gone")


def descriptors(server: Serving) -> int:
    """Return how many descriptors a server has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


async def answered(address: str, attacking: subprocess.Popen[bytes] | None = None) -> list[float]:
    """Stat a file repeatedly during an attack, or ten times; return the seconds of each answer."""
    waits: list[float] = []
    async with Client(address) as client:
        while len(waits) < 10 if attacking is None else attacking.poll() is None:
            begun = time.monotonic()
            assert (await client.stat("a.bin")).size == 100_000
            waits.append(time.monotonic() - begun)
            await asyncio.sleep(0.01)
    return waits


def attacked(name: str, server: Serving) -> list[float]:
    """Attack a server; return the seconds of each answer to a good client meanwhile."""
    with attack(name, server.address) as attacking:
        assert attacking.stdout is not None
        waits = asyncio.run(answered(server.address, attacking))
        assert int(attacking.stdout.read()) > 0, "there was no attack"
    assert attacking.returncode == 0
    return waits


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ATTACKS)
def test_a_server_that_is_attacked_serves_others(tmp_path: Path, name: str) -> None:
    """Every request of a good client is answered soon; in the long form, a third attack takes no more memory than two.

    After it, memory comes back.

    Alone on two processors all answers come within a second. Here the attack and other tests share them, so half of the answers
    have to. Memory that was used once is kept for a while (decision 0011), so another attack may add a tenth to it, or what is
    within the bounds above.
    """
    root = tmp_path / "served"
    root.mkdir()
    (root / "a.bin").write_bytes(bytes(100_000))
    with serving(root, tmp_path / "log", *OPTIONS.get(name, ["--bytestream"]), anew=True) as server:
        asyncio.run(answered(server.address))
        opened, before = descriptors(server), memory(server)
        waits = sorted(attacked(name, server))
        assert waits[len(waits) // 2] < 1.0, waits
        assert waits[-1] < 10.0, waits
        eventually(lambda: descriptors(server) <= 1.1 * opened)
        most: float = before + MOST_KEPT.get(name, 80 * MIB)
        assert memory(server) < most
        if DEEP:
            attacked(name, server)
            most = max(1.1 * memory(server), most)
            attacked(name, server)
            assert memory(server) < most
            eventually(lambda: descriptors(server) <= 1.1 * opened)
            eventually(lambda: memory(server) <= LEFT * before)
        assert sorted(asyncio.run(answered(server.address)))[5] < 1.0
        assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
