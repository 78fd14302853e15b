"""Random schedules of uploads into a bucket that several servers receive, some of them dead or late: the laws hold."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from random import Random
from unittest import mock

from obstore.store import MemoryStore as Memory

from ingest.objecting import in_memory
from unspool.core.acceptor import good_spans
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Span
from unspool.core.uploading import UploadOpen
from unspool.errors import ServerError, TakenOverError
from unspool.ingest import objectresume
from unspool.ingest.objectupload import ObjectUpload
from unspool.testing.ingesting import ID, Ingesting
from unspool.testing.multipart import MemoryMultipart
from unspool.testing.stock import read_file

SEEDS = 5000 if os.environ.get("UNSPOOL_TEST_DEEP") else 200

PART = 1000

KINDS = ("open", "write", "write", "write", "write", "write", "sync", "sync", "close", "late", "fail", "lose", "discard")
"""The steps, as often as they are likely."""


class _Run:
    """One schedule.

    Attributes:
        durable: bytes that must be there whatever dies.
        lost: whether the store has lost a part, and no server knows yet.
    """

    def __init__(self, data: bytes, servers: list[Ingesting], multipart: MemoryMultipart, *, told: bool) -> None:
        self.data = data
        self.servers = servers
        self.multipart = multipart
        self.size = len(data) if told else None
        self.upload: ObjectUpload | None = None
        self.left: list[ObjectUpload] = []
        self.durable = 0
        self.lost = False

    async def open(self, number: int, discard: tuple[Span, ...] = ()) -> ObjectUpload | FileInfo:
        """Open the upload at a server, whoever had it before. That one is dead, or does not know yet."""
        if self.upload is not None:
            self.left.append(self.upload)
        found = await self.servers[number].ingester.open(UploadOpen(ID, "a.bin", size=self.size, discard=discard), "")
        if isinstance(found, FileInfo):
            self.upload = None
            return found
        assert isinstance(found, ObjectUpload)
        self.upload = found
        for good in good_spans(found.table):
            assert crc32c(self.data[good.span.start : good.span.stop]) == good.crc32c
        if discard:
            self.durable = 0
        assert found.table.good_bytes >= self.durable
        self.lost = False
        return found

    async def write(self, upload: ObjectUpload, count: int) -> None:
        """Write missing bytes, in order."""
        gap = next(upload.known().gaps(len(self.data)), None)
        if gap is not None:
            run = self.data[gap.start : min(gap.start + count, gap.stop)]
            await upload.write(Block(gap.start, run, crc32c(run)))

    async def step(self, kind: str, value: int) -> None:
        """Do one step. What it raises must be an error that a client may be told."""
        try:
            if kind in {"open", "discard"} or self.upload is None:
                start = min(value * 3, len(self.data))
                spans = (Span(start, min(start + 1, len(self.data))),) if kind == "discard" else ()
                await self.open(value % len(self.servers), spans)
            elif kind == "write":
                await self.write(self.upload, value + 1)
            elif kind == "sync":
                durable = await self.upload.sync()
                assert durable >= self.durable
                self.durable = 0 if self.lost else durable
            elif kind == "close":
                await self.upload.aclose()
                self.upload = None
            elif kind == "late" and self.left:
                await self.write(self.left[-1], value + 1)
            elif kind == "fail":
                self.multipart.fails += [ServerError("the object store failed")] * (1 + value % 2)
            elif kind == "lose":
                for begun in self.multipart.uploads.values():
                    if begun.parts.pop(value % 6, None) is not None:
                        self.durable, self.lost = 0, True
        except (ServerError, TakenOverError):
            pass

    async def finish(self) -> None:
        """Complete the upload at one server, as a client would that comes back until it is done."""
        self.multipart.fails.clear()
        for _ in range(10):
            with suppress(ServerError, TakenOverError):
                upload = await self.open(0)
                if isinstance(upload, FileInfo):
                    return
                while next(upload.known().gaps(len(self.data)), None) is not None:
                    await self.write(upload, 1500)
                await upload.commit(len(self.data))
                return
        raise AssertionError("it is never complete")


async def _play(seed: int) -> None:
    random = Random(seed)
    data = random.randbytes(random.randint(0, 5 * PART + 500))
    objects = Memory()
    multipart = MemoryMultipart(objects)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(in_memory(objects, multipart)) for _ in range(3)]
        run = _Run(data, servers, multipart, told=random.random() < 0.5)
        for _ in range(random.randint(0, 25)):
            await run.step(random.choice(KINDS), random.randint(0, 1500))
        await run.finish()
        for late in run.left:
            await late.aclose()
        info, there = await read_file(servers[1].store, "a.bin")
        assert there == data
        again = await servers[2].ingester.open(UploadOpen(ID, "a.bin", size=run.size), "")
        assert isinstance(again, FileInfo)
        assert (again.revision, again.crc32c) == (info.revision, crc32c(data))
        assert not any(begun.parts for begun in multipart.uploads.values())


def test_whatever_happens_the_file_is_whole_and_what_was_durable_is_there() -> None:
    """Servers die, come late, share an upload; the store fails and loses parts: no byte is wrong, and durable never falls."""
    with mock.patch.object(objectresume, "part_size_for", return_value=PART):
        for seed in range(SEEDS):
            try:
                asyncio.run(_play(seed))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
