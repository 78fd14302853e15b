"""Downloads from several real servers, of which some are killed, frozen, drained or behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from processes import ENVIRONMENT, Outcome, Serving, eventually, outcome_of, running, serving, unspool
from unspool.testing.proxy import Proxy

SIZE = 24 << 20
DATA = Random(0).randbytes(SIZE)


class Scene:
    """Four servers of one directory, slow enough that something can happen during a download, and a client's directory."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.root = directory / "root"
        self.root.mkdir()
        (self.root / "a.bin").write_bytes(DATA)
        self.here = directory / "here"
        self.here.mkdir()
        logs = [directory / f"{number}.log" for number in range(4)]
        with ThreadPoolExecutor() as pool:  # at the same time, because starting a process takes longest here
            starting = [serving(self.root, log, "--max-stream-bandwidth", "12M", "--grace", "0.2") for log in logs]
            self.servers = dict(zip(logs, pool.map(stack.enter_context, starting), strict=True))

    @property
    def by_address(self) -> dict[str, Serving]:
        """The servers, by their addresses."""
        return {server.address: server for server in self.servers.values()}

    @property
    def url(self) -> str:
        """The file's URL, with all servers."""
        return f"{','.join(self.by_address)}/a.bin"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The set-up of a test."""
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


def whole(scene: Scene, outcome: Outcome) -> dict[str, Any]:
    """Check that a download succeeded; return its result."""
    assert outcome.code == 0, outcome.err
    assert (scene.here / "a.bin").read_bytes() == DATA
    result: dict[str, Any] = json.loads(outcome.out)
    assert result["bytes_received"] == sum(result["servers"].values())
    return result


def attempts(log: Path) -> list[str]:
    """Return the servers of the attempts that a client has logged, in their order."""
    lines = log.read_text().split("\n")[:-1]
    return [entry["server"] for entry in map(json.loads, lines) if entry["event"] == "attempt"]


def written(scene: Scene) -> int:
    """Return how much of the file has been written so far."""
    part = scene.here / "a.bin.unspool-part"
    return part.stat().st_blocks * 512 if part.exists() else 0


def test_a_download_outlives_its_servers(scene: Scene, tmp_path: Path) -> None:
    """While a file is fetched, its server is killed, the next is frozen, the next drained: it goes on at the fourth.

    Each time it goes on at the byte where it was. The result says what each server sent.
    """
    log = tmp_path / "client.log"
    options = ("--json", "--log-format", "json", "--jobs", "1", "--idle-timeout", "1")
    with log.open("wb") as err, running("get", *options, scene.url, scene.here, stderr=err) as client:
        stopped: dict[str, Serving] = {}
        for event in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
            eventually(lambda: {*attempts(log)} - stopped.keys())
            share = (len(stopped) + 1) * SIZE // 5
            eventually(lambda share=share: written(scene) >= share)  # type: ignore[misc]
            address = attempts(log)[-1]
            stopped[address] = scene.by_address[address]
            stopped[address].process.send_signal(event)
        outcome = outcome_of(client)
        for server in stopped.values():
            server.process.kill()
    result = whole(scene, Outcome(outcome.code, outcome.out, log.read_text()))
    assert result["bytes_received"] == SIZE
    assert [address for address in result["servers"] if address in stopped] == list(stopped)
    assert len(result["servers"]) == 4


def test_a_server_of_a_copy(tmp_path: Path) -> None:
    """`serve --revision content` gives a file the revision of its bytes, and keeps it in the file of checksums."""
    root, kept = tmp_path / "root", tmp_path / "kept.db"
    root.mkdir()
    (root / "a").write_bytes(b"alpha")
    with serving(root, tmp_path / "log", "--revision", "content", "--checksums", str(kept)) as server:
        outcome = unspool("stat", "--json", f"{server.address}/a")
    assert json.loads(outcome.out)["revision"] == f"sha256-{hashlib.sha256(b'alpha').hexdigest()}"
    assert kept.stat().st_size


def test_what_is_uploaded_to_a_server_of_copies_has_the_revision_of_its_bytes(tmp_path: Path) -> None:
    """`serve --write --revision content`: an upload, a tree and a restart give the same revision as a copy elsewhere."""
    source, kept = tmp_path / "source", tmp_path / "kept.db"
    source.mkdir()
    (source / "small").write_bytes(b"alpha")
    (source / "large").write_bytes(DATA[: 5 << 20])
    revisions = {path.name: f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in source.iterdir()}
    (tmp_path / "root").mkdir()
    options = ("--write", "--revision", "content", "--checksums", str(kept))
    with serving(tmp_path / "root", tmp_path / "log", *options) as server:
        put = unspool("put", "--json", source / "large", f"{server.address}/one/large")
        assert json.loads(put.out)["revision"] == revisions["large"]
        assert unspool("put", "-r", source, f"{server.address}/tree").code == 0
        refused = unspool("put", "--if-revision", revisions["large"], source / "small", f"{server.address}/tree/small")
        assert refused.code == 5
        again = ("put", "--if-revision", revisions["small"], source / "large", f"{server.address}/tree/small")
        assert unspool(*again).code == 0
        server.stop()
    with (
        serving(tmp_path / "root", tmp_path / "log", *options) as one,
        serving(source, tmp_path / "copy.log", *options[1:3]) as copy,
    ):
        for server, name in ((one, "tree/large"), (copy, "large"), (one, "tree/small"), (one, "one/large")):
            stat = unspool("stat", "--json", f"{server.address}/{name}")
            assert json.loads(stat.out)["revision"] == revisions["large"]


def test_one_server_is_checked_at_a_time() -> None:
    """`unspool conformance` refuses a list."""
    outcome = unspool("conformance", "a:1,b:1")
    assert outcome.code == 2
    assert "names several servers" in outcome.complaint


@pytest.mark.deep
def test_a_frozen_server_is_noticed_by_a_ping(scene: Scene, tmp_path: Path) -> None:
    """A server that freezes while data comes is left after about ten seconds, long before the idle timeout of ten minutes."""
    log = tmp_path / "client.log"
    options = ("--json", "--log-format", "json", "--jobs", "1", "--idle-timeout", "600")
    with log.open("wb") as err, running("get", *options, scene.url, scene.here, stderr=err) as client:
        eventually(lambda: written(scene) >= SIZE // 4)
        frozen = scene.by_address[attempts(log)[-1]]
        frozen.process.send_signal(signal.SIGSTOP)
        outcome = outcome_of(client)
        frozen.process.kill()
    result = whole(scene, Outcome(outcome.code, outcome.out, log.read_text()))
    assert result["bytes_received"] == SIZE
    assert len(result["servers"]) == 2
    assert "did not answer a ping" in log.read_text()
    assert result["seconds"] < 30


async def test_every_command_says_that_servers_differ(tmp_path: Path) -> None:
    """A file that goes on at a third server because the second has another revision: `cat` and `get` name the second one."""
    data = Random(1).randbytes(20_000_000)
    with ExitStack() as running:
        servers = []
        for name, content in (("a", data), ("b", data[::-1]), ("c", data)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "f").write_bytes(content)
            servers.append(running.enter_context(serving(tmp_path / name, tmp_path / f"{name}.log", "--revision", "content")))
        async with Proxy(servers[0].address) as proxy:
            proxy.cut_after = 5_000_000
            url = f"{proxy.address},{servers[1].address},{servers[2].address}/f"
            for command in (["cat", url], ["get", url, str(tmp_path / "got")]):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "unspool", *command, stdout=PIPE, stderr=PIPE, env=ENVIRONMENT
                )
                out, said = await process.communicate()
                assert process.returncode == 0, said
                assert f"warning: f: not the same revision at {servers[1].address}, which is ahead".encode() in said
                assert (out or (tmp_path / "got").read_bytes()) == data
