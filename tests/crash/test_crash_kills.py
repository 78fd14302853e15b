"""A client that is killed, again and again: what it may cost, and what it may never do."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from crash.roomy import roomy
from gate import Gate
from processes import Serving, eventually, running, serving, size_of, unspool
from unspool import Client, MemoryStore, RetryPolicy, TransferOptions
from unspool.core.segments import SEGMENT_SIZE
from unspool.errors import UnreachableError
from unspool.testing import FaultyStore, serve

MIB = 1 << 20

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))

SIZE = 4096 * MIB if DEEP else 256 * MIB

KILLS = 20

IN_FLIGHT = 24 * MIB
"""Most bytes that a server has handed to gRPC and a client has not seen: in windows of HTTP/2, both kernels, and the gate."""


@dataclass
class Killed:
    """What was there when a client was killed."""

    content: int
    reads_before: int


@dataclass
class Scene:
    """A server with one big file, and the place where it is to go."""

    server: Serving
    source: Path
    out: Path
    killed: list[Killed] = field(default_factory=list)

    @property
    def here(self) -> int:
        """How many bytes the part file has."""
        return size_of(self.out.with_name(self.out.name + ".unspool-part"))

    def get_and_kill(self, random: Random) -> None:
        """Begin to download, and kill the client at a random moment while bytes arrive, or before they do."""
        goal = self.here + random.randrange(SIZE // KILLS)
        with (
            Gate(self.server.address, goal - self.here + SEGMENT_SIZE + 8 * MIB) as gate,
            running("get", "--quiet", f"{gate.address}/big.bin", self.out) as client,
        ):
            if random.random() < 0.2:  # before there are bytes
                eventually(lambda: gate.connections)
            else:
                eventually(lambda: self.here >= goal)
            client.kill()
            client.wait()
        assert not self.out.exists(), "nothing is at the final name before the end"
        self.killed.append(Killed(self.here, len(self.server.reads())))


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Serve one big file of random bytes."""
    with roomy(2 * SIZE) as directory:
        root = directory / "root"
        root.mkdir()
        random = Random(3)
        tile = random.randbytes(8 * MIB)
        with (root / "big.bin").open("wb") as file:
            for at in range(0, SIZE, len(tile)):
                file.write(at.to_bytes(8) + tile[8:])
        with serving(root, directory / "log") as server:
            (directory / "here").mkdir()
            yield Scene(server, root / "big.bin", directory / "here" / "big.bin")


@pytest.mark.timeout(900 if DEEP else 120)
def test_a_client_killed_again_and_again_gets_there(scene: Scene) -> None:
    """Killed at random moments, `get` goes on each time: a kill costs a segment at most, and the bytes are right in the end."""
    random = Random(4)
    for _ in range(KILLS):
        scene.get_and_kill(random)
    done = unspool("get", "--json", f"{scene.server.address}/big.bin", scene.out)
    assert done.code == 0, done.err
    assert '"verified": "file"' in done.out.decode()
    assert [path.name for path in scene.out.parent.iterdir()] == ["big.bin"]
    assert _same(scene.source, scene.out)

    assert len({killed.content for killed in scene.killed}) > KILLS // 2, "the kills were at different moments"

    # Each run reads once, unless it was killed before. The server's log says from where.
    reads = eventually(lambda: found if (found := scene.server.reads())[-1]["outcome"] == "OK" else [])
    starts = [int(str(read["start"])) for read in reads]
    assert all(earlier <= later for earlier, later in pairwise(starts)), "progress is never lost"
    assert len(starts) > KILLS // 2
    for killed in scene.killed:
        after = [start for start in starts[killed.reads_before :] if start]
        if killed.content >= SEGMENT_SIZE:
            assert after, "the kill cost everything"
            assert killed.content - after[0] <= SEGMENT_SIZE
    twice = sum(int(str(read["bytes"])) for read in reads) - SIZE
    assert 0 <= twice <= KILLS * (SEGMENT_SIZE + IN_FLIGHT)


def _same(one: Path, other: Path) -> bool:
    if size_of(one) != size_of(other):
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while piece := left.read(8 * MIB):
            if piece != right.read(8 * MIB):
                return False
    return True


async def test_what_a_killed_writer_of_the_journal_left_goes_too(tmp_path: Path) -> None:
    """A journal that was being written when its process was killed is not left behind by the run that completes the file."""
    data = bytes(range(256)) * 40
    store = FaultyStore(MemoryStore({"a": data}))
    options = TransferOptions(retry=RetryPolicy(budget=0), block_size=1024)
    async with serve(store) as address, Client(address, options=options) as client:
        store.fail(UnreachableError("cut"), at=5000)
        with pytest.raises(UnreachableError):
            await client.get("a", tmp_path / "out")
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"out.unspool-part", "out.unspool-journal"}
        (tmp_path / "out.unspool-journal.new").write_bytes(b"unspool-jour")
        result = await client.get("a", tmp_path / "out")
    assert result.resumed_from > 0
    assert (tmp_path / "out").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
