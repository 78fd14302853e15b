"""A general property: whatever happens on the network, a download keeps its promises.

Hypothesis chooses a script of faults, the size of the file, and its contents after each change. The promises:

1. The final name has the bytes of one revision of the store, or is unchanged.
2. The file gets its final name at most once, and only if its checksum matches.
3. The journal never claims bytes that are not on the disk, or bytes of another revision than the one it names.
4. No byte is fetched twice, except blocks that a fault destroyed and, with several streams, blocks in flight when one ends.
5. Few blocks are in memory at a time; no task, thread, descriptor, lock or file is left behind.
6. After a failure, a second run without faults succeeds, and uses the bytes that the first run kept.
7. The download ends, with success or with an error of unspool.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import cycle
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from weakref import WeakSet

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from client.cancelling import disk_threads, open_files
from client.lab import JOURNAL, NAME, PART, Wrapper, content, names_in
from unspool.client.client import Client
from unspool.client.events import Event, Repairing, Restarting
from unspool.client.results import Result
from unspool.client.transport import Transport
from unspool.core.checksum import crc32c
from unspool.core.journal import Journal, decode
from unspool.core.model import NO_ATTRIBUTES, Attributes, Block, FileInfo, Frame, ReadRequest
from unspool.core.ramp import MOST_STREAMS
from unspool.core.retry import RetryPolicy
from unspool.errors import UnspoolError
from unspool.local.partfile import PartFile
from unspool.options import OnChange, TransferOptions
from unspool.stores import MemoryStore
from unspool.stores.memory import _MemoryFile
from unspool.testing import FakeClock, FaultyTransport, StoreTransport
from unspool.testing.faults import LETTERS

BLOCK = 16

OLD = b"what was here before"

DESTROYED = {"h": 0, "~": 2 * BLOCK, "<": BLOCK + 1}
"""Most bytes that a fault costs; other faults cost a block."""

ON_THE_WAY = 3 * BLOCK
"""Most bytes that a stream has received and not written: a block that waits for the disk, one behind it, one held by
`~`."""

MOST_IN_MEMORY = 5
"""Blocks of a stream: one being written, one waiting for that, one passing through the loop, two that change places."""

sizes = st.one_of(
    st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 39, 40, 41, 3 * BLOCK, 80, 5 * BLOCK]),
    st.integers(0, 30 * BLOCK),
)


@dataclass(frozen=True)
class World:
    """A case that hypothesis chooses.

    Attributes:
        script: the faults.
        sizes: of the file, at first and after each change, repeated.
        segment_size: of the journal.
        budget, on_change: of the transfer.
        knows_checksums: whether the store knows them, or the server has to compute them.
        old: whether another file exists at the destination.
        jobs: streams at the same time, as wished.
    """

    script: str
    sizes: tuple[int, ...]
    segment_size: int
    budget: int
    on_change: OnChange
    knows_checksums: bool
    old: bool
    jobs: int | None = 1


worlds = st.builds(
    World,
    script=st.text(LETTERS, max_size=40),
    sizes=st.lists(sizes, min_size=1, max_size=4).map(tuple),
    segment_size=st.sampled_from([BLOCK, 40, 3 * BLOCK]),
    budget=st.integers(0, 5),
    on_change=st.sampled_from(["restart", "restart", "fail"]),
    knows_checksums=st.booleans(),
    old=st.booleans(),
    jobs=st.sampled_from([1, 1, None, 2, 3, 7]),
)


class Revisions(MemoryStore):
    """A store that remembers every revision of its one file."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.all: dict[str, bytes] = {}
        self._knows_checksums = world.knows_checksums
        self._sizes = cycle(world.sizes)
        self.change()

    def change(self) -> None:
        """Change the file."""
        data = content(next(self._sizes), seed=len(self.all))
        self.all[self.put(NAME, data).revision] = data

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        return self._told(await super().stat(name))

    async def open(self, name: str, revision: str | None = None) -> _MemoryFile:
        """See `Store.open`."""
        file = await super().open(name, revision)
        file.info = self._told(file.info)
        return file

    def _told(self, info: FileInfo) -> FileInfo:
        return info if self._knows_checksums else replace(info, crc32c=None)


class TrackedBlock(Block):
    """A block that can be counted."""

    __hash__ = object.__hash__


