"""A server that is killed under many uploads, and started again: all complete by themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from evidence.test_upload_kills import free_port, server
from unspool.client.client import Client
from unspool.client.events import Advanced, Event
from unspool.core.retry import RetryPolicy
from unspool.options import TransferOptions

UPLOADS = 50
DATA = Random(4).randbytes(1 << 20)


async def test_a_restart_under_fifty_uploads(tmp_path: Path) -> None:
    """With SIGKILL in the middle and the server started again, each of fifty uploads ends well."""
    root, port = tmp_path / "root", free_port()
    root.mkdir()
    source = tmp_path / "source"
    source.write_bytes(DATA)
    under_way = asyncio.Event()
    seen: set[str] = set()

    class Watcher:
        def notify(self, event: Event) -> None:
            if isinstance(event, Advanced):
                seen.add(event.transfer)
                if len(seen) == UPLOADS:
                    under_way.set()

    options = TransferOptions(retry=RetryPolicy(budget=30, longest_wait=1.0), block_size=64 << 10)
    async with Client(f"127.0.0.1:{port}", options=options, limit_rate=25_000_000.0, observers=[Watcher()]) as client:
        with server(root, tmp_path / "log", port) as first:
            uploads = [asyncio.create_task(client.put(source, f"{number}")) for number in range(UPLOADS)]
            async with asyncio.timeout(60):
                await under_way.wait()
            assert not all(upload.done() for upload in uploads)
            first.kill()
            await asyncio.to_thread(first.wait)
        with server(root, tmp_path / "log", port):
            async with asyncio.timeout(120):
                results = await asyncio.gather(*uploads)
    assert all((root / f"{number}").read_bytes() == DATA for number in range(UPLOADS))
    assert sum(result.bytes_sent for result in results) <= 2 * UPLOADS * len(DATA)
