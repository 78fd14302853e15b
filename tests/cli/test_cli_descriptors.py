"""Few file descriptors: an error before anything begins, or fewer streams; no abort, and every client is served."""

from __future__ import annotations

import asyncio
import resource
import subprocess
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes import ENVIRONMENT, UNSPOOL, serving
from unspool.cli.descriptors import affordable
from unspool.client.client import Client
from unspool.core.retry import RetryPolicy
from unspool.options import LimitOptions, TransferOptions


def limited(soft: int, hard: int) -> Callable[[], None]:
    """Return a function that limits a process before it starts."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("most", [5, 8, 12, 16, 20, 22, 40, 63])
def test_too_few_are_told_in_one_line(tmp_path: Path, most: int) -> None:
    """Exit 8 and a line with advice, where gRPC would abort or Python would print tracebacks."""
    done = subprocess.run(
        [*UNSPOOL, "get", "127.0.0.1:1/a", tmp_path / "a"],
        env=ENVIRONMENT,
        preexec_fn=limited(most, most),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 8
    assert done.stderr.decode().startswith("unspool: only ")
    assert done.stderr.decode().endswith(" more files may be open, and 64 are needed: allow more (`ulimit -n`)\n")


def test_the_soft_limit_is_no_limit(tmp_path: Path) -> None:
    """The process raises its soft limit: a soft limit of 20 below a hard one of 1,000 is no problem."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"hello")
    with serving(tmp_path / "root", tmp_path / "log") as server:
        done = subprocess.run(
            [*UNSPOOL, "cat", f"{server.address}/a"],
            env=ENVIRONMENT,
            preexec_fn=limited(20, 1000),
            capture_output=True,
            check=False,
            timeout=30,
        )
    assert (done.returncode, done.stdout) == (0, b"hello")


@given(st.integers(0, 2000), st.integers(1, 5000), st.integers(1, 5000))
def test_as_many_streams_as_there_are_descriptors_for(free: int, streams: int, connections: int) -> None:
    """Two for each stream, after those that the server keeps for itself; never more than requested, and at least one stream."""
    limits = affordable(LimitOptions(streams=streams, connections=connections), free)
    assert 1 <= limits.streams <= streams
    assert 1 <= limits.connections <= connections
    assert 2 * limits.streams <= max(free - 128, 2)
    if free >= 128 + 2 * max(streams, connections):
        assert (limits.streams, limits.connections) == (streams, connections)


async def test_more_readers_than_descriptors_are_all_served(tmp_path: Path) -> None:
    """A server with 300 descriptors and 150 readers, each on its own connection: some wait, and all get the file."""
    data = Random(0).randbytes(200_000)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "f").write_bytes(data)
    options = TransferOptions(retry=RetryPolicy(budget=50, longest_wait=0.5))
    with serving(tmp_path / "root", tmp_path / "log", "--max-streams-per-peer", "1000", descriptors=300) as server:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client(server.address, options=options)) for _ in range(150)]
            answers = await asyncio.gather(*(client.read("f") for client in clients))
    assert all(answer == data for answer in answers)
    assert "INTERNAL" not in (tmp_path / "log").read_text()
    assert "streams at the same time instead of 1000" in (tmp_path / "log").read_text()