class Counting(Wrapper):
    """Counts bytes and blocks that pass.

    Attributes:
        fetched: bytes.
        most: the most blocks that were in memory at one time.
    """

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.fetched = 0
        self.most = 0
        self._alive = WeakSet[TrackedBlock]()

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        async with aclosing(self.inner.read(request)) as frames:
            async for frame in frames:
                yield self._counted(frame)

    def _counted(self, frame: Frame) -> Frame:
        if frame.block is None:
            return frame
        self.fetched += len(frame.block.data)
        block = TrackedBlock(frame.block.offset, frame.block.data, frame.block.crc32c)
        self._alive.add(block)
        self.most = max(self.most, len(self._alive))
        return replace(frame, block=block)


class Run:
    """One download in a world, with checks.

    Attributes:
        result, failed_with: how it ended.
        commits: how often the file got its final name.
        told: the classes of its events.
    """

    def __init__(self, world: World, store: Revisions, directory: Path, script: str) -> None:
        self.result: Result | None = None
        self.failed_with: type[UnspoolError] | None = None
        self.commits = 0
        self.told = set[type[Event]]()  # only their classes, because an error refers to blocks
        self.destination = directory / "b.bin"
        self._world = world
        self._store = store
        self._directory = directory
        self._clock = FakeClock()
        self.counting = Counting(StoreTransport(store))
        self.transport = FaultyTransport(self.counting, script, clock=self._clock, change=store.change)

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        self.told.add(type(event))

    async def run(self) -> None:
        """Download, and check the promises that hold after every run."""
        before = self.destination.read_bytes() if self.destination.exists() else None
        files = open_files()
        options = TransferOptions(
            retry=RetryPolicy(budget=self._world.budget),
            block_size=BLOCK,
            on_change=self._world.on_change,
            jobs=self._world.jobs,
        )
        client = Client(transport=self.transport, clock=self._clock, random=Random(0), options=options)
        try:
            self.result = await client.get(NAME, self.destination, observers=[self])
        except UnspoolError as error:
            self.failed_with = type(error)
        assert self.failed_with is not UnspoolError
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert open_files() == files
        assert disk_threads() == []
        # If several streams are ended together, each leaves its last block with the disk until it is written.
        assert self.counting.most <= (MOST_IN_MEMORY if self._world.jobs == 1 else (MOST_IN_MEMORY + 1) * self.jobs)
        after = self.destination.read_bytes() if self.destination.exists() else None
        if self.result is None:
            assert self.commits == 0
            assert after == before
            assert names_in(self._directory) in (
                [*(["b.bin"] if before is not None else []), JOURNAL, PART],
                [*(["b.bin"] if before is not None else [])],
            )
        else:
            assert self.commits == 1
            assert self.result.revision is not None
            assert after == self._store.all[self.result.revision]
            assert self.result.verified == "file"
            assert self.result.crc32c == crc32c(after)
            assert self.result.size == len(after)
            assert names_in(self._directory) == ["b.bin"]
        self._check_fetched()

    def _check_fetched(self) -> None:
        """Promise 4."""
        if self.told & {Restarting, Repairing}:
            return
        here = self.result.size if self.result else self.kept()
        assert self.counting.fetched <= here + self.may_be_lost()

    def may_be_lost(self) -> int:
        """Return how many bytes may have been fetched in vain."""
        lost = sum(DESTROYED.get(letter, BLOCK) for letter in self.transport.fired)
        if self._world.jobs != 1:
            # A stream whose second half was taken ends in the middle; if another stream fails, a stream ends anywhere.
            lost += ON_THE_WAY * len(self.transport.requests)
        if "^" in self.transport.fired and any(request.block_size is None for request in self.transport.requests):
            lost += max(self._world.sizes)  # the request for the checksum of the whole file has no size
        return lost

    @property
    def jobs(self) -> int:
        """Most streams at a time."""
        return self._world.jobs or MOST_STREAMS

    def kept(self) -> int:
        """Return the number of good bytes in the part file."""
        journal = self._journal()
        return sum(segment.length for segment in journal.segments.values()) if journal else 0

    def _journal(self) -> Journal | None:
        path = self._directory / JOURNAL
        return decode(path.read_bytes()) if path.exists() else None

    def check_journal(self) -> None:
        """Promise 3. Called after every operation on the part file."""
        journal = self._journal()
        if journal is None:
            return
        assert journal.revision is not None
        true = self._store.all[journal.revision]
        there = (self._directory / PART).read_bytes()
        for number, segment in journal.segments.items():
            start = number * journal.segment_size
            piece = there[start : start + segment.length]
            assert len(piece) == segment.length
            assert crc32c(piece) == segment.crc32c
            if ">" not in self._world.script:
                assert piece == true[start : start + segment.length]

    def check_commit(self) -> None:
        """Promise 2. Called when the file has got its final name."""
        self.commits += 1
        assert self.destination.read_bytes() in self._store.all.values()

    def segment_size_for(self, size: int | None) -> int:
        """Return the segment size of the world."""
        return self._world.segment_size

    def part_file(self) -> type[PartFile]:
        """Return a part file whose operations are checked."""
        run = self

        class Watched(PartFile):
            def begin(self, journal: Journal) -> None:
                super().begin(journal)
                run.check_journal()

            def write(self, block: Block, *, checkpoint: bool = False) -> None:
                super().write(block, checkpoint=checkpoint)
                run.check_journal()

            def close(self) -> None:
                super().close()
                run.check_journal()

            def commit(self, size: int, *, overwrite: bool, attributes: Attributes = NO_ATTRIBUTES) -> None:
                super().commit(size, overwrite=overwrite, attributes=attributes)
                run.check_commit()

        return Watched


