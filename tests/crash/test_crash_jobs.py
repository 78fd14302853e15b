"""A client with several streams that is killed: all streams resume."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from crash.roomy import roomy
from gate import Gate
from processes import Serving, eventually, running, serving, unspool
from unspool.core.journal import decode
from unspool.core.segments import SEGMENT_SIZE
from unspool.options import ServiceOptions

MIB = 1 << 20

SIZE = 384 * MIB

JOBS = 4

KILLS = 8

LARGEST_BLOCK = ServiceOptions().largest_block


class Scene:
    """A server with one big file, and the destination."""

    def __init__(self, server: Serving, directory: Path) -> None:
        self.server = server
        self.source = directory / "root" / "big.bin"
        self.out = directory / "here" / "big.bin"
        self.part = self.out.with_name("big.bin.unspool-part")

    @property
    def here(self) -> int:
        """Return how many bytes the part file really has. It has holes, so its pages are counted."""
        return self.part.stat().st_blocks * 512 if self.part.exists() else 0

    @property
    def good(self) -> int:
        """Return how many bytes are good according to the journal."""
        journal = decode(self.out.with_name("big.bin.unspool-journal").read_bytes())
        assert journal is not None
        return sum(segment.length for segment in journal.segments.values())

    def get_and_kill(self, random: Random) -> None:
        """Begin a download, and kill the client at a random moment while bytes arrive."""
        goal = self.here + random.randrange(SIZE // KILLS)
        with (
            Gate(self.server.address, goal - self.here + JOBS * (SEGMENT_SIZE + 8 * MIB)) as gate,
            running("get", "--quiet", f"--jobs={JOBS}", f"{gate.address}/big.bin", self.out) as client,
        ):
            eventually(lambda: self.here >= goal)
            client.kill()
            client.wait()


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Serve one big file of random bytes."""
    with roomy(2 * SIZE) as directory:
        (directory / "root").mkdir()
        (directory / "here").mkdir()
        tile = Random(5).randbytes(8 * MIB)
        with (directory / "root" / "big.bin").open("wb") as file:
            for at in range(0, SIZE, len(tile)):
                file.write(at.to_bytes(8) + tile[8:])
        with serving(directory / "root", directory / "log") as server:
            yield Scene(server, directory)


@pytest.mark.timeout(240)
def test_all_streams_of_a_killed_client_go_on(scene: Scene) -> None:
    """Killed at random moments with four streams, `get` loses at most a segment of each, and the file is right at the end."""
    random = Random(6)
    for _ in range(KILLS):
        scene.get_and_kill(random)
        assert not scene.out.exists(), "nothing is at the final name before the end"
        if scene.here:
            assert scene.here - scene.good <= JOBS * (SEGMENT_SIZE + LARGEST_BLOCK)
    with Gate(scene.server.address, 2 * SIZE) as gate:
        done = unspool("get", "--json", f"--jobs={JOBS}", f"{gate.address}/big.bin", scene.out)
    assert done.code == 0, done.err
    assert gate.connections >= JOBS
    assert '"verified": "file"' in done.out.decode()
    assert [path.name for path in scene.out.parent.iterdir()] == ["big.bin"]
    with scene.source.open("rb") as one, scene.out.open("rb") as other:
        while piece := one.read(8 * MIB):
            assert other.read(8 * MIB) == piece
        assert not other.read(1)
