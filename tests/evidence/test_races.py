"""Three clients with one destination, which are killed and stopped while files are removed and the source is replaced."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest

from evidence.seeds import repeatable, shards
from processes import ENVIRONMENT, UNSPOOL, Serving, serving, unspool

MIB = 1 << 20

SIZE = 24 * MIB

ENDS = {0, 5, 8, 9, -signal.SIGKILL}
"""Done; changed too often; the part file was removed; another process holds the download; killed."""


def version(number: int) -> bytes:
    """Return the version of the file; no two versions share a block."""
    return Random(number).randbytes(MIB) * (SIZE // MIB)


def replace(source: Path, number: int) -> None:
    """Replace the file by another version, with a rename."""
    new = source.with_name("new")
    new.write_bytes(version(number))
    new.rename(source)


def trouble(random: Random, clients: list[subprocess.Popen[bytes]], destination: Path, source: Path, number: int) -> None:
    """Cause one of the events."""
    one = random.choice(clients)
    match random.randrange(5):
        case 0:
            one.kill()
        case 1 if one.poll() is None:
            one.send_signal(signal.SIGSTOP)
            time.sleep(random.random() * 0.1)
            one.send_signal(signal.SIGCONT)
        case 2:
            destination.with_name("out.unspool-part").unlink(missing_ok=True)
        case 3:
            destination.with_name("out.unspool-journal").unlink(missing_ok=True)
            destination.with_name("out.unspool-part").unlink(missing_ok=True)
        case _:
            replace(source, number)


def race(random: Random, server: Serving, source: Path, destination: Path, first: int) -> int:
    """Run three clients while events happen; return how many clients succeeded."""
    command = [*UNSPOOL, "get", "--quiet", f"{server.address}/{source.name}", str(destination)]
    replace(source, first)
    clients = [
        subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(random.randrange(2, 4))
    ]
    try:
        time.sleep(0.2 + random.random() * 0.5)  # they take about that long to begin
        for number in range(first + 1, first + 5):
            time.sleep(random.random() * 0.06)
            trouble(random, clients, destination, source, number)
        said = [client.communicate(timeout=60)[1].decode() for client in clients]
    finally:
        for client in clients:
            client.kill()
    codes = [client.returncode for client in clients]
    assert set(codes) <= ENDS, (codes, said)
    whole = [version(number) for number in range(first, first + 5)]
    if destination.exists():
        assert destination.read_bytes() in whole, codes
    else:
        assert 0 not in codes, (codes, said)
    return codes.count(0)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seeds", shards(normal=6, deep=300, size=3), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_clients_race_for_one_destination(seeds: range, tmp_path: Path) -> None:
    """The final name always has one complete version, put there by clients that exit with 0; one more run gets the last."""
    root = tmp_path / "root"
    root.mkdir()
    with serving(root, tmp_path / "log") as server:
        for seed in seeds:
            random = Random(seed)
            destination = tmp_path / f"here-{seed}" / "out"
            destination.parent.mkdir()
            with repeatable(seed, "test_races.py"):
                race(random, server, root / "f", destination, seed * 10)
                destination.with_name("out.unspool-part").unlink(missing_ok=True)  # its journal may have been removed
                done = unspool("get", f"{server.address}/f", destination)
                assert done.code == 0, done.err
                assert destination.read_bytes() == (root / "f").read_bytes()
                assert [path.name for path in destination.parent.iterdir()] == ["out"]
