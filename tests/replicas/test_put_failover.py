"""Uploads to several real servers over one bucket or one directory, which are killed, frozen, drained and restarted."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from processes import DEEP, ENVIRONMENT, Outcome, Serving, eventually, outcome_of, running, serving, unspool
from stores.objectservers import BUCKET, azure_environment, azure_store, s3_environment, s3_store
from unspool.core.reserved import UPLOADS

SIZE = 48 << 20
DATA = Random(0).randbytes(1 << 20) * (SIZE >> 20)
TREE = {f"d{number % 7}/{number}": Random(number).randbytes(number * 100) for number in range(200)} | {"large": DATA[: 5 << 20]}


def places(*normal: str) -> pytest.MarkDecorator:
    """Run a test over some places, and in the long form over all."""
    all_of_them = ("weed_port", "gateway_port", "azurite_port", "directory")
    marks = {name: [] if name in normal else [pytest.mark.deep] for name in all_of_them}
    return pytest.mark.parametrize("place", [pytest.param(name, marks=marks[name]) for name in all_of_them], indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """What servers share: a bucket of SeaweedFS, versitygw or Azurite, or a directory."""
    monkeypatch.setitem(ENVIRONMENT, "XDG_STATE_HOME", str(tmp_path / "state"))
    if request.param == "directory":
        (tmp_path / "root").mkdir()
        yield str(tmp_path / "root")
        return
    port = request.getfixturevalue(request.param)
    of_azure = request.param == "azurite_port"
    for name, said in (azure_environment if of_azure else s3_environment)(port).items():
        monkeypatch.setitem(ENVIRONMENT, name, said)
    yield f"{'az' if of_azure else 's3'}://{BUCKET}/replicas"
    objects = (azure_store if of_azure else s3_store)(port, prefix="replicas")
    assert not [meta["path"] for page in objects.list(f"{UPLOADS}/open") for meta in page], "what is kept of uploads is left"
    for page in objects.list():
        objects.delete([meta["path"] for meta in page])


@contextmanager
def servers_of(place: str, logs: Path, number: int, *options: str) -> Iterator[dict[str, Serving]]:
    """Run servers that write to one place; yields them by their addresses."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        starting = [serving(place, logs / f"server-{at}.log", "--write", *options) for at in range(number)]
        yield {server.address: server for server in pool.map(stack.enter_context, starting)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with what is uploaded: a file, and a tree."""
    source = tmp_path / "source"
    for name, data in TREE.items():
        (source / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (source / "tree" / name).write_bytes(data)
    (source / "a.bin").write_bytes(DATA)
    return source


def attempts(log: Path) -> list[str]:
    """Return the servers of the attempts that a client has logged, in their order."""
    lines = log.read_text().split("\n")[:-1]
    return [entry["server"] for entry in map(json.loads, lines) if entry["event"] == "attempt"]


def begun(servers: Iterable[Serving]) -> set[str]:
    """Return the first parts of the names for which clients have asked servers for their storage."""
    entries = [entry for server in servers for entry in server.entries()]
    return {str(entry["name"]).partition("/")[0] for entry in entries if entry.get("method") == "StatStorage"}


@places("weed_port")
def test_an_upload_outlives_its_servers(place: str, source: Path, tmp_path: Path) -> None:
    """While a file is sent, its server is killed, the next is frozen, the next drained: it goes on at the fourth.

    The result says what each was sent, and most of what a server had is not sent again. A frozen server of a directory keeps
    its upload locked until it ends, so there two are killed.
    """
    frozen = signal.SIGSTOP if "://" in place else signal.SIGKILL
    log = tmp_path / "client.log"
    options = ("--json", "--log-format", "json", "--idle-timeout", "1")
    with servers_of(place, tmp_path, 4, "--max-stream-bandwidth", "12M", "--grace", "0.2") as servers:
        url = f"{','.join(servers)}/dir/a.bin"
        with log.open("wb") as err, running("put", *options, source / "a.bin", url, stderr=err) as client:
            stopped: dict[str, Serving] = {}
            for event in (signal.SIGKILL, frozen, signal.SIGTERM):
                eventually(lambda: {*attempts(log)} - stopped.keys())
                time.sleep(0.8)  # it is receiving; 48 MiB at 12 MiB/s take four seconds
                address = attempts(log)[-1]
                stopped[address] = servers[address]
                stopped[address].process.send_signal(event)
            outcome = outcome_of(client)
            for server in stopped.values():
                server.process.kill()
        assert outcome.code == 0, log.read_text()
        result: dict[str, Any] = json.loads(outcome.out)
        assert result["bytes_sent"] == sum(result["servers"].values()) < 3 * SIZE
        assert len(result["servers"]) >= 2, result
        assert attempts(log)[-1] not in stopped
        (last,) = servers.keys() - stopped.keys()
        assert unspool("get", f"{last}/dir/a.bin", tmp_path / "back").code == 0
        assert (tmp_path / "back").read_bytes() == DATA


@places("gateway_port", "directory")
def test_servers_that_are_restarted_in_turn_take_everything(place: str, source: Path, tmp_path: Path) -> None:
    """A file, a stream and a tree are whole after two servers were restarted in turn, again and again; all can be deleted."""
    slow = ("--limit-rate", "8M")
    with ExitStack() as stack:
        with servers_of(place, tmp_path, 2) as first:
            addresses = list(first)
        stacks = {address: stack.enter_context(ExitStack()) for address in addresses}
        servers: dict[str, Serving] = {}

        def restart(address: str) -> None:
            stacks[address].close()
            log = tmp_path / f"{address}.log"
            servers[address] = stacks[address].enter_context(serving(place, log, "--write", "--grace", "0.1", listen=address))

        for address in addresses:
            restart(address)
        url = ",".join(addresses)
        words = {
            "file": ("put", "--json", *slow, source / "a.bin", f"{url}/a.bin"),
            "tree": ("put", "--json", *slow, "-r", source / "tree", f"{url}/tree"),
        }
        clients = {name: stack.enter_context(running(*arguments)) for name, arguments in words.items()}
        piping = [sys.executable, "-m", "unspool", "put", "--quiet", *slow, "-", f"{url}/piped"]
        pipe = stack.enter_context(subprocess.Popen(piping, env=ENVIRONMENT, stdin=subprocess.PIPE, stderr=subprocess.PIPE))
        writer = stack.enter_context(ThreadPoolExecutor(1)).submit(pipe.communicate, DATA[: SIZE // 2])
        eventually(lambda: begun(servers.values()) == {"a.bin", "tree", "piped"})
        for number in range(24 if DEEP else 6):
            restart(addresses[number % 2])
            time.sleep(0.5)  # long enough for some bytes
        outcomes = {name: outcome_of(client) for name, client in clients.items()}
        assert [outcome.code for outcome in outcomes.values()] == [0, 0], outcomes
        _, said = writer.result(60)
        assert pipe.returncode == 0, said
        tree = json.loads(outcomes["tree"].out)
        assert (tree["failed"], tree["sent"] + tree["kept"]) == (0, len(TREE))
        for name in ("a.bin", "piped"):
            assert unspool("get", f"{url}/{name}", tmp_path / name).code == 0
        assert (tmp_path / "a.bin").read_bytes() == DATA
        assert (tmp_path / "piped").read_bytes() == DATA[: SIZE // 2]
        assert unspool("get", "-r", f"{url}/tree", tmp_path / "copy").code == 0
        assert {name: (tmp_path / "copy" / name).read_bytes() for name in TREE} == TREE
        deleted = unspool("rm", "-r", f"{url}/tree")
        assert deleted.code == 0, deleted.err


def refused(outcome: Outcome) -> str:
    """Check that a command was refused with one line, and return it."""
    assert outcome.code == 2, outcome.err
    return outcome.complaint


def test_servers_of_copies_are_refused(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers with directories of their own, though one is a copy, get no file and no tree, and nothing is deleted."""
    monkeypatch.setitem(ENVIRONMENT, "XDG_STATE_HOME", str(tmp_path / "state"))
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    (one / "kept").write_bytes(b"kept")
    with serving(one, tmp_path / "first.log", "--write") as server:  # so that it has an id that is copied
        assert unspool("put", source / "tree" / "d1/1", f"{server.address}/kept2").code == 0
    subprocess.run(["cp", "--archive", one, other], check=True)
    with serving(one, tmp_path / "one.log", "--write") as first, serving(other, tmp_path / "other.log", "--write") as second:
        url = f"{first.address},{second.address}"
        for words in (
            ("put", source / "a.bin", f"{url}/new"),
            ("put", "-r", source / "tree", f"{url}/new"),
            ("rm", f"{url}/kept"),
            ("rm", "-r", f"{url}/kept"),
        ):
            assert re.search(r": \S+ and \S+ do not write to the same storage: .*, so name one$", refused(unspool(*words)))
    with serving(one, tmp_path / "again.log", "--write") as first, serving(one, tmp_path / "reads.log") as second:
        url = f"{first.address},{second.address}"
        said = refused(unspool("put", source / "a.bin", f"{url}/new"))
        assert f"{second.address}: this server takes no files" in said
    assert {path.name for path in (*one.iterdir(), *other.iterdir())} == {"kept", "kept2", UPLOADS}
