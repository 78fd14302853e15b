"""Tree downloads that are killed repeatedly: files are complete, the record is correct, and the tree gets completed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from random import Random

import pytest

from crash.roomy import roomy
from gate import Gate
from processes import ENVIRONMENT, eventually, peak_memory, running, serving, size_of, unspool
from unspool.core.reserved import HOME
from unspool.local.record import Record

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))

KILLS = 100 if DEEP else 6

FILES = 20_000 if DEEP else 3000

KIB = 1 << 10

EMPTY = 2 * 4 * KIB
"""Bytes of an empty record."""

GROUP = 1000
"""Unnamed files that a kill may cost in one group; files of another group may be in flight."""


def test_a_tree_is_right_wherever_the_process_dies(tmp_path: Path) -> None:
    """A death before any call or any statement leaves complete files and a correct record; the next run completes the tree."""
    tests = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("dying_tree.py"), tmp_path],
        env={**ENVIRONMENT, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 50, "it died at many different places"


# Like `python -m unspool`, but at the end the process writes how much memory it has used.
CLIENT = """
import atexit, pathlib, sys
status = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: status.write_text(pathlib.Path("/proc/self/status").read_text()))
from unspool.cli import main
main()
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system does not say how much memory a process has held"
)
def test_memory_does_not_grow_with_the_tree() -> None:
    """Six times as many files take no more memory, when they are fetched and when they are skipped."""
    peaks = []
    with roomy(100 << 20) as directory:
        for count in (2000, 12_000):
            root, out = directory / f"root{count}", directory / f"out{count}"
            for number in range(count):
                path = root / f"{number % 50}" / f"{number}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"%d" % number)
            with serving(root, directory / "log") as server:
                for _ in range(2):
                    arguments = [str(directory / "status"), "get", "-q", "-r", server.address, str(out)]
                    subprocess.run([sys.executable, "-c", CLIENT, *arguments], env=ENVIRONMENT, check=True)
                    peaks.append(peak_memory(directory / "status"))
    first_small, again_small, first_large, again_large = peaks
    assert first_large - first_small < 8 << 20
    assert again_large - again_small < 4 << 20


def files_in(directory: Path) -> dict[str, bytes]:
    """Return the files with final names."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and HOME not in path.parts
    }


def known_in(tree: Path, names: Iterable[str]) -> int:
    """Return the number of files in the record of a tree."""
    home = os.open(tree / HOME, os.O_RDONLY)
    record = Record(home, tree)
    try:
        return len(record.find([name.encode() for name in names]))
    finally:
        record.close()
        os.close(home)


@pytest.mark.timeout(1800 if DEEP else 120)
def test_a_tree_killed_again_and_again_gets_there() -> None:
    """After kills at random moments, `get --recursive` resumes: a kill costs at most two groups, and leaves no wrong file."""
    random = Random(5)
    files = {f"{number % 13}/{number % 5}/{number}": random.randbytes(4 * KIB) for number in range(FILES)}
    with roomy(4 * FILES * 4 * KIB) as directory:
        root, out = directory / "root", directory / "out"
        for name, data in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        here = 0
        record = out / HOME / "record.sqlite"
        with serving(root, directory / "log") as server:
            for kill in range(KILLS):
                left = (FILES - here) * 4 * KIB
                goal = 3 * left // 4 if not kill else random.randrange(3 * left // 4)
                with (
                    Gate(server.address, goal + 64 * KIB) as gate,
                    running("get", "--quiet", "--recursive", gate.address, out) as client,
                ):
                    # The first run is killed after it has recorded a file, the others at any time.
                    eventually(partial(lambda gate, goal: gate.passed >= goal, gate, goal))
                    if not kill:  # SQLite empties its journal when a transaction is complete
                        eventually(lambda: size_of(record) > EMPTY and not size_of(Path(f"{record}-journal")))
                    client.kill()
                    client.wait()
                named = files_in(out)
                assert all(files[name] == data for name, data in named.items()), "what has a name is whole"
                assert len(named) >= here, "what has a name keeps it"
                here = len(named)
                known = known_in(out, files)
                assert known <= len(named), "the record lags the files"
                assert known > 0, "and survives"
            done = unspool("get", "--json", "--recursive", server.address, out)
            again = unspool("get", "--json", "--recursive", server.address, out)
            server.stop()
            sent = sum(int(str(read["bytes"])) for read in server.reads())
        assert done.code == 0, done.err
        assert files_in(out) == files
        assert sorted(path.name for path in (out / HOME).iterdir()) == ["lock", "record.sqlite"]
        assert json.loads(again.out)["kept"] == FILES
        assert 0 < here < FILES, "the kills came in the middle"
        assert sent - FILES * 4 * KIB <= KILLS * 4 * GROUP * 4 * KIB
