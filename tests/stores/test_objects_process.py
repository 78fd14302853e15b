"""`unspool serve s3://...` as a user runs it, over a real object store, and over a fake for errors."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from processes import ENVIRONMENT, UNSPOOL, Serving, eventually, running, serving, unspool
from stores.fakes3 import Misbehaviour, fake_s3
from stores.objectservers import BUCKET, KEY, SECRET, s3_store, seaweedfs

BIG = Random(3).randbytes(1 << 20) * 72
SMALL = {f"small/{number % 7}/{number}": b"%d" % number * 200 for number in range(300)}

ENDS = 200 if os.environ.get("UNSPOOL_TEST_DEEP") else 12
"""Processes that end right after an error of the store."""


def environment(port: int) -> dict[str, str]:
    """Return the environment for a server on this machine."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A server of a bucket in SeaweedFS."""
    with seaweedfs(tmp_path) as port:
        objects = s3_store(port)
        objects.put("big.bin", BIG)
        for name, data in SMALL.items():
            objects.put(name, data)
        for name, said in environment(port).items():
            monkeypatch.setitem(ENVIRONMENT, name, said)
        with serving(f"s3://{BUCKET}", tmp_path / "serve.log") as server:
            yield server


def test_the_main_job_over_a_bucket(bucket: Serving, tmp_path: Path) -> None:
    """A download from a bucket that is killed resumes from its last good segment, and ends with the object's bytes."""
    part = tmp_path / "big.bin.unspool-part"
    with running("get", "--quiet", "--limit-rate", "40M", f"{bucket.address}/big.bin", tmp_path) as client:
        eventually(lambda: part.exists() and part.stat().st_blocks * 512 > 34 << 20)
        client.send_signal(signal.SIGKILL)
        client.wait(30)
    done = unspool("get", f"{bucket.address}/big.bin", tmp_path)
    assert done.code == 0, done.err
    assert re.search(r"resumed at \d+ %, the whole file verified$", done.err.strip())
    assert (tmp_path / "big.bin").read_bytes() == BIG
    assert unspool("verify", f"{bucket.address}/big.bin", tmp_path / "big.bin").code == 0


def test_a_tree_of_small_objects(bucket: Serving, tmp_path: Path) -> None:
    """A tree of small objects is fetched in batches, and a second run fetches none."""
    done = unspool("get", "-r", f"{bucket.address}/small", tmp_path / "small")
    assert done.code == 0, done.err
    got = {
        f"small/{path.relative_to(tmp_path / 'small')}": path.read_bytes() for path in (tmp_path / "small").rglob("*/*[0-9]")
    }
    assert got == SMALL
    again = unspool("get", "-r", f"{bucket.address}/small", tmp_path / "small")
    assert f"0 fetched, {len(SMALL)} already here" in again.complaint


def test_an_object_that_is_replaced_during_a_download_is_fetched_anew(bucket: Serving, tmp_path: Path) -> None:
    """If the object changes, the download ends with the new object, and prints that it began again."""
    port = int(ENVIRONMENT["AWS_ENDPOINT_URL"].rpartition(":")[2])
    new = BIG[::-1]
    with running("get", "--limit-rate", "20M", f"{bucket.address}/big.bin", tmp_path) as client:
        eventually((tmp_path / "big.bin.unspool-journal").exists)
        client.send_signal(signal.SIGSTOP)  # the server reads ahead by 32 MiB, and no further
        s3_store(port).put("big.bin", new)
        client.send_signal(signal.SIGCONT)
        _, err = client.communicate(timeout=60)
    assert client.returncode == 0, err
    assert err is not None
    assert b"begun again once" in err
    assert (tmp_path / "big.bin").read_bytes() == new


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        (Misbehaviour(ignores_match=True), 2, "ignores If-Match"),
        (Misbehaviour(statuses=[403] * 20), 4, "denies access"),
        (Misbehaviour(statuses=[404] * 20), 7, "the object store failed (HTTP 404"),
    ],
    ids=["no preconditions", "denied", "odd answer"],
)
def test_a_store_that_cannot_be_served_is_one_line_and_a_code(
    wrong: Misbehaviour, code: int, words: str, tmp_path: Path
) -> None:
    """`serve` tries the store first: an error of the store is one line without credentials."""
    with fake_s3({"a": b"1"}) as server:
        server.wrong = wrong
        done = unspool("serve", f"s3://{BUCKET}", "--listen", "127.0.0.1:0", environment=environment(server.port))
    assert done.code == code
    assert words in done.complaint
    assert f"s3://{BUCKET}" in done.complaint or code == 2
    assert SECRET not in done.err


def test_a_command_that_used_an_object_store_ends_with_its_code() -> None:
    """A process that ends right after an error of the store has the right exit code, every time, and never aborts."""
    with fake_s3({"a": b"1"}) as server:
        server.wrong = Misbehaviour(statuses=[403] * 1000)
        ended: list[int] = []
        for _ in range(ENDS // 4):
            processes = [
                subprocess.Popen(
                    [*UNSPOOL, "serve", f"s3://{BUCKET}", "--listen", "127.0.0.1:0"],
                    env={**ENVIRONMENT, **environment(server.port)},
                    stderr=subprocess.DEVNULL,
                )
                for _ in range(4)
            ]
            ended += [process.wait(60) for process in processes]
    assert ended == [4] * len(ended)
