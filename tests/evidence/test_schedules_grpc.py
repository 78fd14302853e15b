"""Random schedules of faults over real sockets: the real client and the scripted server, several faults in each transfer."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from client.lab import JOURNAL, NAME, PART, content, names_in
from evidence.asked import Asked
from evidence.seeds import repeatable, shards
from unspool import Client, MemoryStore, Result, RetryPolicy, TransferOptions, UnspoolError
from unspool.rpc.transport import GrpcTransport
from unspool.testing.faultscript import ON_BLOCKS
from unspool.testing.faultserver import FaultServer

BLOCK = 4096

SEGMENT = 3 * BLOCK

OPTIONS = TransferOptions(
    jobs=1, idle_timeout=0.25, block_size=BLOCK, retry=RetryPolicy(budget=12, first_wait=0.001, longest_wait=0.01)
)

ANYWHERE = (
    "cut",
    "close",
    "reset:CANCEL",
    "reset:INTERNAL_ERROR",
    "reset:REFUSED_STREAM",
    "reset:NO_ERROR",
    "goaway",
    "tear",
    "end",
    "stall",
    "garbage",
    "status:UNAVAILABLE",
    "status:INTERNAL",
    "status:UNKNOWN",
    "status:CANCELLED",
    "status:DEADLINE_EXCEEDED",
    "status:RESOURCE_EXHAUSTED,retry=0.001",
    "status:DATA_LOSS",
    "status:NOT_FOUND",
)
AT_START = ("http:502", "http:503", "ignore", "revision")
FINAL = ("garbage", "status:DATA_LOSS", "status:NOT_FOUND")


def fault_of(random: Random, size: int) -> str:
    """Choose a fault, at a boundary or anywhere; faults that end a transfer for good are rarer."""
    kind = random.choice(random.choice((ANYWHERE, ANYWHERE, ON_BLOCKS, AT_START)))
    if kind in FINAL and random.random() < 0.7:
        return "cut@1"
    if kind in AT_START:
        return f"{kind}@start"
    places = ["0", "1", "-1", str(BLOCK - 1), str(BLOCK), str(random.randrange(size + 1)), str(random.randrange(size + 1))]
    if kind not in ON_BLOCKS:
        places += ["start", "end", "status"]
    return f"{kind}@{random.choice(places)}"


class Schedule:
    """A file, a script, and a directory to download to."""

    def __init__(self, seed: int, directory: Path) -> None:
        random = Random(seed)
        size = random.choice((0, 1, BLOCK, random.randrange(12 * BLOCK), random.randrange(12 * BLOCK)))
        self.script = [fault_of(random, size) for _ in range(random.randint(1, 7))]
        self.data = content(size, seed)
        self.directory = directory
        self.store = MemoryStore()
        self.revision = self.store.put(NAME, self.data).revision

    async def get(self, server: FaultServer) -> Result | UnspoolError:
        """Download once, and check the promises that hold after every run."""
        transport = Asked(GrpcTransport(server.address))
        transport.journal = self.directory / JOURNAL
        transport.revisions = {self.revision: self.data, f"{self.revision}-other": self.data}
        out = self.directory / "b.bin"
        come: Result | UnspoolError
        async with Client(transport=transport, options=OPTIONS, random=Random(0)) as client:
            try:
                come = await client.get(NAME, out)
            except UnspoolError as error:
                come = error
        assert type(come) is not UnspoolError
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("unspool-disk")]
        if isinstance(come, UnspoolError):
            assert names_in(self.directory) in ([], [JOURNAL, PART])
            return come
        assert out.read_bytes() == self.data
        assert names_in(self.directory) == ["b.bin"]
        assert come.verified == "file"
        if not come.restarts:
            assert come.resumed_from + come.bytes_received == len(self.data), "no byte that was good is fetched twice"
        return come

    async def live(self) -> tuple[int, bool]:
        """Download under faults, and if that fails, once more without; return the number of faults, and whether it failed."""
        async with FaultServer(self.store, block_size=BLOCK) as server:
            server.default = key = server.script(*self.script)
            first = await self.get(server)
            if isinstance(first, UnspoolError):
                server.default = None
                again = await self.get(server)
                assert isinstance(again, Result), again
        fired = iter(self.script)
        assert all(fault in fired for fault in server.fired(key)), "they happen in the order of the script"
        return len(server.fired(key)), isinstance(first, UnspoolError)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", shards(normal=60, deep=2_000, size=20), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_no_schedule_of_faults_over_sockets_breaks_a_promise(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every seed the file is right or absent, requests are for missing bytes only, and a second run succeeds."""
    monkeypatch.setattr("unspool.client.unfinished.segment_size_for", lambda _: SEGMENT)
    monkeypatch.setattr("unspool.client.unfinished._CHECKPOINT_INTERVAL", 0.0)
    happened = failed = 0
    for seed in seeds:
        with repeatable(seed, "test_schedules_grpc.py"), TemporaryDirectory() as directory:
            faults, was_failure = asyncio.run(Schedule(seed, Path(directory)).live())
        happened += faults
        failed += was_failure
    if len(seeds) > 1:  # the schedules have an effect, and do not end every download
        assert happened > len(seeds)
        assert failed < len(seeds) * 3 // 4
