"""`unspool serve s3://... --write` as a user runs it, over a real object store."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest

from processes import DEEP, ENVIRONMENT, eventually, running, serving, unspool
from stores.fakes3 import fake_s3
from stores.objectservers import BUCKET, SECRET, free_ports, s3_environment, s3_store
from unspool.core.reserved import UPLOADS
from unspool.core.uploadrecord import decode

BIG = Random(3).randbytes(1 << 20) * 90
ROOT = f"s3://{BUCKET}/process"

KILLS = 20 if DEEP else 2


@pytest.fixture
def port(weed_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """The port of SeaweedFS, with nothing below the prefix; the environment names it."""
    with _named(weed_port, monkeypatch, tmp_path):
        yield weed_port


@pytest.fixture
def gateway(gateway_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """The port of versitygw, as `port` is."""
    with _named(gateway_port, monkeypatch, tmp_path):
        yield gateway_port


@contextmanager
def _named(port: int, monkeypatch: pytest.MonkeyPatch, directory: Path) -> Iterator[None]:
    for name, said in {**s3_environment(port), "XDG_STATE_HOME": str(directory / "state")}.items():
        monkeypatch.setitem(ENVIRONMENT, name, said)
    yield
    objects = s3_store(port, prefix="process")
    for page in objects.list():
        objects.delete([meta["path"] for meta in page])


def parts_of(port: int) -> int:
    """Return how many parts are recorded."""
    objects = s3_store(port, prefix="process")
    records = [meta["path"] for page in objects.list(f"{UPLOADS}/open") for meta in page if meta["path"].endswith("record")]
    if not records:
        return 0
    record = decode(bytes(objects.get(records[0]).bytes()))
    return 0 if record is None else len(record.parts)


def test_the_main_job_into_a_bucket(port: int, tmp_path: Path) -> None:
    """An upload whose server is killed goes on at another server over the bucket, and ends with the file, whole."""
    source = tmp_path / "big.bin"
    source.write_bytes(BIG)
    with ExitStack() as stack:
        first = stack.enter_context(serving(ROOT, tmp_path / "first.log", "--write"))
        second = stack.enter_context(serving(ROOT, tmp_path / "second.log", "--write"))
        with running("put", "--quiet", "--limit-rate", "30M", source, f"{first.address}/dir/big.bin") as client:
            eventually(lambda: parts_of(port) >= 2)
            first.process.send_signal(signal.SIGKILL)
            client.send_signal(signal.SIGKILL)
            client.wait(30)
        done = unspool("put", source, f"{second.address}/dir/big.bin")
        assert done.code == 0, done.err
        resumed = re.search(r"resumed at (\d+) %, the whole file verified$", done.err.strip())
        assert resumed is not None, done.err
        assert int(resumed[1]) >= 35
        again = unspool("put", "--if-absent", source, f"{second.address}/dir/big.bin")
        assert (again.code, "already there" in again.complaint) == (0, True)
        assert unspool("get", f"{second.address}/dir/big.bin", tmp_path / "back").code == 0
        assert (tmp_path / "back").read_bytes() == BIG
        tree = {f"d{number % 7}/{number}": b"%d" % number * 200 for number in range(300)}
        for name, data in tree.items():
            (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tree" / name).write_bytes(data)
        for words in ("300 sent, 0 already there", "0 sent, 300 already there"):
            done = unspool("put", "-r", tmp_path / "tree", f"{second.address}/tree")
            assert done.code == 0, done.err
            assert words in done.complaint
        assert unspool("get", "-r", f"{second.address}/tree", tmp_path / "copy").code == 0
        assert {name: (tmp_path / "copy" / name).read_bytes() for name in tree} == tree
        assert unspool("rm", f"{second.address}/dir/big.bin").code == 0
        assert unspool("stat", f"{second.address}/dir/big.bin").code == 3


def test_servers_of_a_bucket_that_are_killed_again_and_again(gateway: int, tmp_path: Path) -> None:
    """A client goes on while its server is killed at random moments; in the end the object is whole, and nothing is left.

    Each server has taken a part when it is killed: otherwise the time that they need to start would add up to an outage that is
    longer than what the client waits for.
    """
    source, random, parts = tmp_path / "big.bin", Random(1), 0
    source.write_bytes(random.randbytes(1 << 20) * (3000 if DEEP else 160))
    (port,) = free_ports(1)
    with ExitStack() as stack:
        for number in range(KILLS):
            with serving(ROOT, tmp_path / f"{number}.log", "--write", listen=f"127.0.0.1:{port}") as server:
                if not number:
                    put = running("put", "--limit-rate", "40M", source, f"127.0.0.1:{port}/big.bin")
                    client = stack.enter_context(put)
                eventually(partial(_has_more, gateway, parts), 120.0)  # it may be waiting to try again
                time.sleep(random.uniform(1.5, 3.5) if DEEP else random.uniform(0.1, 1.5))
                server.process.send_signal(signal.SIGKILL)
                server.process.wait(30)
                parts = parts_of(gateway)
            assert client.poll() is None, client.communicate()[1]
        with serving(ROOT, tmp_path / "last.log", "--write", listen=f"127.0.0.1:{port}"):
            _, err = client.communicate(timeout=200)
        assert client.returncode == 0, err
    objects = s3_store(gateway, prefix="process")
    assert bytes(objects.get("big.bin").bytes()) == source.read_bytes()
    assert [meta["path"] for page in objects.list(f"{UPLOADS}/open") for meta in page] == []


def _has_more(port: int, parts: int) -> bool:
    return parts_of(port) > parts


def test_stores_that_cannot_be_written_to_are_one_line_and_a_code(tmp_path: Path) -> None:
    """Stores of others, and one that ignores conditions, are refused at the start, without credentials in the line."""
    done = unspool("serve", "gs://bucket", "--write", "--listen", "127.0.0.1:0")
    assert (done.code, "not into other object stores" in done.complaint) == (2, True)
    with fake_s3() as server:
        done = unspool(
            "serve", ROOT, "--write", "--listen", "127.0.0.1:0", environment={**ENVIRONMENT, **s3_environment(server.port)}
        )
    assert (done.code, "ignores If-None-Match of PutObject" in done.complaint) == (2, True), done.err
    assert SECRET not in done.err
