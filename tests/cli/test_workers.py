"""The worker processes behind one port: started, replaced, ended. The workers here are shell commands."""

import asyncio
import dataclasses
import itertools
import logging
import os
import signal

import pytest

from processes import eventually
from unspool.cli import settings
from unspool.cli.settings import Settings
from unspool.cli.workers import Workers, pauses
from unspool.errors import UnspoolError

OBEDIENT = ["sh", "-c", "read told; echo ready; read forever"]

SETTINGS = Settings(
    root="root",
    listen=("127.0.0.1:0",),
    cert=None,
    key=None,
    client_ca=None,
    insecure=False,
    tokens=None,
    jwt_keys=None,
    jwt_audience=None,
    jwt_issuer=None,
    rules=None,
    audit=None,
    audit_grants=False,
    hidden=False,
    workers=1,
    grace=10.0,
    block_size=1000,
    max_block_size=2000,
    max_page_size=100,
    max_streams=1001,
    max_streams_per_peer=7,
    max_connections=3,
    max_open_connections=None,
    max_requests=50.0,
    max_stream_age=None,
    max_stream_bandwidth=900,
    max_bandwidth_per_peer=800,
    max_bandwidth=1000,
    demo=True,
    admin=False,
    bytestream=True,
    log_format="json",
    quiet=True,
)


def is_there(pid: int) -> bool:
    """Return whether a process runs (one that has ended and was not waited for does not count)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# The processes


def test_replacements_come_more_and_more_slowly() -> None:
    """The first replacement starts at once; later waits never get shorter, and have a limit."""
    waits = list(itertools.islice(pauses(), 20))
    assert waits[0] == 0
    assert waits[1:4] == [0.5, 1, 2]
    assert waits == sorted(waits)
    assert waits[-1] == 30


async def test_workers_end_with_the_context() -> None:
    """All workers run inside the context, and none after it."""
    async with Workers(OBEDIENT, [b"1", b"2", b"3"], patience=30) as workers:
        pids = [process.pid for process in workers.running]
        assert len(pids) == 3
        assert all(is_there(pid) for pid in pids)
    assert not any(is_there(pid) for pid in pids)


async def test_a_worker_that_never_was_ready_ends_all() -> None:
    """A worker that ends before it is ready is an error that names it and says how; the others end too."""
    picky = ["sh", "-c", "read told; [ $told = 2 ] && exit 5; echo ready; read forever"]
    workers = Workers(picky, [b"1", b"2", b"3"], patience=30)
    with pytest.raises(UnspoolError, match=r"worker 2 ended before it was ready \(exit 5\)"):
        await workers.__aenter__()
    assert not workers.running


async def test_a_worker_that_does_not_drain_is_killed() -> None:
    """A worker that takes too long to end is killed, so that the parent can end."""
    deaf = ["sh", "-c", "trap '' TERM; read told; echo ready; while :; do sleep 0.01; done"]
    async with Workers(deaf, [b"1"], patience=0.1) as workers:
        (process,) = workers.running
    assert process.returncode == -signal.SIGKILL


async def test_a_worker_that_ends_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """A worker that ends by itself is replaced by one with the same command; the log says which one and why."""
    caplog.set_level(logging.INFO, "unspool.workers")
    async with Workers(OBEDIENT, [b"1", b"2"], patience=30) as workers:
        first = {process.pid for process in workers.running}
        gone = min(first)
        os.kill(gone, signal.SIGKILL)
        async with asyncio.timeout(30):
            while len({process.pid for process in workers.running} - first) != 1 or len(caplog.messages) < 2:
                await asyncio.sleep(0.005)
        (new,) = {process.pid for process in workers.running} - first
        assert first - {process.pid for process in workers.running} == {gone}
    ended, begun = caplog.messages
    number = ended.split()[1]
    assert ended == f"worker {number} (process {gone}) ended (SIGKILL): another begins in 0.0 s"
    assert begun == f"worker {number} is process {new}"


async def test_a_replacement_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """After all have been ready, a worker that cannot start does not end the others: it is tried again, at longer intervals."""
    caplog.set_level(logging.INFO, "unspool.workers")
    once = ["sh", "-c", "read told; echo ready; exit 3"]
    async with Workers(once, [b"1"], patience=30), asyncio.timeout(30):
        while len([line for line in caplog.messages if "ended" in line]) < 2:
            await asyncio.sleep(0.005)
    waits = [line.rpartition(": ")[2] for line in caplog.messages if "ended (exit 3)" in line]
    assert waits == ["another begins in 0.0 s", "another begins in 0.5 s"]


async def test_no_replacement_begins_while_all_end(caplog: pytest.LogCaptureFixture) -> None:
    """If all workers are ended while a replacement is pending, the replacement is not started."""
    once = ["sh", "-c", "read told; echo ready; exit 3"]
    async with Workers(once, [b"1"], patience=30) as workers:
        await asyncio.to_thread(eventually, lambda: any("0.5 s" in line for line in caplog.messages))
    assert not workers.running


# The limits


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_what_is_limited_in_all_is_divided(workers: int) -> None:
    """Each worker gets its share of the total limits, rounded up; limits per peer or stream apply in each worker."""
    whole = SETTINGS.options()
    part = dataclasses.replace(SETTINGS, workers=workers).options()
    for field in ("streams", "connections", "bandwidth", "memory"):
        in_all, of_each = getattr(whole.limits, field), getattr(part.limits, field)
        assert 0 <= of_each * workers - in_all < workers
    for field in ("streams_per_peer", "requests", "stream_age", "stream_bandwidth", "bandwidth_per_peer"):
        assert getattr(part.limits, field) == getattr(whole.limits, field)
    assert part.service == whole.service
    assert part.grace == whole.grace


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_read_ahead_counts_as_memory(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """With an object store, the share of memory of each worker holds its blocks and what it reads ahead."""
    given: list[int] = []
    monkeypatch.setattr(settings, "open_store", lambda _, *, read_ahead, **__: given.append(read_ahead))
    for root in ("s3://bucket/prefix", "root"):
        served = dataclasses.replace(SETTINGS, root=root, workers=workers)
        served.store()
        whole = dataclasses.replace(SETTINGS, workers=workers).options().limits.memory
        assert given[-1] + served.options().limits.memory == whole
    assert given == [whole // 2, 0]
