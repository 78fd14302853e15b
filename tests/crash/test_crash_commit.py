"""Kills during a commit: the process dies before and after each of its file system calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract.partfile_contract import bytes_of, part_at, recheck

DATA = bytes_of(10_000)

DYING = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[4].split(os.pathsep)
from contract.partfile_contract import blocks_of, bytes_of, journal_for, part_at

calls = int(sys.argv[2])

def dying(name):
    real = getattr(os, name)
    def call(*args, **kwargs):
        global calls
        calls -= 1
        if calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        calls -= 1
        if calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(os, name, call)

data = bytes_of(10_000)
part = part_at(Path(sys.argv[1]))
part.acquire()
part.begin(journal_for(len(data)))
for block in blocks_of(data):
    part.write(block, checkpoint=True)
for name in ("ftruncate", "fchmod", "fsync", "link", "replace", "unlink"):
    dying(name)
part.commit(len(data), overwrite=sys.argv[3] == "overwrite")
"""


def committed_until_killed(destination: Path, calls: int, how: str) -> bool:
    """Commit in a process that kills itself at a call; return whether it was killed."""
    done = subprocess.run(
        [sys.executable, "-c", DYING, destination, str(calls), how, os.pathsep.join(sys.path)], capture_output=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


@pytest.mark.parametrize(("how", "before"), [("overwrite", b"old"), ("overwrite", None), ("keep", None)])
def test_a_commit_that_is_killed_anywhere_is_finished_by_the_next_run(tmp_path: Path, how: str, before: bytes | None) -> None:
    """Wherever the process dies, the name has the old file or the complete new one; the next run completes the commit."""
    kills = 0
    for calls in range(1, 40):
        directory = tmp_path / str(calls)
        directory.mkdir()
        destination = directory / "a.bin"
        if before is not None:
            destination.write_bytes(before)
        killed = committed_until_killed(destination, calls, how)
        there = destination.read_bytes() if destination.exists() else None
        assert there in (before, DATA)
        if not killed:
            break
        kills += 1
        part = part_at(destination)
        part.acquire()
        if there == DATA:
            assert part.journal is None, "what is finished is not gone on with"
            part.discard()
        else:
            assert recheck(part) == len(DATA)
            part.commit(len(DATA), overwrite=how == "overwrite")
        assert destination.read_bytes() == DATA
        assert [path.name for path in directory.iterdir()] == ["a.bin"]
    assert kills >= 10
