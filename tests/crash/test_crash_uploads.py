"""Workers and clients that are killed at random moments of uploads: every upload is completed, byte for byte."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from random import Random

import grpc

from crash.persistent import Persistent
from processes import eventually, peak_memory, serving
from server.test_server_workers import workers_of
from unspool.core.uploading import IF_ABSENT, Condition, UploadOpened

MIB = 1 << 20
SEGMENT = 16 * MIB

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))
UPLOADS = 20 if DEEP else 2
KILLS = 40 if DEEP else 3


async def test_uploads_survive_the_death_of_workers_and_clients(tmp_path: Path) -> None:
    """Each upload goes on at whichever worker there is, and sends at most a segment again for each kill."""
    random = Random(11)
    root = tmp_path / "root"
    root.mkdir()
    datas = [random.randbytes(SEGMENT + 3 * MIB) for _ in range(UPLOADS)]
    with serving(root, tmp_path / "log", "--write", "--workers", "2") as server:
        uploads = [
            Persistent(server.address, f"dir/{number}.bin", data, Condition() if number % 2 else IF_ABSENT)
            for number, data in enumerate(datas)
        ]
        running = [asyncio.create_task(upload.run()) for upload in uploads]
        for kill in range(KILLS):
            sent = sum(upload.sent for upload in uploads)
            while sum(upload.sent for upload in uploads) < sent + 2 * MIB and not all(task.done() for task in running):
                await asyncio.sleep(0.001)
            if kill % 3 == 1:
                with suppress(ProcessLookupError):
                    os.kill(random.choice(sorted(workers_of(server))), signal.SIGKILL)
            else:
                random.choice(uploads).cut()
        await asyncio.wait_for(asyncio.gather(*running), 240)
    for number, (upload, data) in enumerate(zip(uploads, datas, strict=True)):
        assert (root / f"dir/{number}.bin").read_bytes() == data
        assert upload.sent <= len(data) + upload.breaks * (SEGMENT + MIB)
    assert {path.name for path in (root / ".unspool-uploads").iterdir()} == {"done", "locks", "small", "storage", "wanted"}


async def test_many_slow_uploads_take_little_memory(tmp_path: Path) -> None:
    """A server that receives very many uploads at a crawl stays within bounds."""
    count, most = (1000, 400 * MIB) if DEEP else (100, 150 * MIB)
    root = tmp_path / "root"
    root.mkdir()
    many = ("--max-streams", "2000", "--max-streams-per-peer", "2000", "--max-uploads", "2000")
    with serving(root, tmp_path / "log", "--write", *many, anew=True) as server:
        uploads = [Persistent(server.address, f"{number}.bin", bytes(300_000)) for number in range(count)]
        channels = [grpc.aio.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(8)]
        streams = [await upload.begin(channels[number % 8]) for number, upload in enumerate(uploads)]
        for _ in range(2):
            for stream in streams:
                assert isinstance(await stream.slowly(), UploadOpened | None)
        used = eventually(lambda: peak_memory(f"/proc/{server.process.pid}/status"))
        for channel in channels:
            await channel.close()
        assert used < most, f"{used / MIB:.0f} MiB for {count} uploads"
        assert server.stop() == 0
