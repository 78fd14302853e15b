"""A power cut at any moment of an upload: the server has the whole file or what was there, and no byte less than it said."""

from __future__ import annotations

import os
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from disk_model import Recorder, after_power_loss
from unspool.core import journal as journals
from unspool.core import segments
from unspool.core.acceptor import Acceptor, good_spans
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo
from unspool.core.uploading import ANYTHING, IF_ABSENT, Condition, UploadCommit, UploadOpen
from unspool.errors import AlreadyExistsError
from unspool.ingest.base import Upload
from unspool.ingest.local import LocalIngester

BLOCK = 4096
SEGMENT = 4 * BLOCK
ID = bytes(16)
STAGING = ".unspool-uploads"
BELOW = (STAGING, f"{STAGING}/done", "dir")

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))
RUNS = 40 if DEEP else 5
STATES_PER_STEP = 4 if DEEP else 1


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SIZE", SEGMENT)


async def _send(upload: Upload, data: bytes, blocks: int | None = None) -> bool:
    """Send what is missing, at most so many blocks; return whether everything is there."""
    acceptor = Acceptor(block_size=BLOCK)
    acceptor.open(UploadOpen(ID, "dir/a", size=len(data)))
    acceptor.begin(upload.table)
    for good in good_spans(acceptor.table):
        assert good.crc32c == crc32c(data[good.span.start : good.span.stop]), "wrong bytes are taken for good ones"
    while (gap := acceptor.table.first_gap(len(data))) is not None:
        if blocks is not None:
            if not blocks:
                return False
            blocks -= 1
        run = data[gap.start : min(gap.stop, gap.start - gap.start % BLOCK + BLOCK)]
        block = Block(gap.start, run, crc32c(run))
        assert acceptor.accept(block) == "write"
        await upload.write(block)
    acceptor.commit(UploadCommit(len(data), crc32c(data)))
    return True


@pytest.mark.parametrize("seed", range(RUNS))
async def test_after_a_power_cut_an_upload_goes_on_or_is_committed(seed: int, tmp_path: Path) -> None:
    """The name has the whole file or what was there; what was said to be durable is there; the file is committed once."""
    random = Random(seed)
    data = random.randbytes(random.choice([0, 1, BLOCK, SEGMENT, 3 * SEGMENT + 17]))
    before = {"dir/a": b"what was there before"} if seed % 2 else {}
    condition = ANYTHING if seed % 2 else IF_ABSENT
    opens = UploadOpen(ID, "dir/a", size=len(data), condition=condition)
    lived = tmp_path / "lived"
    (lived / "dir").mkdir(parents=True)
    for name, old in before.items():
        (lived / name).write_bytes(old)
    recorder = Recorder(lived, BELOW)
    told = [(0, 0)]  # after so many steps, so many bytes were said to be durable
    with recorder.recording():
        ingester = LocalIngester(lived)
        for _ in range(random.randint(0, 3)):
            upload = await ingester.open(opens, "")
            assert not isinstance(upload, FileInfo)
            async with aclosing(upload):
                await _send(upload, data, random.randint(0, 9))
                if random.random() < 0.5:
                    durable = await upload.sync()
                    told.append((len(recorder.steps), durable))
        upload = await ingester.open(opens, "")
        assert not isinstance(upload, FileInfo)
        async with aclosing(upload):
            assert await _send(upload, data)
            await upload.commit(len(data))
        committed = len(recorder.steps)
        await ingester.aclose()
    assert (lived / "dir/a").read_bytes() == data

    for length in range(len(recorder.steps) + 1):
        for state in range(STATES_PER_STEP):
            left = after_power_loss(recorder.steps[:length], before, random)
            there = left.get("dir/a")
            assert there in {None, before.get("dir/a"), data}, f"power cut after step {length}: a wrong file at the final name"
            assert length < committed or there == data, "a committed file is gone"
            again = tmp_path / f"{length}-{state}"
            (again / "dir").mkdir(parents=True)
            _renumber(again, left.put(again))
            await _come_back(again, replace(opens), data, max(size for after, size in told if after <= length))


def _renumber(directory: Path, first: dict[int, Path]) -> None:
    """Have the journals name the part files by the numbers that they have now."""
    for path in [*directory.glob(f"{STAGING}/*-synced*"), *directory.glob(f"{STAGING}/done/*")]:
        journal = journals.decode(path.read_bytes())
        if journal is not None and journal.revision is not None:
            number = first.get(int(journal.revision, 16))
            if number is not None:
                path.write_bytes(replace(journal, revision=f"{number.stat().st_ino:x}").encode())


async def _come_back(directory: Path, opens: UploadOpen, data: bytes, durable: int) -> None:
    """Do what the client does after the power came back, and check what it finds."""
    ingester = LocalIngester(directory)
    try:
        upload = await ingester.open(opens, "")
    except AlreadyExistsError:
        # The rename was kept, and nothing that says whose it was: only possible if the name was the last to become durable.
        raise AssertionError("the client's own file is taken for another's") from None
    if not isinstance(upload, FileInfo):
        async with aclosing(upload):
            assert upload.table.good_bytes >= durable, "less is there than was said to be durable"
            assert await _send(upload, data)
            await upload.commit(len(data))
    assert isinstance(await ingester.open(replace(opens, condition=Condition(revision="x")), ""), FileInfo)
    assert (directory / "dir/a").read_bytes() == data
    await ingester.sweep()
    await ingester.aclose()
    assert {path.name for path in (directory / STAGING).iterdir()} == {"done", "locks", "small", "storage", "wanted"}
    assert len(list((directory / STAGING / "done").iterdir())) == 1


async def test_after_a_power_cut_a_file_is_there_or_deleted(tmp_path: Path) -> None:
    """A file that was deleted does not come back once that was answered. Before, the name has the whole file or nothing."""
    lived, before = tmp_path / "lived", {"dir/a": b"all of it"}
    (lived / "dir").mkdir(parents=True)
    (lived / "dir/a").write_bytes(before["dir/a"])
    recorder = Recorder(lived, BELOW)
    ingester = LocalIngester(lived)
    with recorder.recording():
        await ingester.delete("dir/a")
    await ingester.aclose()
    assert "remove" in [step.kind for step in recorder.steps]
    for length in range(len(recorder.steps) + 1):
        found = {
            after_power_loss(recorder.steps[:length], {"dir/a": b"all of it"}, Random(seed)).get("dir/a") for seed in range(20)
        }
        assert found <= {None, b"all of it"}
        assert length < len(recorder.steps) or found == {None}, "a deleted file is there again"
