"""Coarse time stamps: how long the store waits before it reads a file, and that readers get no mix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stores.disk import overwrite
from unspool.stores import LocalStore, localsmall
from unspool.stores.stamps import COARSEST_NS, TICK_NS, seconds_until_a_write_shows
from unspool.testing.stock import BYTES, good

OTHER = bytes(byte ^ 0xFF for byte in BYTES)
SECOND = 10**9
NOW = 1_795_555_189 * SECOND
LAG = 10_000_000
"""How far the time that Linux stamps files with may lag, in nanoseconds."""


def waiting_at(now: int, stamp: int) -> float:
    """Return how long the store waits at a time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: now)
        return seconds_until_a_write_shows(stamp)


@given(
    step=st.sampled_from([1, 1000, 10**6, 10**7, SECOND, 2 * SECOND]),
    within=st.integers(0, 4 * SECOND),
    ago=st.integers(0, 4 * SECOND),
    ahead=st.one_of(st.just(0), st.integers(0, 3600 * SECOND)),
    lags=st.tuples(st.integers(0, LAG), st.integers(0, LAG)),
)
@example(step=2 * SECOND, within=0, ago=0, ahead=0, lags=(0, LAG))
@example(step=SECOND, within=0, ago=SECOND, ahead=0, lags=(0, LAG))
def test_a_write_after_the_wait_gets_another_stamp(step: int, within: int, ago: int, ahead: int, lags: tuple[int, int]) -> None:
    """Bytes written after the wait have another stamp, however coarse stamps are and however far ahead that clock is."""
    now = NOW + within
    its_clock = now + ahead
    stamp = (its_clock - ago - lags[0]) // step * step
    later = its_clock + round(waiting_at(now, stamp) * 1e9)
    assert (later - lags[1]) // step * step > stamp


@given(age=st.integers(-(10**13), 10**13), within=st.integers(0, 4 * SECOND))
def test_a_wait_is_short_and_rare(age: int, within: int) -> None:
    """The wait is at most 2 s, and zero for a file that changed longer ago; with fine stamps it is at most a tick."""
    now = NOW + within
    wait = waiting_at(now, now - age)
    assert 0 <= wait <= (COARSEST_NS + TICK_NS) / 1e9
    assert not wait or age < COARSEST_NS + TICK_NS
    assert wait <= TICK_NS / 1e9 or not (now - age) % SECOND


@pytest.fixture(params=[1, 2], ids=lambda seconds: f"{seconds} s")
def _coarse(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stamps are cut to whole seconds, one or two."""
    step = request.param * SECOND
    real = os.fstat

    def coarse(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        stamps = {name: getattr(status, name) // step * step for name in ("st_mtime_ns", "st_ctime_ns")}
        return os.stat_result(tuple(status), stamps | {"st_atime_ns": 0, "st_blksize": 0, "st_blocks": 0, "st_rdev": 0})

    monkeypatch.setattr(os, "fstat", coarse)


@pytest.mark.usefixtures("_coarse")
async def test_small_files_do_not_mix_within_a_second(root: Path, store: LocalStore) -> None:
    """Small files rewritten within a second after a read have another revision; a batch of new files waits only once."""
    names = [f"{number:02}" for number in range(40)]
    for name in names:
        overwrite(root / name, BYTES)
    began = time.monotonic()
    read: list[Any] = []
    while len(read) < len(names):
        read += await store.read_small(names[len(read) :], 1 << 20)
    assert time.monotonic() - began < 4, "each file was waited for by itself"
    for name, answer in zip(names, read, strict=True):
        overwrite(root / name, OTHER)
        assert good(answer)[1] == BYTES
    revisions = {good(answer)[0].revision for answer in read}
    assert revisions.isdisjoint({(await store.stat(name)).revision for name in names})


async def test_what_is_there_does_not_wait_for_a_file_that_is_new(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file that needs a wait is left to the next call if others are already there."""
    for name in ("a", "b", "c"):
        overwrite(root / name, name.encode())
    new = (root / "b").stat().st_ctime_ns
    slept: list[float] = []
    monkeypatch.setattr(localsmall, "seconds_until_a_write_shows", lambda stamp: 0.9 if stamp == new and not slept else 0.0)
    monkeypatch.setattr(time, "sleep", slept.append)
    assert [good(answer)[1] for answer in await store.read_small(["a", "b", "c"], 1000)] == [b"a"]
    assert slept == []
    assert good((await store.read_small(["b", "c"], 1000))[0])[1] == b"b"
    assert slept == [0.9]


_MOUNTED = """
set -e
mkfs.ext4 -q -F -I 128 image > /dev/null 2>&1 || exit 77
mkdir -p coarse
mount -o loop image coarse || exit 77
exec "$@"
"""


def test_a_disk_with_whole_seconds_mixes_nothing(tmp_path: Path) -> None:
    """On ext4 with whole seconds, a file rewritten within the second gives no mix, and no two versions at one revision."""
    with (tmp_path / "image").open("wb") as image:
        image.truncate(8 << 20)
    program = Path(__file__).with_name("on_a_coarse_disk.py")
    # A mount in a mount namespace disappears with the namespace's last process.
    command = ["unshare", "--mount", "sh", "-c", _MOUNTED, "sh", sys.executable, str(program), "coarse"]
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode in {1, 77} and not done.stdout:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert outcomes["whole seconds"], "the file system is a fine one"
    assert set(outcomes["read"] + outcomes["read small"]) <= {"changed", "old"}
