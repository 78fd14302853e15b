"""Thousands of random schedules of faults, each with a seed: in all of them a download keeps its promises.

The checks are those of `client.test_client_property`, and two more: every request is for missing bytes only, and a download
that is cancelled anywhere can be resumed. Hypothesis searches for rare cases there; here the number counts.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from client import test_client_property as promises
from client.cancelling import cancelling
from client.lab import JOURNAL, NAME
from evidence.asked import Asked
from evidence.seeds import repeatable, shards
from unspool.client.client import Client
from unspool.client.events import Repairing, Restarting
from unspool.client.results import Result
from unspool.core.checksum import crc32c
from unspool.errors import UnspoolError
from unspool.testing.faults import LETTERS

SIZES = (0, 1, promises.BLOCK, 5 * promises.BLOCK)
"""Sizes that are chosen more often than others."""


def world_of(seed: int) -> promises.World:
    """Choose a world: most are good, and in some hardly any frame arrives."""
    random = Random(seed)
    density = random.choice((0.05, 0.2, 0.5))
    faults = LETTERS.replace(".", "")
    return promises.World(
        script="".join(random.choice(faults) if random.random() < density else "." for _ in range(random.randrange(60))),
        sizes=tuple(
            random.choice(SIZES) if random.random() < 0.2 else random.randrange(20 * promises.BLOCK)
            for _ in range(random.randint(1, 4))
        ),
        segment_size=random.choice((promises.BLOCK, 40, 3 * promises.BLOCK)),
        budget=random.randrange(6),
        on_change=random.choice(("restart", "restart", "fail")),
        knows_checksums=random.random() < 0.5,
        old=random.random() < 0.3,
        jobs=random.choice((1, 1, None, 2, 3, 7)),
    )


class CancelledError(UnspoolError):
    """Stands for a cancellation, which is not an error of unspool."""


class Cancelling(Client):
    """Cancels its first download at one of its waits; -1 is none."""

    place = -1

    async def get(self, *args: Any, **kwargs: Any) -> Result:
        """See `Client.get`."""
        place, Cancelling.place = Cancelling.place, -1
        task, _ = await cancelling(super().get(*args, **kwargs), place, late=place % 2 == 1)
        if not task.cancelled():
            return task.result()
        run: Schedule = kwargs["observers"][0]
        if run.commits:
            return run.committed()
        raise CancelledError("cancelled")


class Schedule(promises.Run):
    """A run whose requests are checked too."""

    def __init__(self, world: promises.World, store: promises.Revisions, directory: Path, script: str) -> None:
        super().__init__(world, store, directory, script)
        self.transport = Asked(self.counting, script, clock=self._clock, change=store.change)
        self.transport.journal = directory / JOURNAL
        self.transport.revisions = store.all
        self.transport.alone = world.jobs == 1

    def _check_fetched(self) -> None:
        if self.failed_with is not CancelledError:
            super()._check_fetched()
        elif not self.told & {Restarting, Repairing}:
            assert self.counting.fetched <= self.kept() + self.may_be_lost() + promises.ON_THE_WAY

    def committed(self) -> Result:
        """Return the result that a download would have had if it had not been cancelled after its last step."""
        data = self.destination.read_bytes()
        (revision,) = [revision for revision, known in self._store.all.items() if known == data][-1:]
        path, size, received = str(self.destination), len(data), self.counting.fetched
        return Result(NAME, path, size, revision, "file", crc32c(data), received, 0, 0, 0, 0.0)


def live_through(seed: int, directory: Path) -> list[promises.Run]:
    """Download in the world of a seed, and if that fails, once more without faults; return the runs."""
    random = Random(-seed - 1)
    Cancelling.place = random.randrange(120) if random.random() < 0.2 else -1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promises, "Run", Schedule)
        patch.setattr(promises, "Client", Cancelling)
        return list(promises.live(world_of(seed), directory))


@pytest.mark.parametrize("seed", [573, 26_252])
def test_schedules_that_once_broke_a_promise_do_not_any_more(seed: int) -> None:
    """573: a stream ended by another left a journal of the old revision. 26252: a range was halved behind its own stream."""
    with repeatable(seed, "test_schedules.py"), TemporaryDirectory() as directory:
        assert live_through(seed, Path(directory))[-1].result is not None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", shards(normal=2_000, deep=50_000, size=250), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_no_schedule_of_faults_breaks_a_promise(seeds: range) -> None:
    """For every seed all seven promises hold; the next run uses the bytes of a failed or cancelled one, and succeeds."""
    failed = cancelled = 0
    for seed in seeds:
        with repeatable(seed, "test_schedules.py"), TemporaryDirectory() as directory:
            runs = live_through(seed, Path(directory))
        assert runs[-1].result is not None
        failed += len(runs) > 1
        cancelled += runs[0].failed_with is CancelledError
    if len(seeds) > 100:  # the schedules break many downloads, but not all
        assert len(seeds) // 20 < failed < len(seeds) * 9 // 10
        assert cancelled
