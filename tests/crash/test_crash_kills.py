"""A client that is killed repeatedly: the cost of a kill is bounded, and no byte is wrong."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from crash.roomy import roomy
from gate import Gate
from processes import Outcome, Serving, eventually, running, serving, size_of, unspool
from unspool import Client, MemoryStore, RetryPolicy, ServiceOptions, TransferOptions
from unspool.core.segments import SEGMENT_SIZE
from unspool.errors import UnreachableError
from unspool.testing import FaultyStore, serve

MIB = 1 << 20

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))

SIZE = 4096 * MIB if DEEP else 256 * MIB

KILLS = 200 if DEEP else 20

LARGEST_BLOCK = ServiceOptions().largest_block
"""A block that crosses the edge of a segment is written before the segment is in the journal."""

IN_FLIGHT = 24 * MIB
"""Most bytes that a server has passed to gRPC and a client has not seen: in HTTP/2 windows, both kernels, and the gate."""


@dataclass
class Run:
    """One run of the client: the ports that the server saw, and the length of the part file afterwards."""

    ports: list[int]
    content: int


@dataclass
class Scene:
    """A server with one big file, and the destination."""

    server: Serving
    source: Path
    out: Path
    runs: list[Run] = field(default_factory=list)

    @property
    def here(self) -> int:
        """Return the length of the part file."""
        return size_of(self.out.with_name(self.out.name + ".unspool-part"))

    def get_and_kill(self, random: Random) -> None:
        """Begin a download, and kill the client at a random moment, while bytes arrive or before."""
        goal = self.here + random.randrange(SIZE // KILLS)
        with (
            Gate(self.server.address, goal - self.here + SEGMENT_SIZE + 8 * MIB) as gate,
            running("get", "--quiet", f"{gate.address}/big.bin", self.out) as client,
        ):
            if random.random() < 0.2:  # before any bytes arrive
                eventually(lambda: gate.connections)
            else:
                eventually(lambda: self.here >= goal)
            client.kill()
            client.wait()
        assert not self.out.exists(), "nothing is at the final name before the end"
        self.runs.append(Run(gate.ports, self.here))

    def get(self) -> Outcome:
        """Download to the end."""
        with Gate(self.server.address, 2 * SIZE) as gate:
            done = unspool("get", "--json", f"{gate.address}/big.bin", self.out)
        self.runs.append(Run(gate.ports, SIZE))
        return done

    def reads(self, run: Run) -> list[dict[str, object]]:
        """Return what the server logged of a run; nothing if the run was killed before it read."""
        return [read for read in self.server.reads() if int(str(read["peer"]).rpartition(":")[2]) in run.ports]


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


@pytest.mark.timeout(2400 if DEEP else 120)
def test_a_client_killed_again_and_again_gets_there(scene: Scene) -> None:
    """Killed at random moments, `get` resumes each time: a kill costs at most a segment, and the file is right at the end."""
    random = Random(4)
    for _ in range(KILLS):
        scene.get_and_kill(random)
    done = scene.get()
    assert done.code == 0, done.err
    assert '"verified": "file"' in done.out.decode()
    assert [path.name for path in scene.out.parent.iterdir()] == ["big.bin"]
    assert _same(scene.source, scene.out)
    contents = [run.content for run in scene.runs]
    assert len(set(contents)) > KILLS // 2, "the kills were at different moments"

    # The server's log shows where each run resumed.
    eventually(lambda: scene.reads(scene.runs[-1]))
    starts = _starts(scene)
    begun = [start for start in starts if start is not None]
    assert len(begun) > KILLS // 2
    assert begun == sorted(begun), "progress is never lost"
    for number, content in enumerate(contents[:-1]):
        went_on_at = next(start for start in starts[number + 1 :] if start is not None)
        assert content - went_on_at <= SEGMENT_SIZE + LARGEST_BLOCK
    twice = sum(int(str(read["bytes"])) for read in scene.server.reads()) - SIZE
    assert 0 <= twice <= KILLS * (SEGMENT_SIZE + IN_FLIGHT)


def _starts(scene: Scene) -> list[int | None]:
    """Return where each run's first read began, or None. Ports are reused, so each log line counts for one run only.

    A call that ended before its request arrived has no name, and began nowhere.
    """
    reads = [read for read in scene.server.reads() if read["name"]]
    starts: list[int | None] = []
    for run in scene.runs:
        ours = (read for read in reads if int(str(read["peer"]).rpartition(":")[2]) in run.ports)
        first = next(ours, None)
        if first is not None:
            reads.remove(first)
        starts.append(None if first is None else int(str(first["start"])))
    return starts


def _same(one: Path, other: Path) -> bool:
    if size_of(one) != size_of(other):
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while piece := left.read(8 * MIB):
            if piece != right.read(8 * MIB):
                return False
    return True


async def test_what_a_killed_writer_of_the_journal_left_goes_too(tmp_path: Path) -> None:
    """A journal that was being written at a kill is removed by the run that completes the file."""
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
