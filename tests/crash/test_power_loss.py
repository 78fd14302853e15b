"""A power cut at any moment of a download: what is left is never mistaken for good data."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from disk_model import Recorder, after_power_loss
from unspool import Client, MemoryStore, RetryPolicy, TransferOptions
from unspool.core import segments
from unspool.errors import LocalFileError, UnspoolError
from unspool.testing import FakeClock
from unspool.testing.faults import FaultyTransport, StoreTransport

BLOCK = 4096
PART, JOURNAL = "out.unspool-part", "out.unspool-journal"
SEGMENT = 4 * BLOCK
OPTIONS = TransferOptions(block_size=BLOCK, retry=RetryPolicy(budget=0))

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))
RUNS = 60 if DEEP else 6
STATES_PER_STEP = 20 if DEEP else 2


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SIZE", SEGMENT)


async def _get(store: MemoryStore, destination: Path, script: str = "", *, overwrite: bool = True) -> None:
    """Get the file once; the download may be interrupted."""
    clock = FakeClock()
    transport = FaultyTransport(StoreTransport(store), script, clock=clock)
    options = TransferOptions(block_size=BLOCK, retry=RetryPolicy(budget=0), overwrite=overwrite)
    async with Client(transport=transport, clock=clock, random=Random(0), options=options) as client:
        await client.get("f", destination)


@pytest.mark.parametrize("seed", range(RUNS))
async def test_after_a_power_cut_the_file_is_whole_or_absent_and_the_next_run_completes_it(seed: int, tmp_path: Path) -> None:
    """Whatever the disk kept of an interrupted and resumed download, the final name is right, and so is the next run."""
    random = Random(seed)
    data = random.randbytes(random.choice([0, 1, BLOCK, SEGMENT, 5 * SEGMENT + 17, 9 * SEGMENT]))
    store = MemoryStore({"f": data})
    before = {"out": b"what was there before"} if seed % 3 == 0 else {}
    lived = tmp_path / "lived"
    lived.mkdir()
    for name, old in before.items():
        (lived / name).write_bytes(old)
    recorder = Recorder(lived)
    with recorder.recording():
        for _ in range(random.randint(0, 3)):  # interrupted a few times, then completed
            try:
                await _get(store, lived / "out", "." * random.randint(1, 30) + "x", overwrite=seed % 3 == 0)
            except UnspoolError:
                continue
        await _get(store, lived / "out", overwrite=seed % 3 == 0)
    assert (lived / "out").read_bytes() == data

    right = {None, before.get("out"), data}
    for length in range(len(recorder.steps) + 1):
        for state in range(STATES_PER_STEP):
            left = after_power_loss(recorder.steps[:length], before, random)
            assert left.get("out") in right, f"seed {seed}, power cut after step {length}: a wrong file at the final name"
            again = tmp_path / f"{length}-{state}"
            again.mkdir()
            left.put(again)
            if left.get(PART) and left.get(JOURNAL) is None and left.names[PART] != left.names.get("out"):
                # Its bytes reached the disk before its journal's name, which hardly any file system allows. It cannot be told
                # from a file of the user's, so the user is asked to look.
                with pytest.raises(LocalFileError, match="no journal beside it"):
                    await _get(store, again / "out")
                (again / PART).unlink()
            await _get(store, again / "out")
            assert {path.name: path.read_bytes() for path in again.iterdir()} == {"out": data}


async def test_the_model_does_lose_what_was_not_synced(tmp_path: Path) -> None:
    """The check can fail: the same model detects a download that renames without syncing."""
    recorder = Recorder(tmp_path)
    data = Random(1).randbytes(3 * SEGMENT)
    with recorder.recording():
        await _get(MemoryStore({"f": data}), tmp_path / "out")
    careless = [step for step in recorder.steps if step.kind != "sync"]
    random = Random(2)
    found = {after_power_loss(careless, {}, random).get("out") for _ in range(200)}
    assert found - {None, data}
