"""The files of an earlier run, damaged in any way: the next run succeeds, with the right bytes."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from client.lab import BLOCK, DATA, JOURNAL, PART, Lab, content
from evidence.seeds import repeatable, shards
from unspool.errors import LocalFileError, UnreachableError

SEGMENT = 2 * BLOCK


def damage(path: Path, random: Random) -> None:
    """Change a file as only a person, or a broken disk, would."""
    data = bytearray(path.read_bytes())
    at = random.randrange(len(data) + 1)
    match random.randrange(8):
        case 0:
            path.unlink()
            return
        case 1:
            del data[at:]
        case 2:
            data += random.randbytes(random.randrange(1, 2 * SEGMENT))
        case 3:
            data[at:at] = random.randbytes(random.randrange(1, 50))
        case 4:
            data[at : at + SEGMENT] = bytes(len(data[at : at + SEGMENT]))
        case 5:
            data = bytearray(random.randbytes(len(data)))
        case 6:
            data.clear()
        case _:
            for _ in range(random.randrange(1, 4)):
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


async def leave(directory: Path, random: Random) -> None:
    """Leave the files of a run that broke, possibly one of another revision."""
    blocks = random.randrange(1, 10)
    lab = Lab("." * blocks + "x", budget=0)
    other = random.random()
    if other < 0.2:
        lab.change(content(len(DATA), seed=blocks))
    elif other < 0.4:
        lab.change(DATA[:-1])
    with pytest.raises(UnreachableError):
        await lab.get(directory / "b.bin")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", shards(normal=300, deep=10_000, size=150), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
async def test_damage_by_hand_never_reaches_the_final_name(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    """If part file and journal are edited, cut, lengthened, emptied, removed or exchanged, the next run has the right bytes.

    A part file whose journal was removed is refused, because it may belong to the user.
    """
    monkeypatch.setattr("unspool.client.unfinished.segment_size_for", lambda _: SEGMENT)
    monkeypatch.setattr("os.fsync", lambda _: None)
    built_upon = 0
    for seed in seeds:
        random = Random(seed)
        with repeatable(seed, "test_damage.py"), TemporaryDirectory() as name:
            directory = Path(name)
            await leave(directory, random)
            for path in random.choice(([PART], [PART], [JOURNAL], [PART, JOURNAL])):
                damage(directory / path, random)
            lab = Lab()
            if (directory / PART).exists() and not (directory / JOURNAL).exists() and (directory / PART).stat().st_size:
                with pytest.raises(LocalFileError, match="no journal beside it"):  # it may belong to the user
                    await lab.get(directory / "b.bin")
                (directory / PART).unlink()
            result = await lab.get(directory / "b.bin")
            assert (directory / "b.bin").read_bytes() == DATA
            assert [path.name for path in directory.iterdir()] == ["b.bin"]
            assert result.verified == "file"
            assert result.resumed_from + result.bytes_received == len(DATA) or result.restarts
        built_upon += result.resumed_from > 0
    if len(seeds) > 1:
        assert built_upon > len(seeds) // 20, "what is still good is used"