def live(world: World, directory: Path) -> Iterator[Run]:
    """Download under the world's faults, and if that fails, once more without faults; yields the runs."""
    if world.old:
        (directory / "b.bin").write_bytes(OLD)
    store = Revisions(world)
    for script in (world.script, ""):
        run = Run(world, store, directory, script)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("unspool.client.unfinished.segment_size_for", run.segment_size_for)
            patch.setattr("unspool.client.unfinished.PartFile", run.part_file())
            patch.setattr("unspool.client.unfinished._CHECKPOINT_INTERVAL", 0.0)
            patch.setattr("os.fsync", lambda _: None)  # no power is cut here, and syncing takes nearly all the time
            asyncio.run(run.run())
        yield run
        if run.result is not None:
            return
        # With `fail`, a run that finds bytes of another revision from an earlier run fails, as intended.
        world = replace(world, on_change="restart")
    raise AssertionError(f"a run without faults failed: {run.failed_with}")


EDGE = World("", (BLOCK,), BLOCK, 0, "restart", knows_checksums=True, old=False)


@settings(max_examples=3 * settings().max_examples)
@given(worlds)
@example(replace(EDGE, script="x", sizes=(0,)))
@example(replace(EDGE, script="..>", sizes=(5 * BLOCK,), budget=3))
@example(replace(EDGE, script="..vx..vE", sizes=(100, 0, 200), budget=3))
@example(replace(EDGE, script="~~~~!!!!2<z", sizes=(300,), budget=5, knows_checksums=False))
@example(replace(EDGE, script="....x..E..!..^", sizes=(300,), budget=5, jobs=4))
@example(replace(EDGE, script="..........v", sizes=(300, 200), budget=5, jobs=4))
def test_whatever_happens_a_download_keeps_its_promises(world: World) -> None:
    """For any script of faults and any size, all seven promises hold, and a second run without faults succeeds."""
    with TemporaryDirectory() as directory:
        runs = list(live(world, Path(directory)))
    if len(runs) > 1 and runs[1].result is not None and not runs[1].result.restarts and world.jobs == 1:
        assert runs[1].result.resumed_from + runs[1].result.bytes_received == runs[1].result.size


@settings(max_examples=2 * settings().max_examples)
@given(worlds)
def test_whatever_happens_a_writer_gets_one_revision(world: World) -> None:
    """For any script, a writer gets the beginning of one revision, or all of it if there is no error; so does a reader."""

    async def use(what: str) -> tuple[bytes, UnspoolError | None, Revisions]:
        clock = FakeClock()
        store = Revisions(world)
        transport = FaultyTransport(StoreTransport(store), world.script.replace(">", "."), clock=clock, change=store.change)
        options = TransferOptions(retry=RetryPolicy(budget=world.budget), block_size=BLOCK)
        client = Client(transport=transport, clock=clock, random=Random(0), options=options)
        writer = BytesIO()
        try:
            if what == "get":
                await client.get(NAME, writer)
            else:
                writer.write(await client.read(NAME))
        except UnspoolError as error:
            return writer.getvalue(), error, store
        return writer.getvalue(), None, store

    for what in ("get", "read"):
        written, error, store = asyncio.run(use(what))
        if error is None:
            assert written in store.all.values()
        else:
            assert type(error) is not UnspoolError
            assert any(data.startswith(written) for data in store.all.values())
            assert not written or written not in store.all.values()
