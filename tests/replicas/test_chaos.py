"""Twenty downloads at a time from four servers, which are killed, frozen, drained and started again in turn."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from processes import ENVIRONMENT, UNSPOOL, free_port
from unspool.client.client import Client
from unspool.client.results import Result
from unspool.core.retry import RetryPolicy
from unspool.options import TransferOptions

SIZE = 24 << 20


class Server:
    """One server process, on a port of its own, which can be started again."""

    def __init__(self, root: Path, port: int) -> None:
        self._command = [*UNSPOOL, "serve", str(root), "--listen", f"127.0.0.1:{port}", "--quiet", "--grace", "0.2"]
        self._command += ["--max-stream-bandwidth", "2M"]
        self.address = f"127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self._process = subprocess.Popen(self._command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert await asyncio.to_thread(self._process.stdout.readline)

    async def stop(self, event: signal.Signals) -> None:
        """Kill, drain or freeze it for a while; when this returns it is gone."""
        assert self._process is not None
        self._process.send_signal(event)
        if event is signal.SIGSTOP:
            await asyncio.sleep(3)
            self._process.kill()
        await asyncio.to_thread(self._process.wait)
        assert self._process.stdout is not None
        self._process.stdout.close()


@asynccontextmanager
async def servers(root: Path, number: int) -> AsyncGenerator[list[Server], None]:
    """Run servers of one directory."""
    with ExitStack() as stack:
        ports = [stack.enter_context(free_port()) for _ in range(number)]
    running = [Server(root, port) for port in ports]
    await asyncio.gather(*(one.start() for one in running))
    try:
        yield running
    finally:
        for one in running:
            await one.stop(signal.SIGKILL)


@pytest.mark.deep
async def test_no_download_fails_whatever_happens_to_one_server_at_a_time(tmp_path: Path) -> None:
    """Of 20 downloads none fails, each file is whole, and no download fetches a byte twice."""
    data = Random(0).randbytes(SIZE)
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.bin").write_bytes(data)
    events = 0
    async with servers(root, 4) as running:
        target = ",".join(one.address for one in running)
        options = TransferOptions(idle_timeout=1.5, jobs=1, retry=RetryPolicy(budget=5))

        async def get(number: int) -> Result:
            async with Client(target, options=options) as client:
                return await client.get("a.bin", tmp_path / f"{number}.bin")

        downloads = [asyncio.create_task(get(number)) for number in range(20)]
        random = Random(1)
        until = time.monotonic() + 120
        while not all(one.done() for one in downloads) and time.monotonic() < until:
            unlucky = random.choice(running)
            await unlucky.stop(random.choice([signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM]))
            await asyncio.sleep(random.random())
            await unlucky.start()
            events += 1
        results = await asyncio.gather(*downloads)
    for number, result in enumerate(results):
        assert (tmp_path / f"{number}.bin").read_bytes() == data
        assert result.bytes_received == SIZE
        assert result.restarts == 0
    assert events >= 3
    assert max(len(result.servers) for result in results) > 1
