"""What is counted of uploads and deletions, by a server that runs and by an ingester that is asked directly."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from processes import eventually, unspool
from server.uploading import put, uploader
from unspool import Client, MemoryStore, Server
from unspool.core.uploading import IF_ABSENT
from unspool.errors import FileChangedError
from unspool.ingest.local import LocalIngester
from unspool.ingest.memory import MemoryIngester
from unspool.options import IngestOptions
from unspool.stores import LocalStore
from unspool.testing.ingestcontract import IngestContract
from unspool.testing.ingesting import Ingesting, send
from unspool.watch.counts import Counts
from unspool.watch.figures import Figures, Key
from watch.pages import watched

MIB = 1 << 20
DATA = Random(7).randbytes(3 * MIB)


class TestWatchedIngester(IngestContract):
    """The contract of ingesters, kept by one that is counted."""

    @asynccontextmanager
    async def ingesting(self, directory: Path) -> AsyncIterator[Ingesting]:
        """See `IngestContract.ingesting`."""
        store, ingester = LocalStore(directory), LocalIngester(directory)
        yield Ingesting(Counts(lambda _: True).receiving(ingester), store)
        await ingester.aclose()
        await store.aclose()


class Lab:
    """A server whose calls are counted."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.figures = Figures()
        self.counts = Counts(self._take)
        self.server = Server(self.store, ingester=self.counts.receiving(MemoryIngester(self.store)), observers=[self.counts])

    def _take(self, figures: Figures) -> bool:
        self.figures = figures
        return True

    def counted(self) -> dict[Key, float]:
        """Return the counters of uploads that are not 0."""
        self.counts.publish()
        of_calls = ("unspool_calls", "unspool_stalls")
        return {key: value for key, value in self.figures.counters.items() if value and not key[0].startswith(of_calls)}


async def test_uploads_are_counted() -> None:
    """Bytes that come, and come again; what goes on, is committed, is refused by its condition, and deleted."""
    lab = Lab()
    async with lab.server as server, Client(server.address) as client:
        async with uploader(server.address) as one:
            await one.open(size=len(DATA))
            await one.block(0, DATA[:MIB])
            await one.end()
        assert lab.counted() == {("unspool_received_bytes_total", "WriteFile"): MIB}
        async with uploader(server.address) as one:
            await one.open(size=len(DATA), attempt=2, transfer_id="t")
            await one.block(0, DATA[:MIB])  # which is there
            await one.block(MIB, DATA[MIB : 2 * MIB])
            await one.block(2 * MIB, DATA[2 * MIB :])
            await one.commit(DATA)
            await one.end()
        expected: dict[Key, float] = {
            ("unspool_received_bytes_total", "WriteFile"): 4 * MIB,
            ("unspool_received_again_bytes_total",): MIB,
            ("unspool_uploads_resumed_total",): 1,
            ("unspool_files_received_total", "WriteFile"): 1,
        }
        assert lab.counted() == expected
        with pytest.raises(FileChangedError):
            await client.delete("a.bin", if_revision="another")
        await put(server.address, b"other", upload_id=bytes(16), condition=IF_ABSENT)
        await client.delete("a.bin")
        assert lab.counted() == expected | {
            ("unspool_conditions_failed_total", "FILE_CHANGED"): 1,
            ("unspool_conditions_failed_total", "ALREADY_EXISTS"): 1,
            ("unspool_files_deleted_total",): 1,
        }


async def test_what_expires_is_counted(tmp_path: Path) -> None:
    """An unfinished upload that is swept is counted; a commit that is forgotten is not."""
    figures: list[Figures] = []

    def take(published: Figures) -> bool:
        figures.append(published)
        return True

    now = [time.time()]
    counts = Counts(take)
    ingester = LocalIngester(tmp_path, IngestOptions(keep=1.0, remember=1.0), clock=lambda: now[0])
    there = Ingesting(counts.receiving(ingester), LocalStore(tmp_path))
    await there.put(b"committed", "b.bin")
    async with aclosing(await there.open()) as upload:
        await send(upload, b"some of it")
    now[0] += 100
    await there.ingester.sweep()
    counts.publish()
    assert figures[-1].counters["unspool_uploads_expired_total",] == 1
    await ingester.aclose()


def test_the_page_shows_uploads(tmp_path: Path) -> None:
    """A server with workers: bytes received, files, and how long its disk took; nothing counts as sent."""
    (tmp_path / "root").mkdir()
    (tmp_path / "a.bin").write_bytes(DATA)
    with watched(tmp_path / "root", tmp_path / "log", "--write", "--workers", "2") as page:
        assert unspool("put", tmp_path / "a.bin", f"{page.server.address}/a.bin").code == 0
        assert unspool("rm", f"{page.server.address}/a.bin").code == 0
        eventually(lambda: page.samples()("unspool_files_deleted_total") == 1)
        samples = page.samples()
    assert samples("unspool_received_bytes_total", method="WriteFile") == len(DATA)
    assert samples("unspool_files_received_total", method="WriteFile") == 1
    assert samples("unspool_sent_bytes_total", method="WriteFile") == 0
    assert samples("unspool_store_seconds_count", operation="commit") == 1
    assert samples("unspool_resumes_total") == 0
    assert samples("unspool_conditions_failed_total", reason="FILE_CHANGED") == 0
